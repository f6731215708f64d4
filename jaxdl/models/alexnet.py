"""AlexNet in its one-tower form: Krizhevsky, One weird trick for parallelizing convolutional
neural networks, 2014, arXiv:1404.5997; the layers and names of torchvision's weights."""

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import Conv

# features, kernel, stride, padding, pooled
LAYERS = (
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)
TORCH_MODULES = {
    **{f"conv{i}": f"features.{j}" for i, j in enumerate((0, 3, 6, 8, 10), start=1)},
    **{"dense1": "classifier.1", "dense2": "classifier.4", "head": "classifier.6"},
}


class AlexNet(linen.Module):
    """Five convolutions and three dense layers; 61,100,840 parameters for 1,000 classes.

    Images of 63x63 or more; 224x224 as published. Features by name: "relu1" to "relu5".

    >>> model, images = AlexNet(num_classes=1000), jnp.zeros((1, 224, 224, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> sum(x.size for x in jax.tree.leaves(variables["params"]))
    61100840
    """

    num_classes: int
    dropout: float = 0.5
    dense_size: int = 4096
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, K]`; key "dropout" in training."""
        check_images(images, "AlexNet", 63)
        x = images
        for i, (features, kernel, stride, padding, pooled) in enumerate(LAYERS, start=1):
            conv = Conv(features, kernel, stride, padding, dtype=self.dtype, name=f"conv{i}")
            x = linen.relu(conv(x))
            self.sow("intermediates", f"relu{i}", x)
            x = ops.max_pool(x, 3, 2) if pooled else x
        x = ops.adaptive_avg_pool(x, 6).reshape(x.shape[0], -1)
        for i in (1, 2):
            x = linen.Dropout(self.dropout, deterministic=not train)(x)
            x = linen.relu(linen.Dense(self.dense_size, dtype=self.dtype, name=f"dense{i}")(x))
        return linen.Dense(self.num_classes, dtype=self.dtype, name="head")(x)

    def torch_module(self, path: str) -> str:
        """torchvision's name of a module of ours."""
        return TORCH_MODULES[path]

    @property
    def flattened(self) -> dict[str, tuple[int, int]]:
        """Dense layers that read a flattened map, and its height and width."""
        return {"dense1": (6, 6)}
