"""GoogLeNet: Szegedy et al., Going deeper with convolutions, 2015, arXiv:1409.4842, table 1, in
torchvision's form: batch norm, and 3x3 in the third path where the paper has 5x5."""

import functools
import re
from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import BatchNorm, Conv

# Channels of the nine blocks: 1x1; 1x1 then 3x3; 1x1 then 5x5; pool then 1x1.
INCEPTIONS = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


class Inception(linen.Module):
    """Four paths side by side, their channels concatenated.

    >>> block, x = Inception(INCEPTIONS["3a"], Conv), jnp.zeros((1, 28, 28, 192))
    >>> jax.eval_shape(block.init_with_output, jax.random.key(0), x)[0].shape  # 64 + 128 + 32 + 32
    (1, 28, 28, 256)
    """

    widths: tuple[int, tuple[int, int], tuple[int, int], int]
    conv: Callable[..., Any]  # (features, kernel, padding, name) -> (x -> x)
    third_kernel: int = 3

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, H, W, sum of the paths' last widths]`."""
        n1, (n21, n22), (n31, n32), n4 = self.widths
        k = self.third_kernel
        path1 = self.conv(n1, 1, name="branch1")(x)
        path2 = self.conv(n21, 1, name="branch2_0")(x)
        path2 = self.conv(n22, 3, padding=1, name="branch2_1")(path2)
        path3 = self.conv(n31, 1, name="branch3_0")(x)
        path3 = self.conv(n32, k, padding=k // 2, name="branch3_1")(path3)
        path4 = self.conv(n4, 1, name="branch4_1")(ops.max_pool(x, 3, 1, padding=1))
        return jnp.concatenate([path1, path2, path3, path4], axis=-1)


class GoogLeNet(linen.Module):
    """Nine Inception blocks without auxiliary heads; 6,624,904 parameters for 1,000 classes.

    `norm=None, third_kernel=5, last_pool=3` gives the paper's own form, with biases, but without
    its local response normalization. Images of 31x31 or more; 224x224 as published. Features by
    name: "3a" to "5b".

    >>> model, images = GoogLeNet(num_classes=1000), jnp.zeros((1, 224, 224, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> sum(x.size for x in jax.tree.leaves(variables["params"]))
    6624904
    """

    num_classes: int
    norm: Callable[..., linen.Module] | None = functools.partial(
        BatchNorm, epsilon=1e-3, momentum=0.9, unbiased=True
    )
    third_kernel: int = 3
    last_pool: int = 2  # window of the pool before block 5a
    pool_padding: int = 0  # of the pools between blocks; with 0 they round up
    dropout: float = 0.2
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, K]`; key "dropout" in training.

        `mask [B]`, False on padding, keeps those images out of the batch statistics.
        """
        check_images(images, "GoogLeNet", 31)
        conv = functools.partial(_Conv, norm=self.norm, dtype=self.dtype, mask=mask, train=train)

        def pool(x: jax.Array, window: int = 3) -> jax.Array:
            padding = self.pool_padding
            return ops.max_pool(x, window, 2, padding=padding, ceil_mode=not padding)

        x = pool(conv(64, 7, 2, 3, name="conv1")(images))
        x = conv(192, 3, padding=1, name="conv3")(conv(64, 1, name="conv2")(x))
        x = pool(x)
        for name, widths in INCEPTIONS.items():
            if name == "5a":
                x = pool(x, window=self.last_pool)
            elif name == "4a":
                x = pool(x)
            x = Inception(widths, conv, self.third_kernel, name=f"inception{name}")(x)
            self.sow("intermediates", name, x)
        x = linen.Dropout(self.dropout, deterministic=not train)(ops.global_avg_pool(x))
        return linen.Dense(self.num_classes, dtype=self.dtype, name="head")(x)

    def torch_module(self, path: str) -> str:
        """torchvision's name of a module of ours."""
        if path == "head":
            return "fc"
        return re.sub(r"branch(\d)_(\d)", r"branch\1.\2", path).replace("/", ".")


GoogLeNetPlain = functools.partial(
    GoogLeNet, norm=None, third_kernel=5, last_pool=3, pool_padding=1, dropout=0.0
)


class _Conv(linen.Module):
    """Convolution, batch norm, ReLU."""

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    norm: Callable[..., linen.Module] | None = None
    dtype: jnp.dtype | None = None
    mask: jax.Array | None = None
    train: bool = False

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Conv(
            self.features, self.kernel, self.stride, self.padding,
            use_bias=self.norm is None, dtype=self.dtype, name="conv",
        )(x)  # fmt: skip
        if self.norm is not None:
            x = self.norm(name="bn")(x, self.mask, train=self.train)
        return linen.relu(x)
