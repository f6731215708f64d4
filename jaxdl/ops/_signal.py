"""Small operations on sequences and batches of matrices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl._exact import two_sum


def exponential_moving_average(
    x: ArrayLike, decay: float, *, initial: ArrayLike = 0.0, debias: bool = False
) -> jax.Array:
    """Exponentially weighted moving average along the first axis, `y_t = g y_{t-1} + (1 - g) x_t`.

    >>> exponential_moving_average(jnp.array([1.0, 1.0]), 0.5)
    Array([0.5 , 0.75], dtype=float32)

    Args:
        x: `[T, ...]`.
        decay: g in [0, 1): the share of the old value that is kept.
        initial: y before the first step, `[]` or of the shape of one step.
        debias: divide by `1 - g^t`, the weight of the data so far (Adam's correction; with
            `initial` 0 the average of a constant is then the constant from the first step on).
    Returns: `[T, ...]`.
    Raises: ValueError if `decay` is outside [0, 1) or the shapes do not fit.
    """
    x, initial = jnp.asarray(x), jnp.asarray(initial)
    if not 0 <= decay < 1:
        raise ValueError(f"decay must lie in [0, 1), got {decay}")
    if x.ndim == 0 or initial.shape not in ((), x.shape[1:]):
        raise ValueError(f"initial {initial.shape} is no step of x {x.shape}")
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    first = jnp.broadcast_to(initial.astype(x.dtype), x.shape[1:])

    def advance(state, x_t):
        # A step that is short of the last digit of y must not be lost: y is kept in two parts.
        y, lost = state
        apart, apart_lost = two_sum(x_t, -y)
        y, more = two_sum(y, (1 - decay) * apart)
        y, lost = two_sum(y, lost + more + (1 - decay) * (apart_lost - lost))
        return (y, lost), y

    _, y = jax.lax.scan(advance, (first, jnp.zeros_like(first)), x)
    if debias and decay > 0:
        weight = -np.expm1(np.arange(1, len(x) + 1) * math.log(decay))  # 1 - g^t, in float64
        y = y / jnp.asarray(weight, x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return y


def batched_matmul(x: ArrayLike, y: ArrayLike) -> jax.Array:
    """The products `x_n y_n` of n pairs of matrices, `[n, a, b]` and `[n, b, c]` to `[n, a, c]`.

    >>> batched_matmul(jnp.ones((2, 1, 3)), jnp.ones((2, 3, 1))).shape
    (2, 1, 1)

    Raises: ValueError unless both are stacks of n matrices that fit; nothing is broadcast.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 3 or y.ndim != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[1]:
        raise ValueError(f"need [n, a, b] and [n, b, c], got {x.shape} and {y.shape}")
    dtype = jnp.result_type(x, y)
    wide = jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.inexact) else dtype
    highest = jax.lax.Precision.HIGHEST
    products = jnp.einsum("nab,nbc->nac", x, y, precision=highest, preferred_element_type=wide)
    return products.astype(dtype)


def convolve(f: ArrayLike, g: ArrayLike) -> jax.Array:
    """Convolution of two functions given on grids, `(f * g)(x) = sum_t f(t) g(x - t)`.

    Both are zero outside their grid, and the whole result is returned, so the laws hold exactly up
    to rounding: `f * g = g * f`, `(f * g) * h = f * (g * h)`, `f * (g + h) = f * g + f * h`, and
    differences move from one factor to the other, `D(f * g) = Df * g = f * Dg`.

    >>> convolve(jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0]))
    Array([1., 3., 2.], dtype=float32)

    Args:
        f, g: real or complex, of one number of axes, `[n1, n2, ...]` and `[m1, m2, ...]`.
    Returns: `[n1 + m1 - 1, ...]`.
    Raises: ValueError if the numbers of axes differ, or a grid is empty.
    """
    f, g = jnp.asarray(f), jnp.asarray(g)
    if f.ndim != g.ndim or f.size == 0 or g.size == 0:
        raise ValueError(f"need grids with as many axes and no empty one: {f.shape}, {g.shape}")
    dtype = jnp.result_type(f, g, 1.0)
    wide = jnp.promote_types(dtype, jnp.float32)
    f, g = f.astype(wide), g.astype(wide)
    full = jax.scipy.signal.convolve(f, g, mode="full", precision=jax.lax.Precision.HIGHEST)
    return full.astype(dtype)
