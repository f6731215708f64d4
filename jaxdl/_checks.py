"""Checks shared by the rooms: shapes while tracing, values on the host only.

The values of a NumPy array (or a list) are known before anything is compiled, so a wrong label in
one raises. A `jax.Array` may be a tracer or live on another machine; for it the functions that
call these checks define an answer instead (NaN, or not counted).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def wide(values: ArrayLike) -> jax.Array:
    """The array in float32, or in its own dtype if that is wider: what sums are taken in."""
    array = jnp.asarray(values)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def without_masked(array: ArrayLike, weights: ArrayLike | None) -> jax.Array:
    """The array with zeros where the weight is 0, so that what lies there has no gradient either.

    Masking what is made of it comes too late: `0 * nan` on the way back is NaN.
    """
    array = jnp.asarray(array)
    if weights is None or not jnp.issubdtype(array.dtype, jnp.inexact):
        return array
    weights = jnp.asarray(weights)
    if weights.shape != array.shape[: weights.ndim]:
        raise ValueError(f"weights {weights.shape} must lead the shape {array.shape}")
    weights = weights.reshape(weights.shape + (1,) * (array.ndim - weights.ndim))
    return jnp.where(weights == 0, 0, array)


def same_shape(**arrays: jax.Array) -> None:
    """Raises ValueError naming every argument unless all shapes are equal: nothing broadcasts."""
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"need one shape, nothing broadcasts: {shapes}")


def integers_in(name: str, values: ArrayLike, stop: int, where: ArrayLike | None = None) -> None:
    """Raises ValueError if integers on the host leave `0..stop-1` (where a mask is not 0)."""
    outside = _host(values, where, lambda v: (v < 0) | (v >= stop))
    if outside is not None and np.issubdtype(outside.dtype, np.integer):
        raise ValueError(f"{name} must lie in 0..{stop - 1}, got {outside[0]}")


def one_of(name: str, values: ArrayLike, allowed: tuple[float, ...]) -> None:
    """Raises ValueError if an array on the host holds a value that is not one of `allowed`."""
    outside = _host(values, None, lambda v: ~np.isin(v, allowed))
    if outside is not None:
        raise ValueError(f"{name} must be one of {allowed}, got {outside[0]}")


def not_negative(name: str, values: ArrayLike) -> None:
    """Raises ValueError if an array on the host holds a negative value."""
    outside = _host(values, None, lambda v: v < 0)
    if outside is not None:
        raise ValueError(f"{name} must not be negative, got {outside[0]}")


def _host(values, where, is_wrong) -> np.ndarray | None:
    """The offending values of a host array, None if there are none or it is a `jax.Array`."""
    if isinstance(values, jax.Array) or isinstance(where, jax.Array):
        return None
    values = np.asarray(values)
    if values.dtype == bool:
        return None
    wrong = is_wrong(values)
    if where is not None:
        where = np.asarray(where)
        if where.shape != values.shape[: where.ndim]:
            return None  # the caller's own check of the shapes speaks first
        wrong &= where.reshape(where.shape + (1,) * (values.ndim - where.ndim)) != 0
    return values[wrong] if wrong.any() else None
