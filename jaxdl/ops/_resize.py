"""Sizes of images `[..., H, W, C]`: stretch, fit with padding, cut out the center, warp.

Pixel centers sit at half pixels (OpenCV, torch with `align_corners=False`, `jax.image`). uint8 is
computed in float32 and comes back as uint8, rounded.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks
from jaxdl.ops._filters import check_image, in_dtype, to_compute

Method = Literal["nearest", "linear", "cubic", "lanczos3"]


class Letterbox(NamedTuple):
    """An image fitted into a frame; a point `(x, y)` went to `(x scale_x + left, y scale_y + top)`.

    The two scales differ by the rounding of the sizes to whole pixels only.
    """

    image: jax.Array  # [..., size_h, size_w, C]
    scale_x: float
    scale_y: float
    left: int
    top: int


def resize(
    image: ArrayLike, size: Sequence[int], *, method: Method = "linear", antialias: bool = True
) -> jax.Array:
    """Stretches to `size = (height, width)`, whatever becomes of the aspect.

    >>> resize(jnp.array([0.0, 1.0]).reshape(1, 2, 1), (1, 4))[0, :, 0]
    Array([0., 0.25, 0.75, 1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float or uint8.
        size: height and width of the result, at least 1.
        method: of interpolation; 'linear' without `antialias` is OpenCV's INTER_LINEAR.
        antialias: smooths before shrinking (Pillow's and `jax.image`'s way).
    Returns: `[..., height, width, C]` in the dtype of `image`.
    """
    x = check_image(image)
    height, width = _checked(size)
    shape = (*x.shape[:-3], height, width, x.shape[-1])
    if x.shape == shape:
        return x
    if method == "nearest":
        return jax.image.resize(x, shape, method, antialias)
    return in_dtype(jax.image.resize(to_compute(x), shape, method, antialias), x.dtype)


def letterbox(
    image: ArrayLike,
    size: Sequence[int],
    *,
    fill: float = 0,
    method: Method = "linear",
    antialias: bool = True,
) -> Letterbox:
    """The largest copy of the image that fits into `size` with its aspect kept, in the middle.

    >>> letterbox(jnp.ones((1, 2, 1)), (2, 2)).image[:, :, 0]
    Array([[1., 1.],
           [0., 0.]], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float or uint8.
        size: height and width of the frame.
        fill: value of the frame around it, in the units of the image.
        method, antialias: as `resize`.
    Returns: the framed image with what moves points and boxes along.
    """
    x = check_image(image)
    frame = _checked(size)
    H, W = x.shape[-3:-1]
    scale = min(frame[0] / H, frame[1] / W)
    height, width = (max(round(n * scale), 1) for n in (H, W))
    top, left = (frame[0] - height) // 2, (frame[1] - width) // 2
    widths = [(0, 0)] * (x.ndim - 3)
    widths += [(top, frame[0] - height - top), (left, frame[1] - width - left), (0, 0)]
    small = resize(x, (height, width), method=method, antialias=antialias)
    framed = jnp.pad(small, widths, constant_values=fill)
    return Letterbox(framed, width / W, height / H, left, top)


def center_crop(image: ArrayLike, size: Sequence[int]) -> jax.Array:
    """The middle `size = (height, width)` pixels; of an odd remainder, the greater part goes below
    and to the right.

    >>> center_crop(jnp.arange(5.0).reshape(1, 5, 1), (1, 3))[0, :, 0]
    Array([1., 2., 3.], dtype=float32)

    Raises: ValueError if the image is smaller than the crop.
    """
    x = check_image(image)
    height, width = _checked(size)
    H, W = x.shape[-3:-1]
    if height > H or width > W:
        raise ValueError(
            f"cannot crop {height} x {width} from an image of {H} x {W}; letterbox it first"
        )
    top, left = (H - height) // 2, (W - width) // 2
    return x[..., top : top + height, left : left + width, :]


def warp(
    image: ArrayLike,
    matrix: ArrayLike,
    *,
    size: Sequence[int] | None = None,
    method: Literal["nearest", "linear"] = "linear",
    fill: float = 0,
) -> jax.Array:
    """Moves one image by an affine map: `result(x, y) = image(matrix @ (x, y, 1))`.

    >>> shift = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    >>> warp(jnp.arange(3.0).reshape(1, 3, 1), shift)[0, :, 0]
    Array([1., 2., 0.], dtype=float32)

    Args:
        image: `[H, W, C]`; `vmap` for many, each with its matrix.
        matrix: `[2, 3]`, from places in the result back to places in the image, in pixels, x
            first, whole numbers at the centers of pixels (OpenCV's WARP_INVERSE_MAP).
        size: height and width of the result; None keeps those of the image.
        method: 'nearest' for masks of labels.
        fill: what lies outside.
    Returns: `[height, width, C]` in the dtype of `image`; with
        gradients in image and matrix for 'linear'.
    """
    image, matrix = jnp.asarray(image), _checks.wide(matrix)  # bfloat16 has no place 257
    if image.ndim != 3 or matrix.shape != (2, 3):
        raise ValueError(f"need image [H, W, C], matrix [2, 3]: {image.shape}, {matrix.shape}")
    H, W, _ = image.shape
    height, width = (H, W) if size is None else _checked(size)
    row, column = jnp.mgrid[:height, :width].astype(matrix.dtype)
    x = matrix[0, 0] * column + matrix[0, 1] * row + matrix[0, 2]  # [height, width]
    y = matrix[1, 0] * column + matrix[1, 1] * row + matrix[1, 2]
    pixels = image.reshape(H * W, -1)

    def at(row: jax.Array, column: jax.Array) -> jax.Array:
        inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
        index = jnp.clip(row, 0, H - 1) * W + jnp.clip(column, 0, W - 1)
        return jnp.where(inside[..., None], pixels[index], jnp.asarray(fill, image.dtype))

    if method == "nearest":
        return at(jnp.round(y).astype(int), jnp.round(x).astype(int))
    left, top = jnp.floor(x), jnp.floor(y)
    right_share, below_share = (x - left)[..., None], (y - top)[..., None]
    i, j = top.astype(int), left.astype(int)
    above = at(i, j) * (1 - right_share) + at(i, j + 1) * right_share
    below = at(i + 1, j) * (1 - right_share) + at(i + 1, j + 1) * right_share
    moved = above * (1 - below_share) + below * below_share
    return in_dtype(moved, image.dtype)


def _checked(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width), each at least 1, got {tuple(size)}")
    return size[0], size[1]
