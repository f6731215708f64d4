"""Gray levels of images `[..., H, W, C]`: equalize, stretch, quantize; each channel on its own."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks
from jaxdl.ops._filters import check_image, in_dtype, to_compute, to_uint8


def equalize_hist(
    image: ArrayLike, *, convention: Literal["cdf_min", "cdf"] = "cdf_min", bins: int = 256
) -> jax.Array:
    """Histogram equalization: every level becomes the share of pixels at or below it.

    >>> equalize_hist(jnp.array([10, 20, 30], jnp.uint8).reshape(1, 3, 1))[0, :, 0]
    Array([0, 128, 255], dtype=uint8)

    Args:
        image: `[..., H, W, C]`, uint8, or float in any range.
        convention: 'cdf' is that share (scikit-image); 'cdf_min' moves the darkest level to 0 by
            `(cdf - cdf_min) / (1 - cdf_min)` (OpenCV, Gonzalez & Woods).
        bins: of a float image, between its least and its greatest value, with the cdf interpolated
            linearly between their centers (scikit-image); uint8 has its 256 levels.
    Returns: `[..., H, W, C]`: uint8 rounded, or float in 0..1. An image of one level comes back as
        it is under 'cdf_min' (OpenCV), and as the brightest under 'cdf'.
    Raises: ValueError for an unknown convention, no bins or another rank.
    """
    if convention not in ("cdf_min", "cdf"):
        raise ValueError(f"convention must be 'cdf_min' or 'cdf', got {convention!r}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    one = functools.partial(
        _equalize_levels if jnp.asarray(image).dtype == jnp.uint8 else _equalize_floats,
        from_zero=convention == "cdf_min",
        bins=bins,
    )
    return _each_plane(one, check_image(image))


def rescale_intensity(image: ArrayLike, *, low: float = 0.0, high: float = 100.0) -> jax.Array:
    """Maps the percentiles `low..high` of each channel linearly to the full range and clips.

    >>> rescale_intensity(jnp.array([0.2, 0.4, 0.6]).reshape(1, 3, 1))[0, :, 0]
    Array([0., 0.5, 1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`: uint8 goes to 0..255, rounded; float to 0..1.
        low, high: percentiles (linear between order statistics); 0 and 100 are the extremes.
    Returns: the shape and dtype of `image`; a channel of one value comes back as it is.
    Raises: ValueError unless `0 <= low < high <= 100`.
    """
    x = check_image(image)
    if not 0 <= low < high <= 100:
        raise ValueError(f"need 0 <= low < high <= 100, got {low} and {high}")
    levels = to_compute(x)
    if (low, high) == (0, 100):  # no need to sort
        least, most = (f(levels, axis=(-3, -2), keepdims=True) for f in (jnp.min, jnp.max))
    else:
        least, most = (jnp.percentile(levels, p, axis=(-3, -2), keepdims=True) for p in (low, high))
    flat = most == least
    unit = jnp.clip((levels - least) / jnp.where(flat, 1, most - least), 0, 1)
    unit = in_dtype(unit * 255 if x.dtype == jnp.uint8 else unit, x.dtype)
    return jnp.where(flat, x, unit)


def quantize(image: ArrayLike, levels: int) -> jax.Array:
    """Rounds to the nearest of `levels` evenly spaced values, black and white among them.

    >>> quantize(jnp.array([0.1, 0.4, 0.9]).reshape(1, 3, 1), 3)[0, :, 0]
    Array([0., 0.5, 1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`, uint8, or float in 0..1 (values outside are clipped).
        levels: at least 2; 2 is a threshold in the middle.
    Returns: the shape and dtype of `image`. Its gradient is zero.
    """
    x = check_image(image)
    if levels < 2:
        raise ValueError(f"levels must be at least 2, got {levels}")
    if x.dtype == jnp.uint8:
        step = 255 / (levels - 1)
        return to_uint8(jnp.round(x.astype(jnp.float32) / step) * step)
    unit = jnp.clip(to_compute(x), 0, 1)
    return (jnp.round(unit * (levels - 1)) / (levels - 1)).astype(x.dtype)


def _each_plane(apply, x: jax.Array) -> jax.Array:
    """`apply` to the pixels of each image and channel, one after another."""
    *batch, H, W, C = x.shape
    planes = jnp.moveaxis(x, -1, -3).reshape(-1, H * W)
    return jnp.moveaxis(jax.lax.map(apply, planes).reshape(*batch, C, H, W), -3, -1)


def _equalize_levels(pixels: jax.Array, *, from_zero: bool, bins: int) -> jax.Array:
    del bins
    counts = jnp.zeros(256, jnp.int32).at[pixels].add(1)
    below = jnp.cumsum(counts)
    total = len(pixels)
    if not from_zero:
        return to_uint8(255 * (below / total))[pixels]
    darkest = jnp.argmax(counts > 0)
    rest = total - counts[darkest]
    scaled = (below - counts[darkest]) * (255 / jnp.maximum(rest, 1).astype(jnp.float32))
    return jnp.where(rest == 0, pixels, to_uint8(scaled)[pixels])


def _equalize_floats(pixels: jax.Array, *, from_zero: bool, bins: int) -> jax.Array:
    dtype, pixels = pixels.dtype, _checks.wide(pixels)  # half precision cannot count its pixels
    least, most = jnp.min(pixels), jnp.max(pixels)
    width = (most - least) / bins
    place = (pixels - least) / jnp.where(width == 0, 1, width)
    counts = jnp.zeros(bins, jnp.int32).at[jnp.clip(place.astype(int), 0, bins - 1)].add(1)
    cdf = jnp.cumsum(counts).astype(pixels.dtype) / len(pixels)
    if from_zero:
        cdf = (cdf - cdf[0]) / jnp.where(cdf[0] == 1, 1, 1 - cdf[0])
    at = jnp.clip(place - 0.5, 0, bins - 1)  # bin centers are at k + 1/2
    low = jnp.minimum(at.astype(int), bins - 1)
    high = jnp.minimum(low + 1, bins - 1)
    equal = cdf[low] + (at - low) * (cdf[high] - cdf[low])
    return jnp.where(width == 0, pixels if from_zero else 1.0, equal).astype(dtype)
