"""Slopes and edges of images `[..., H, W, C]`; gradients come in the units of the image.

A gradient is the pair (x, y): x grows to the right along W, y downwards along H. Kernels are
correlated, `[-1, 0, 1]` answers to a rising edge with a positive number, as scipy and OpenCV have
it. A unit step gives 4 with Sobel and 3 with Prewitt (scipy, OpenCV), or 1 with `normalized=True`
(scikit-image). Borders as in `gaussian_filter`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl.ops._filters import (
    Border,
    check_image,
    gaussian_weights,
    pad,
    separable,
    shifts,
    to_compute,
)


class Gradient(NamedTuple):
    """Slope of an image, `[..., H, W, C]` each."""

    x: jax.Array  # along W, positive where it grows lighter to the right
    y: jax.Array  # along H, positive where it grows lighter downwards


def forward_difference(image: ArrayLike, *, border: Border = "nearest") -> Gradient:
    """`f(x + 1) - f(x)` along W and H, kernel [0, -1, 1]; 0 at the last pixel for 'nearest'.

    >>> forward_difference(jnp.array([0.0, 1.0, 3.0]).reshape(1, 3, 1)).x[0, :, 0]
    Array([1., 2., 0.], dtype=float32)
    """
    return _difference(image, (0, -1, 1), border)


def backward_difference(image: ArrayLike, *, border: Border = "nearest") -> Gradient:
    """`f(x) - f(x - 1)` along W and H, kernel [-1, 1, 0]; 0 at the first pixel for 'nearest'.

    >>> backward_difference(jnp.array([0.0, 1.0, 3.0]).reshape(1, 3, 1)).x[0, :, 0]
    Array([0., 1., 2.], dtype=float32)
    """
    return _difference(image, (-1, 1, 0), border)


def central_difference(image: ArrayLike, *, border: Border = "nearest") -> Gradient:
    """`(f(x + 1) - f(x - 1)) / 2` along W and H, kernel [-1, 0, 1] / 2.

    >>> central_difference(jnp.array([0.0, 1.0, 3.0]).reshape(1, 3, 1)).x[0, :, 0]
    Array([0.5, 1.5, 1.], dtype=float32)
    """
    return _difference(image, (-0.5, 0, 0.5), border)


def prewitt(image: ArrayLike, *, normalized: bool = False, border: Border = "reflect") -> Gradient:
    """Prewitt's gradient: [-1, 0, 1] along one axis, [1, 1, 1] along the other; see `sobel`.

    >>> prewitt(jnp.array([0.0, 1.0, 3.0]).reshape(1, 3, 1)).x[0, :, 0]
    Array([3., 9., 6.], dtype=float32)
    """
    return _smoothed_difference(image, np.array([1.0, 1, 1]), normalized, border)


def sobel(image: ArrayLike, *, normalized: bool = False, border: Border = "reflect") -> Gradient:
    """Sobel's gradient: [-1, 0, 1] along one axis, [1, 2, 1] along the other.

    >>> sobel(jnp.array([0.0, 1.0, 3.0]).reshape(1, 3, 1)).x[0, :, 0]
    Array([4., 12., 8.], dtype=float32)

    Args:
        image: `[..., H, W, C]`, float or uint8.
        normalized: a unit step gives 1 (scikit-image) in place of 4 (scipy, OpenCV).
        border: how the image goes on outside, see `gaussian_filter`.
    Returns: Gradient of float arrays `[..., H, W, C]`; float32 for uint8.
    """
    return _smoothed_difference(image, np.array([1.0, 2, 1]), normalized, border)


def gradient_magnitude(gradient: Gradient, *, norm: Literal["l1", "l2"] = "l2") -> jax.Array:
    """`sqrt(x^2 + y^2)`, or `|x| + |y|` for 'l1'; where both are 0 its derivative is 0.

    >>> gradient_magnitude(Gradient(x=jnp.array([3.0, 0.0]), y=jnp.array([4.0, 0.0])))
    Array([5., 0.], dtype=float32)
    """
    x, y = gradient
    if norm == "l1":
        return jnp.abs(x) + jnp.abs(y)
    if norm != "l2":
        raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}")
    square = x * x + y * y
    flat = square == 0
    return jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, square)))


def gradient_angle(gradient: Gradient) -> jax.Array:
    """`atan2(y, x)` in (-pi, pi]: 0 grows lighter to the right, pi / 2 downwards; 0 where flat.

    >>> gradient_angle(Gradient(x=jnp.array([1.0, 0.0]), y=jnp.array([0.0, 2.0])))
    Array([0., 1.571], dtype=float32)
    """
    return jnp.arctan2(gradient.y, gradient.x)


def thin_edges(
    gradient: Gradient,
    magnitude: jax.Array,
    *,
    neighbors: Literal["interpolated", "nearest"] = "interpolated",
) -> jax.Array:
    """Keeps a pixel's magnitude where no neighbor across the edge is greater, else 0.

    The magnitude one step along the gradient, and one step against it, is interpolated between
    the two of the eight neighbors that the direction passes between (Canny, 1986); with 'nearest'
    it is that of the neighbor in whose eighth of the circle the direction lies. The outermost
    pixels, whose neighbors are unknown, are 0.

    >>> rows = jnp.array([[1.0, 3.0, 2.0]] * 3)[..., None]
    >>> thin_edges(Gradient(x=jnp.ones_like(rows), y=jnp.zeros_like(rows)), rows)[1, :, 0]
    Array([0., 3., 0.], dtype=float32)
    """
    if neighbors not in ("interpolated", "nearest"):
        raise ValueError(f"neighbors must be 'interpolated' or 'nearest', got {neighbors!r}")
    x, y = gradient
    (nw, n, ne), (w, m, e), (sw, s, se) = (shifts(row, 3, -2) for row in shifts(magnitude, 3, -3))
    inner = (..., slice(1, -1), slice(1, -1), slice(None))
    x, y = x[inner], y[inner]
    steep = jnp.abs(y) > jnp.abs(x)
    same_sign = (x > 0) == (y > 0)
    longer = jnp.where(steep, jnp.abs(y), jnp.abs(x))
    t = jnp.where(steep, jnp.abs(x), jnp.abs(y)) / jnp.where(longer == 0, 1, longer)
    if neighbors == "nearest":  # a direction of up to 22.5 degrees belongs to the axis
        t = (t > np.tan(np.pi / 8)).astype(t.dtype)
    # Of the two opposite neighbors of each kind it does not matter which one is called 'ahead'.
    straight = jnp.where(steep, n, w), jnp.where(steep, s, e)
    lean = jnp.where(steep, ne, sw), jnp.where(steep, sw, ne)
    corner = jnp.where(same_sign, nw, lean[0]), jnp.where(same_sign, se, lean[1])
    is_peak = (m >= corner[0] * t + straight[0] * (1 - t)) & (
        m >= corner[1] * t + straight[1] * (1 - t)
    )
    widths = [(0, 0)] * (m.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    return jnp.pad(jnp.where(is_peak, m, 0), widths)


def hysteresis(weak: jax.Array, strong: jax.Array) -> jax.Array:
    """The weak pixels that are joined to a strong one through weak ones, by any of 8 neighbors.

    The fixed point of growing the strong pixels within the weak ones, one image after another, so
    that each stops as soon as it is done; 32 rows travel in one word, so that an iteration touches
    `H W / 32` of them.

    >>> weak = jnp.array([True, True, False, True]).reshape(1, 4, 1)
    >>> hysteresis(weak, jnp.array([True, False, False, False]).reshape(1, 4, 1))[0, :, 0]
    Array([True, True, False, False], dtype=bool)

    Args:
        weak, strong: boolean `[..., H, W, C]`; strong pixels outside `weak` do not count.
    Returns: boolean `[..., H, W, C]`.
    Raises: ValueError if the shapes differ or are not boolean.
    """
    if weak.shape != strong.shape or weak.ndim < 3 or not weak.dtype == strong.dtype == bool:
        raise ValueError(
            "need boolean weak and strong [..., H, W, C] of one shape, got "
            f"{weak.dtype} {weak.shape} and {strong.dtype} {strong.shape}"
        )
    planes = [jnp.moveaxis(a, -1, -3).reshape(-1, *a.shape[-3:-1]) for a in (weak, strong)]
    grown = jax.lax.map(lambda pair: _grow(*pair), tuple(planes))
    *batch, H, W, C = weak.shape
    return jnp.moveaxis(grown.reshape(*batch, C, H, W), -3, -1)


def canny(
    image: ArrayLike,
    sigma: float = 1.0,
    *,
    low: float = 0.1,
    high: float = 0.2,
    gradient: Callable[[jax.Array], Gradient] = sobel,
    norm: Literal["l1", "l2"] = "l2",
    neighbors: Literal["interpolated", "nearest"] = "interpolated",
    border: Border = "constant",
) -> jax.Array:
    """Canny's edges: smooth, slope, thin across the edge, two thresholds, hysteresis.

    scikit-image's conventions: the Gaussian is cut at 4 sigma; for 'constant' borders the smoothing
    averages over the pixels inside only.

    >>> image = jnp.zeros((5, 6, 1)).at[:, 3:].set(1.0)
    >>> canny(image, 0.5)[2, :, 0].astype(int)
    Array([0, 0, 1, 1, 0, 0], dtype=int32)

    Args:
        image: gray, `[..., H, W, 1]`, float or uint8, which is scaled to 0..1 first.
        sigma: of the smoothing in pixels; 0 leaves it out.
        low, high: thresholds on the magnitude for images in 0..1 (a unit step has 4 with Sobel):
            at least `high` starts an edge, at least `low` continues one.
        gradient: `sobel` or `prewitt`, or any other function of the image.
        norm: of the magnitude.
        neighbors: as `thin_edges`.
        border: how the image goes on outside while it is smoothed, see `gaussian_filter`.
    Returns: boolean `[..., H, W, 1]`; the outermost pixels are never edges.
    Raises: ValueError for more than one channel, or unless `0 <= low <= high`.
    Reference: Canny, A computational approach to edge detection, PAMI 1986.
    """
    x = check_image(image)
    if x.shape[-1] != 1:
        raise ValueError(
            f"canny reads gray images [..., H, W, 1], got {x.shape}; see ops.rgb_to_grayscale"
        )
    if not 0 <= low <= high:
        raise ValueError(f"need 0 <= low <= high, got {low} and {high}")
    if min(x.shape[-3:-1]) < 3:
        return jnp.zeros(x.shape, bool)

    def one(x: jax.Array) -> jax.Array:
        x = to_compute(x) / 255 if x.dtype == jnp.uint8 else to_compute(x)
        slope = gradient(_smooth(x, sigma, border))
        slope, magnitude = jax.lax.optimization_barrier(
            (slope, gradient_magnitude(slope, norm=norm))
        )
        edge = thin_edges(slope, magnitude, neighbors=neighbors)
        weak = (edge > 0) & (edge >= low)
        return _grow(weak[..., 0], (weak & (edge >= high))[..., 0])[..., None]

    return jax.lax.map(one, x.reshape(-1, *x.shape[-3:])).reshape(x.shape)


def _difference(image: ArrayLike, kernel: tuple[float, ...], border: Border) -> Gradient:
    x, slope, here = to_compute(image), np.array(kernel, float), np.array([1.0])
    return Gradient(separable(x, here, slope, border), separable(x, slope, here, border))


def _smoothed_difference(
    image: ArrayLike, smooth: np.ndarray, normalized: bool, border: Border
) -> Gradient:
    """Both slopes in one pass over the nine windows: sharing sums would cost a second one."""
    around = jax.lax.optimization_barrier(pad(to_compute(image), 1, border))
    (nw, n, ne), (w, _, e), (sw, s, se) = (shifts(row, 3, -2) for row in shifts(around, 3, -3))
    middle, scale = smooth[1].item(), 1 / smooth.sum().item()
    x = (ne - nw) + middle * (e - w) + (se - sw)
    y = (sw - nw) + middle * (s - n) + (se - ne)
    return Gradient(x * scale, y * scale) if normalized else Gradient(x, y)


def _smooth(x: jax.Array, sigma: float, border: Border) -> jax.Array:
    weights = gaussian_weights(sigma, None, 4.0)
    blurred = separable(x, weights, weights, border)
    if border != "constant":
        return blurred
    rows, columns = (_share_inside(n, weights) for n in x.shape[-3:-1])
    share = np.outer(rows, columns)[:, :, None].astype(x.dtype)
    return blurred / (share + np.finfo(share.dtype).eps)


def _share_inside(length: int, weights: np.ndarray) -> np.ndarray:
    """The weight that falls on pixels inside, for every position along one axis."""
    radius = len(weights) // 2
    return np.convolve(np.ones(length), weights)[radius : radius + length]


def _grow(weak: jax.Array, strong: jax.Array) -> jax.Array:
    """Hysteresis of one plane `[H, W]`, 32 rows a word."""
    H, W = weak.shape
    place = jnp.arange(32, dtype=jnp.uint32)[None, :, None]

    def pack(bits: jax.Array) -> jax.Array:
        rows = jnp.pad(bits, ((0, -H % 32), (0, 0))).reshape(-1, 32, W)
        return jnp.sum(rows.astype(jnp.uint32) << place, axis=1, dtype=jnp.uint32)

    allowed = pack(weak)

    def spread(words: jax.Array) -> jax.Array:
        words = jnp.pad(words, ((1, 1), (1, 1)))
        wide = words[:, :-2] | words[:, 1:-1] | words[:, 2:]  # left, here, right
        above, here, below = shifts(wide, 3, 0)
        return (here | here << 1 | here >> 1 | above >> 31 | below << 31) & allowed

    def body(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        words, _ = carry
        grown = spread(words)
        return grown, jnp.any(grown != words)

    words, _ = jax.lax.while_loop(lambda c: c[1], body, (allowed & pack(strong), jnp.array(True)))
    bits = (words[:, None, :] >> place) & 1
    return bits.reshape(-1, W)[:H].astype(bool)
