"""Sums that float32 alone gets wrong: numbers in two parts, counts, and sums by index.

A float32 counts to 2^24 and no further, and a long sum into one place drifts. A total is therefore
kept as a float32 and what rounding lost of it, and whatever is scattered is scattered as integers.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Parts = tuple[jax.Array, jax.Array]  # a float32 and what it lacks, together good to 2^-46
_DIGITS = 4  # of 8 bits each; what is left below them is added up as it is
_ROWS = 2**22  # of one pass: so many digits of at most 2^8 cannot leave an int32


def two_sum(a: jax.Array, b: jax.Array) -> Parts:
    """The rounded sum and its exact rounding error (Knuth 1969), 0 where the sum is not finite."""
    total = a + b
    b_part = total - a
    error = (a - (total - b_part)) + (b - b_part)
    return total, jnp.where(jnp.isfinite(total), error, 0.0)


def parts_of(count: jax.Array) -> Parts:
    """An int32 as two float32 parts, exactly."""
    low = count & 4095
    return two_sum((count - low).astype(jnp.float32), low.astype(jnp.float32))


def parts_of_int(count: int) -> tuple[float, float]:
    """A number of Python's as two float32 parts."""
    value = float(np.float32(count))
    return value, count - value


def added(one: Parts, two: Parts) -> Parts:
    """The sum of two numbers in parts."""
    value, lost = two_sum(one[0], two[0])
    return value, lost + (one[1] + two[1])


def sum_all(values: jax.Array, axis: int | None = None) -> Parts:
    """The sum of float32 `values` over everything or along an axis, in parts; as `sum_by_index`.

    The value is `jnp.sum`, with its gradient; what that lost has none.
    """
    plain = jnp.sum(values, axis=axis)
    fixed = jax.lax.stop_gradient(values)
    rows, place = (fixed.reshape(-1), 0) if axis is None else (fixed, axis)
    total = jnp.zeros_like(plain), jnp.zeros_like(plain)
    for start in range(0, rows.shape[place], _ROWS):
        stop = min(start + _ROWS, rows.shape[place])
        some = jax.lax.slice_in_dim(rows, start, stop, axis=place)
        unit = _unit(jnp.max(jnp.abs(some), axis=place, where=jnp.isfinite(some), initial=0.0))
        total = added(
            total,
            _by_digits(
                some / jnp.expand_dims(unit, place), unit, functools.partial(jnp.sum, axis=place)
            ),
        )
    lost = (total[0] - jax.lax.stop_gradient(plain)) + total[1]
    return plain, jnp.where(jnp.isfinite(plain), lost, 0.0)


def sum_by_index(index: jax.Array, values: ArrayLike | None, size: int) -> Parts:
    """`sum over i with index_i = k of values_i` for each k `[size]`; an index of `size` is dropped.

    Args:
        index: int32 `[N]` in 0..size.
        values: float32 `[N]`, or None to count; a place that holds NaN makes its sum NaN.
        size: number of places.
    Returns: float32 `[size]` twice. Counts are exact, sums good to 2^-31 of the greatest value
        times the number of terms, or better.
    """
    if values is None:
        return parts_of(jnp.zeros(size, jnp.int32).at[index].add(1, mode="drop"))
    values = jnp.asarray(values, jnp.float32)
    total = jnp.zeros(size), jnp.zeros(size)
    for start in range(0, len(index), _ROWS):
        some, place = values[start : start + _ROWS], index[start : start + _ROWS]
        counted = jnp.isfinite(some) & (place < size)
        unit = _unit(jnp.max(jnp.abs(some), where=counted, initial=0.0))

        def add(terms: jax.Array, place: jax.Array = place) -> jax.Array:
            return jnp.zeros(size, terms.dtype).at[place].add(terms, mode="drop")

        total = added(total, _by_digits(jnp.where(place < size, some, 0) / unit, unit, add))
    return total


def _unit(greatest: jax.Array) -> jax.Array:
    """A power of 2 not far below or above, so that dividing by it loses nothing."""
    return jnp.ldexp(jnp.float32(1), jnp.clip(jnp.frexp(greatest)[1], -120, 127))


def _by_digits(values: jax.Array, unit: jax.Array, add: Callable[[jax.Array], jax.Array]) -> Parts:
    """The sums, by `add`, of values in -2..2, times `unit`: of one digit after the other."""
    finite = jnp.isfinite(values)
    left = jnp.where(finite, values, 0.0)
    value = lost = jnp.zeros(())
    for place in range(_DIGITS):
        share = 2.0 ** -(7 + 8 * place)
        digit = jnp.round(left / share)
        left = left - digit * share
        high, low = parts_of(add(digit.astype(jnp.int32)))
        value, lost = added((value, lost), (high * share, low * share))
    value, lost = added((value, lost), (add(jnp.where(finite, left, values)), jnp.zeros(())))
    return value * unit, lost * unit
