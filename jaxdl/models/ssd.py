"""Single-shot detectors: Liu et al. 2016, SSD, arXiv:1512.02325, and the small one of the D2L book.

    predictions = model.apply(variables, images, train=False)   # one class and box for each anchor
    found = ops.detect(predictions, model.anchors(*images.shape[1:3]))

A detector has one anchor for each of the A predictions; class 0 is background.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import BatchNorm, Conv


class Predictions(NamedTuple):
    """What a detector says of each of its A anchors."""

    logits: jax.Array  # [B, A, 1 + K], background first
    offsets: jax.Array  # [B, A, 4], see `ops.decode_boxes`


class TinySSD(linen.Module):
    """Three halving blocks, some more of equal width, a global maximum; a head on each of them.

    A halving block is two 3x3 convolutions, normalized and rectified, and a 2x2 maximum. One scale
    follows the base, one each further block, the last the global maximum: 5,444 anchors for
    256x256 pixels. The defaults are the book's (d2l.ai, sec. 14.7), with batch norm.

    >>> model, key, images = TinySSD(num_classes=1), jax.random.key(0), jnp.zeros((1, 256, 256, 3))
    >>> outputs = jax.eval_shape(lambda: model.init_with_output(key, images, train=False)[0])
    >>> outputs.logits.shape, outputs.offsets.shape, model.anchors(256, 256).shape
    ((1, 5444, 2), (1, 5444, 4), (5444, 4))
    """

    num_classes: int  # K, without background
    base: Sequence[int] = (16, 32, 64)  # channels of the first blocks
    width: int = 128  # channels of the others
    sizes: Sequence[Sequence[float]] = (  # of the anchors of each scale, shares of the height
        *((0.2, 0.272), (0.37, 0.447), (0.54, 0.619)),
        *((0.71, 0.79), (0.88, 0.961)),
    )
    ratios: Sequence[float] = (1.0, 2.0, 0.5)  # width over height, in pixels
    fold: int = 1  # so many pixels a side become the channels of one before the first block
    norm: Callable[..., linen.Module] = BatchNorm
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> Predictions:
        """Maps images `[B, H, W, C]` to predictions in the order of `anchors(H, W)`.

        `mask [B]`, False on padding, keeps those images out of the batch statistics.
        """
        check_images(images, "TinySSD", self.stride)
        blocks = [*self.base, *[self.width] * (len(self.sizes) - 2)]
        x, maps = _fold(images, self.fold), []
        for number, width in enumerate(blocks, 1):
            for i in (1, 2):
                x = Conv(width, 3, padding=1, dtype=self.dtype, name=f"conv{number}_{i}")(x)
                x = linen.relu(self.norm(name=f"bn{number}_{i}")(x, mask, train=train))
            x = ops.max_pool(x, 2)
            if number >= len(self.base):
                maps.append(x)
        maps.append(jnp.max(x, axis=(1, 2), keepdims=True))
        counts = [len(sizes) + len(self.ratios) - 1 for sizes in self.sizes]
        return _predict(maps, counts, self.num_classes, self.dtype)

    def anchors(self, height: int, width: int) -> jax.Array:
        """Anchors `[A, 4]` for images of this size: squares in pixels where the ratio is 1."""
        blocks = len(self.base) + len(self.sizes) - 2
        rows, columns = height // self.fold, width // self.fold
        maps = [(rows >> n, columns >> n) for n in range(len(self.base), blocks + 1)]
        ratios = [self.ratios] * len(self.sizes)
        return ops.pyramid_anchor_boxes([*maps, (1, 1)], self.sizes, ratios, aspect=width / height)

    @property
    def stride(self) -> int:
        """Pixels between neighbors of the last map before the global one, the least image."""
        return self.fold * 2 ** (len(self.base) + len(self.sizes) - 2)


class L2Norm(linen.Module):
    """Each pixel's channels at length 1, times a learned scale for each channel.

    >>> L2Norm().init_with_output(jax.random.key(0), jnp.array([[3.0, 4.0]]))[0]  # 20 * 3 / 5, ...
    Array([[12., 16.]], dtype=float32)

    Liu et al. 2015, ParseNet, arXiv:1506.04579.
    """

    scale: float = 20.0  # at the start

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[..., C]` to its own shape."""
        scale = self.param(
            "scale", linen.initializers.constant(self.scale), x.shape[-1:], jnp.float32
        )
        wide = x.astype(jnp.float32)
        square = jnp.sum(jnp.square(wide), axis=-1, keepdims=True)
        spread = (None,) * (x.ndim - 1)
        return (wide * jax.lax.rsqrt(square + 1e-10) * scale[spread]).astype(x.dtype)


class SSD300(linen.Module):
    """SSD on VGG-16 for images of 300x300 pixels, six scales, 8,732 anchors.

    The convolutions of VGG-16 have the names of `models.VGG16`, so that `train.load_pretrained`
    brings its weights over. The sixth and seventh are its dense layers as convolutions, the sixth
    dilated.

    >>> model, key, images = SSD300(num_classes=20), jax.random.key(0), jnp.zeros((1, 300, 300, 3))
    >>> outputs = jax.eval_shape(lambda: model.init_with_output(key, images, train=False)[0])
    >>> outputs.logits.shape, outputs.offsets.shape, model.anchors().shape
    ((1, 8732, 21), (1, 8732, 4), (8732, 4))
    """

    num_classes: int  # K, without background
    widths: Sequence[int] = (64, 128, 256, 512, 512)  # channels of VGG's blocks
    dense_width: int = 1024  # of the two that were dense
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Predictions:
        """Maps images `[B, 300, 300, C]` to predictions in the order of `anchors()`."""
        check_images(images, "SSD300")
        self.anchors(*images.shape[1:3])  # refuses another size
        del train  # nothing in it is random, or of the batch

        def conv(x: jax.Array, width: int, kernel: int, name: str, **options) -> jax.Array:
            return linen.relu(Conv(width, kernel, dtype=self.dtype, name=name, **options)(x))

        x, maps = images, []
        for block, (depth, width) in enumerate(zip((2, 2, 3, 3, 3), self.widths, strict=True), 1):
            for i in range(1, depth + 1):
                x = conv(x, width, 3, f"conv{block}_{i}", padding=1)
            if block == 4:
                maps.append(L2Norm(name="norm4_3")(x))
            # 75 rows become 38, and the last pool keeps its size
            x = (
                ops.max_pool(x, 2, ceil_mode=True)
                if block < 5
                else ops.max_pool(x, 3, 1, padding=1)
            )
        x = conv(x, self.dense_width, 3, "conv6", padding=6, dilation=6)
        x = conv(x, self.dense_width, 1, "conv7")
        maps.append(x)
        for block, (narrow, stride) in enumerate(((256, 2), (128, 2), (128, 1), (128, 1)), 8):
            x = conv(x, narrow, 1, f"conv{block}_1")
            x = conv(x, 2 * narrow, 3, f"conv{block}_2", strides=stride, padding=stride - 1)
            maps.append(x)
        return _predict(maps, [4, 6, 6, 6, 4, 4], self.num_classes, self.dtype)

    def anchors(self, height: int = 300, width: int = 300) -> jax.Array:
        """The published prior boxes `[8732, 4]`, those of VOC, not cut at the border.

        Cells are 8, 16, 32, 64, 100 and 300 pixels apart. In each: a square of the least size, one
        of the geometric mean of the least and the next, and ratios 2, 1/2 (3, 1/3) of the least.
        """
        if (height, width) != (300, 300):
            raise ValueError(f"SSD300 needs images of 300x300, got {height}x{width}")
        steps, maps = (8, 16, 32, 64, 100, 300), (38, 19, 10, 5, 3, 1)
        sizes = (30, 60, 111, 162, 213, 264, 315)
        ratios = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
        boxes = []
        for step, cells, (least, most), wide in zip(
            steps, maps, itertools.pairwise(sizes), ratios, strict=True
        ):
            shapes = [(least, least), (math.sqrt(least * most),) * 2]
            for ratio in wide:
                long, short = least * math.sqrt(ratio), least / math.sqrt(ratio)
                shapes += [(long, short), (short, long)]
            y, x = (np.mgrid[:cells, :cells] + 0.5) * step
            center = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
            half = np.array(shapes)[None] / 2
            boxes.append(np.concatenate([center - half, center + half], axis=-1).reshape(-1, 4))
        return jnp.asarray(np.concatenate(boxes) / 300, jnp.float32)


def _fold(images: jax.Array, side: int) -> jax.Array:
    """Squares of pixels as the channels of one, `[B, H / side, W / side, side^2 C]`.

    A first convolution at a quarter of the pixels loses nothing of the image, and on a CPU, where
    few channels at full size wait for memory, a step is several times as fast.
    """
    B, H, W, C = images.shape
    h, w = H // side, W // side
    x = images[:, : h * side, : w * side].reshape(B, h, side, w, side, C)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(B, h, w, side * side * C)


def _predict(
    maps: Sequence[jax.Array], counts: Sequence[int], num_classes: int, dtype: jnp.dtype | None
) -> Predictions:
    """Heads on feature maps with so many anchors a cell, as one list of anchors.

    Classes and offsets of a map are one 3x3 convolution, which goes over the map once.
    """
    each = []
    for number, (x, count) in enumerate(zip(maps, counts, strict=True), 1):
        width = count * (num_classes + 1 + 4)
        y = Conv(width, 3, padding=1, dtype=dtype, name=f"head{number}")(x)
        each.append(y.reshape(x.shape[0], -1, num_classes + 1 + 4))
    joined = jnp.concatenate(each, axis=1)
    return Predictions(joined[..., : num_classes + 1], joined[..., num_classes + 1 :])
