"""AlexNet in its one-tower form: Krizhevsky, One weird trick for parallelizing convolutional
neural networks, 2014, arXiv:1404.5997, with the layers and names of torchvision's weights; and with
the widths of Krizhevsky, Sutskever & Hinton, ImageNet classification with deep convolutional neural
networks, 2012."""

import functools
from collections.abc import Sequence

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import Conv

# kernel, stride, padding, pooled
LAYERS = ((11, 4, 2, True), (5, 1, 2, True), (3, 1, 1, False), (3, 1, 1, False), (3, 1, 1, True))
TORCH_MODULES = {
    **{f"conv{i}": f"features.{j}" for i, j in enumerate((0, 3, 6, 8, 10), start=1)},
    **{"dense1": "classifier.1", "dense2": "classifier.4", "head": "classifier.6"},
}


class AlexNet(linen.Module):
    """Five convolutions and three dense layers; 61,100,840 parameters for 1,000 classes.

    Images of 63x63 or more (67x67 without `padded`); 224x224 as published. Features by name:
    "relu1" to "relu5".

    >>> model, images = AlexNet(num_classes=1000), jnp.zeros((1, 224, 224, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> sum(x.size for x in jax.tree.leaves(variables["params"]))
    61100840
    """

    num_classes: int
    widths: Sequence[int] = (64, 192, 384, 256, 256)  # channels of the convolutions
    padded: bool = True  # the first convolution, by 2
    grid: int | None = 6  # side that the last map is brought to; None leaves it as it is
    dropout: float = 0.5
    dropout_after: bool = False  # of the two dense layers' outputs, in place of their inputs
    dense_size: int = 4096
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, K]`; key "dropout" in training."""
        check_images(images, "AlexNet", 63 if self.padded else 67)
        if len(self.widths) != len(LAYERS):
            raise ValueError(f"widths must be {len(LAYERS)} numbers, got {self.widths}")
        x = images
        for i, (width, layer) in enumerate(zip(self.widths, LAYERS, strict=True), start=1):
            kernel, stride, padding, pooled = layer
            padding = padding if self.padded or i > 1 else 0
            conv = Conv(width, kernel, stride, padding, dtype=self.dtype, name=f"conv{i}")
            x = linen.relu(conv(x))
            self.sow("intermediates", f"relu{i}", x)
            x = ops.max_pool(x, 3, 2) if pooled else x
        x = x if self.grid is None else ops.adaptive_avg_pool(x, self.grid)
        x = x.reshape(x.shape[0], -1)
        drop = linen.Dropout(self.dropout, deterministic=not train)
        for i in (1, 2):
            x = x if self.dropout_after else drop(x)
            x = linen.relu(linen.Dense(self.dense_size, dtype=self.dtype, name=f"dense{i}")(x))
            x = drop(x) if self.dropout_after else x
        return linen.Dense(self.num_classes, dtype=self.dtype, name="head")(x)

    def torch_module(self, path: str) -> str:
        """torchvision's name of a module of ours."""
        return TORCH_MODULES[path]

    @property
    def flattened(self) -> dict[str, tuple[int, int]]:
        """Dense layers that read a flattened map, and its height and width."""
        if self.grid is None:
            raise ValueError("the map's size is that of the images: give AlexNet a grid")
        return {"dense1": (self.grid, self.grid)}


AlexNet2012 = functools.partial(
    AlexNet, widths=(96, 256, 384, 384, 256), padded=False, grid=None, dropout_after=True
)
