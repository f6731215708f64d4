"""DenseNet: Huang et al., Densely connected convolutional networks, 2017, arXiv:1608.06993,
table 1; the layers and names of torchvision's weights."""

import functools
import re
from collections.abc import Callable, Sequence

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import BatchNorm, Conv, Dense


class DenseNet(linen.Module):
    """Dense blocks, in which each layer sees all maps before it, and halving transitions between.

    Images of 29x29 or more with four blocks. Features by name: "denseblock1", ...

    >>> model = DenseNet(num_classes=10, blocks=(2, 2), growth=4, stem=8)
    >>> images = jnp.zeros((1, 32, 32, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> variables["params"]["head"]["kernel"].shape  # (8 + 2 * 4) / 2 + 2 * 4 channels
    (16, 10)
    """

    num_classes: int
    blocks: Sequence[int]  # layers in each block
    growth: int = 32  # channels that a layer adds
    bottleneck: int | None = 4  # 1x1 convolution to so many times `growth` first; None: none
    stem: int = 64
    norm: Callable[..., linen.Module] = functools.partial(BatchNorm, momentum=0.9, unbiased=True)
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, K]`.

        `mask [B]`, False on padding, keeps those images out of the batch statistics.
        """
        check_images(images, "DenseNet", 2 ** (len(self.blocks) + 1) - 3)
        conv = functools.partial(Conv, use_bias=False, dtype=self.dtype)

        def rectified(x: jax.Array, name: str) -> jax.Array:
            return linen.relu(self.norm(name=name)(x, mask, train=train))

        x = rectified(conv(self.stem, 7, 2, 3, name="conv0")(images), "norm0")
        x = checkpoint_name(ops.max_pool(x, 3, 2, padding=1), "block")
        for block, depth in enumerate(self.blocks, start=1):
            for i in range(1, depth + 1):
                layer = f"denseblock{block}_denselayer{i}"
                y = rectified(x, f"{layer}_norm1")
                if self.bottleneck is not None:
                    y = conv(self.bottleneck * self.growth, 1, name=f"{layer}_conv1")(y)
                    y = rectified(y, f"{layer}_norm2")
                last = "conv1" if self.bottleneck is None else "conv2"
                y = conv(self.growth, 3, padding=1, name=f"{layer}_{last}")(y)
                y = checkpoint_name(y, "block")  # what `train.make(remat="block")` keeps
                x = jnp.concatenate([x, y], axis=-1)
            self.sow("intermediates", f"denseblock{block}", x)
            if block < len(self.blocks):
                x = rectified(x, f"transition{block}_norm")
                x = conv(x.shape[-1] // 2, 1, name=f"transition{block}_conv")(x)
                x = checkpoint_name(ops.avg_pool(x, 2), "block")
        x = ops.global_avg_pool(rectified(x, "norm5"))
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x)

    def torch_module(self, path: str) -> str:
        """torchvision's name of a module of ours."""
        if path == "head":
            return "classifier"
        return "features." + re.sub(r"_(denselayer|conv|norm)", r".\1", path)


DenseNet121 = functools.partial(DenseNet, blocks=(6, 12, 24, 16))
# The small one of the book: four blocks of four layers of 32 channels, without bottlenecks.
DenseNetSmall = functools.partial(DenseNet, blocks=(4, 4, 4, 4), bottleneck=None)
