"""Smoothing and sharpening of images `[..., H, W, C]`, each channel on its own.

Floats keep their dtype and may hold any range. Smoothing and sharpening filters return uint8 for
uint8, rounded half to even and clipped to 0..255; filters whose result can be negative return
float32 in gray levels for uint8 and for half precision. All is computed in float32 or wider.

Borders, in scipy's words (OpenCV's beside them), seen from pixels a b c d:
    reflect   c b a a | a b c d | d d c b    BORDER_REFLECT
    mirror    d c b   | a b c d | c b a      BORDER_REFLECT_101, OpenCV's default
    nearest   a a a   | a b c d | d d d      BORDER_REPLICATE
    wrap      b c d   | a b c d | a b c      BORDER_WRAP
    constant  0 0 0   | a b c d | 0 0 0      BORDER_CONSTANT
An image smaller than the kernel is continued by the same rule as often as needed.

All are sums of shifted slices, which fuse into vector loops on every backend.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl import _checks

Border = Literal["reflect", "mirror", "nearest", "wrap", "constant"]
_NUMPY_MODE = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
    "constant": "constant",
}


def box_blur(image: ArrayLike, size: int = 3, *, border: Border = "reflect") -> jax.Array:
    """Mean of the `size x size` pixels around each (scipy's `uniform_filter`, OpenCV's `blur`).

    >>> box_blur(jnp.array([0.0, 3.0, 0.0]).reshape(1, 3, 1))[0, :, 0]
    Array([1., 1., 1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float or uint8.
        size: odd number of pixels.
        border: how the image goes on outside, see the top of the file.
    Returns: the shape and dtype of `image`.
    Raises: ValueError for an even size, an unknown border or an image of another rank.
    """
    weights = np.full(odd("size", size), 1 / size)
    return _in_own_dtype(image, lambda x: separable(x, weights, weights, border))


def gaussian_filter(
    image: ArrayLike,
    sigma: float,
    *,
    size: int | None = None,
    truncate: float = 4.0,
    border: Border = "reflect",
) -> jax.Array:
    """Gaussian blur, `h(i, j) ~ exp(-(i^2 + j^2) / (2 sigma^2))` with weights that sum to one.

    >>> gaussian_filter(jnp.array([0.0, 1.0, 0.0]).reshape(1, 3, 1), 0.5)[0, :, 0]
    Array([0.107, 0.787, 0.107], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float or uint8.
        sigma: standard deviation in pixels, at least 0; 0 returns the image.
        size: odd kernel size, as OpenCV's `ksize`; None takes `2 int(truncate sigma + 0.5) + 1`.
        truncate: where to cut, in standard deviations: 4 in scipy and scikit-image.
        border: how the image goes on outside, see the top of the file.
    Returns: the shape and dtype of `image`.
    Raises: ValueError for a negative sigma, an even size, an unknown border or another rank.
    """
    weights = gaussian_weights(sigma, size, truncate)
    return _in_own_dtype(image, lambda x: separable(x, weights, weights, border))


def high_frequencies(image: ArrayLike, size: int = 3, *, border: Border = "reflect") -> jax.Array:
    """What averaging removes: image - average. Args as `box_blur`; float result, mean ~0.

    >>> high_frequencies(jnp.array([0.0, 3.0, 0.0]).reshape(1, 3, 1))[0, :, 0]
    Array([-1., 2., -1.], dtype=float32)
    """
    x = to_compute(image)
    return x - box_blur(x, size, border=border)


def high_pass(image: ArrayLike, size: int = 3, *, border: Border = "reflect") -> jax.Array:
    """High-pass sharpening: image + (image - average).

    The kernel sums to one, with its center above 1 and all others equal and negative.
    Args and Returns as `box_blur`.

    >>> high_pass(jnp.array([0.0, 3.0, 0.0]).reshape(1, 3, 1))[0, :, 0]
    Array([-1., 5., -1.], dtype=float32)
    """
    return _in_own_dtype(image, lambda x: x + high_frequencies(x, size, border=border))


def unsharp_mask(
    image: ArrayLike, sigma: float = 1.0, amount: float = 1.0, *, border: Border = "reflect"
) -> jax.Array:
    """Unsharp masking, `image + amount (image - gaussian(image))`; scikit-image clips floats.

    >>> unsharp_mask(jnp.array([0.0, 1.0, 0.0]).reshape(1, 3, 1), 0.5)[0, :, 0]
    Array([-0.107, 1.213, -0.107], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float (not clipped) or uint8 (clipped to 0..255).
        sigma: of the blur, in pixels; cut at 4 sigma.
        amount: strength; negative blurs.
        border: how the image goes on outside, see the top of the file.
    """
    return _in_own_dtype(
        image, lambda x: x + amount * (x - gaussian_filter(x, sigma, border=border))
    )


def laplacian(
    image: ArrayLike, *, diagonals: bool = False, border: Border = "reflect"
) -> jax.Array:
    """Sum of the second differences along H and W (scipy's `laplace`, OpenCV's `ksize=1`).

    >>> laplacian(jnp.array([0.0, 1.0, 0.0]).reshape(1, 3, 1))[0, :, 0]
    Array([1., -2., 1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float or uint8.
        diagonals: counts all eight neighbors, center -8, in place of four, center -4.
        border: how the image goes on outside, see the top of the file.
    Returns: float, `[..., H, W, C]`.
    """
    x = to_compute(image)
    if diagonals:
        return separable(x, np.ones(3), np.ones(3), border) - 9 * x
    around = jax.lax.optimization_barrier(pad(x, 1, border))
    up, _, down = shifts(around[..., 1:-1, :], 3, -3)
    left, _, right = shifts(around[..., 1:-1, :, :], 3, -2)
    return up + down + left + right - 4 * x


def median_filter(image: ArrayLike, size: int = 3, *, border: Border = "reflect") -> jax.Array:
    """Median of the `size x size` pixels around each, without any rounding.

    A network of minima and maxima: 3 x 3 by sorted columns, larger windows by forgetful selection
    (drop the least and the greatest, take in the next pixel), whose cost grows as `size^4`.

    >>> median_filter(jnp.array([0.0, 9.0, 1.0]).reshape(1, 3, 1))[0, :, 0]
    Array([0., 1., 1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`, any real dtype, which is kept.
        size: odd number of pixels; 3 and 5 are fast.
        border: how the image goes on outside, see the top of the file.
    """
    x = check_image(image)
    odd("size", size)
    around = jax.lax.optimization_barrier(pad(x, size // 2, border))
    if size == 3:
        columns = jax.lax.optimization_barrier(_sort3(*shifts(around, 3, -3)))
        low, middle, high = (shifts(c, 3, -2) for c in columns)
        return _sort3(
            functools.reduce(jnp.maximum, low),
            _sort3(*middle)[1],
            functools.reduce(jnp.minimum, high),
        )[1]
    window = [p for row in shifts(around, size, -3) for p in shifts(row, size, -2)]
    kept, rest = window[: len(window) // 2 + 2], window[len(window) // 2 + 2 :]
    while len(kept) > 2:
        for i in range(1, len(kept)):  # the least to the front, then the greatest to the end
            kept[0], kept[i] = jnp.minimum(kept[0], kept[i]), jnp.maximum(kept[0], kept[i])
        for i in range(1, len(kept) - 1):
            kept[-1], kept[i] = jnp.maximum(kept[-1], kept[i]), jnp.minimum(kept[-1], kept[i])
        kept = kept[1:-1] + [rest.pop() for _ in range(min(1, len(rest)))]
    return kept[0]


def bilateral_filter(
    image: ArrayLike,
    size: int = 5,
    *,
    sigma_color: float,
    sigma_space: float,
    border: Border = "mirror",
) -> jax.Array:
    """Edge-keeping blur: each pixel p becomes the mean of its neighbors q, weighted by
    `exp(-|p - q|^2 / 2 sigma_space^2) exp(-|I_p - I_q|_1^2 / 2 sigma_color^2)`.

    As OpenCV: a round window, and the color distance is the sum over the channels.

    >>> row = jnp.array([0.0, 0.1, 1.0]).reshape(1, 3, 1)  # the edge stays, the step of 0.1 goes
    >>> bilateral_filter(row, 3, sigma_color=0.1, sigma_space=9.0)[0, :, 0]
    Array([0.029, 0.083, 1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float or uint8.
        size: odd diameter of the window in pixels.
        sigma_color: in the image's own units (gray levels for uint8), above 0.
        sigma_space: in pixels, above 0.
        border: how the image goes on outside, see the top of the file.
    Returns: the shape and dtype of `image`.
    Raises: ValueError for an even size, a sigma that is not positive, or an unknown border.
    Reference: Tomasi & Manduchi, Bilateral filtering for gray and color images, ICCV 1998.
    """
    odd("size", size)
    if not (sigma_color > 0 and sigma_space > 0):
        raise ValueError(f"both sigmas must be above 0, got {sigma_color} and {sigma_space}")

    def apply(x: jax.Array) -> jax.Array:
        radius = size // 2
        rows = shifts(jax.lax.optimization_barrier(pad(x, radius, border)), size, -3)
        total, weights = jnp.zeros_like(x), jnp.zeros_like(x[..., :1])
        for i, row in enumerate(rows):
            for j, q in enumerate(shifts(row, size, -2)):
                distance = (i - radius) ** 2 + (j - radius) ** 2
                if distance > radius**2:
                    continue
                color = jnp.sum(jnp.abs(q - x), axis=-1, keepdims=True)
                w = jnp.exp(-distance / (2 * sigma_space**2) - color**2 / (2 * sigma_color**2))
                total, weights = total + w * q, weights + w
        return total / weights

    return _in_own_dtype(image, apply)


def check_image(image: ArrayLike) -> jax.Array:
    """`image` as an array, after a check that it can be `[..., H, W, C]`."""
    x = jnp.asarray(image)
    if x.ndim < 3:
        raise ValueError(f"image must be [..., H, W, C], got {x.shape}; gray ones have C = 1")
    if 0 in x.shape[-3:]:
        raise ValueError(f"image must not be empty, got {x.shape}")
    if not (jnp.issubdtype(x.dtype, jnp.floating) or x.dtype == jnp.uint8):
        raise ValueError(f"image must be float or uint8, got {x.dtype}")
    return x


def to_compute(image: ArrayLike) -> jax.Array:
    """The image in its own units as floats that sums can be taken in: at least float32."""
    return _checks.wide(check_image(image))


def to_uint8(levels: jax.Array) -> jax.Array:
    """Gray levels rounded half to even and clipped to 0..255, as OpenCV's saturating cast."""
    return jnp.clip(jnp.round(levels), 0, 255).astype(jnp.uint8)


def in_dtype(levels: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Levels computed in float32 in the dtype of an image: uint8 rounded and clipped."""
    return to_uint8(levels) if dtype == jnp.uint8 else levels.astype(dtype)


def _in_own_dtype(image: ArrayLike, apply: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """`apply` in float32 or wider; the result in the dtype of the image."""
    return in_dtype(apply(to_compute(image)), check_image(image).dtype)


def odd(name: str, size: int) -> int:
    """`size`, after a check that a kernel of it has a center."""
    if size < 1 or size % 2 == 0:
        raise ValueError(f"{name} must be odd and positive, got {size}")
    return size


def gaussian_weights(sigma: float, size: int | None, truncate: float) -> np.ndarray:
    """One-dimensional Gaussian that sums to one."""
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma must be finite and not negative, got {sigma}")
    if not truncate > 0:
        raise ValueError(f"truncate must be above 0, got {truncate}")
    radius = int(truncate * sigma + 0.5) if size is None else odd("size", size) // 2
    if sigma == 0:
        return (np.arange(-radius, radius + 1) == 0).astype(float)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()


def pad(x: jax.Array, radius: int, border: Border, axes: Sequence[int] = (-3, -2)) -> jax.Array:
    """`x [..., H, W, C]` continued by `radius` pixels on both sides of `axes`."""
    if border not in _NUMPY_MODE:
        raise ValueError(f"border must be one of {', '.join(_NUMPY_MODE)}, got {border!r}")
    widths = [(0, 0)] * x.ndim
    for axis in axes:
        widths[axis] = (radius, radius)
    mode = _NUMPY_MODE[border]
    return jnp.pad(x, widths, mode=mode) if radius else x


def shifts(x: jax.Array, size: int, axis: int) -> list[jax.Array]:
    """The `size` windows of `x` along `axis`, each moved on by one pixel."""
    length = x.shape[axis] - size + 1
    return [jax.lax.slice_in_dim(x, i, i + length, axis=axis) for i in range(size)]


def separable(x: jax.Array, rows: np.ndarray, columns: np.ndarray, border: Border) -> jax.Array:
    """Correlation with the outer product of `rows` (along H) and `columns` (along W), both odd.

    One pass an axis; without the barrier XLA would fuse them and compute the first over and over.
    Rows are flattened to `[..., H, W C]`, so that the loop over few channels is not the inner one.
    """
    *batch, H, W, C = x.shape
    x = pad(x, len(rows) // 2, border, (-3,))
    passed = _weighted(shifts(x.reshape(*batch, -1, W * C), len(rows), -2), rows)
    passed = pad(passed.reshape(*batch, H, W, C), len(columns) // 2, border, (-2,))
    flat = jax.lax.optimization_barrier(passed.reshape(*batch, H, -1))
    steps = [jax.lax.slice_in_dim(flat, j * C, (j + W) * C, axis=-1) for j in range(len(columns))]
    return _weighted(steps, columns).reshape(*batch, H, W, C)


def _weighted(arrays: list[jax.Array], weights: np.ndarray) -> jax.Array:
    """`sum_i w_i a_i`; the arrays that share a weight are added first, as in symmetric kernels."""
    groups: dict[float, jax.Array] = {}
    for a, w in zip(arrays, weights.tolist(), strict=True):
        if w:
            groups[w] = groups[w] + a if w in groups else a
    terms = [a if w == 1 else w * a for w, a in groups.items()]
    return functools.reduce(jnp.add, terms)


def _sort3(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    a, b = jnp.minimum(a, b), jnp.maximum(a, b)
    b, c = jnp.minimum(b, c), jnp.maximum(b, c)
    return jnp.minimum(a, b), jnp.maximum(a, b), c
