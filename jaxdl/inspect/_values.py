"""Arrays that know of every element that is not finite where it arose."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.inspect._places import Place

_HARMLESS = 0.731  # stands for what is not finite: neither 0 nor 1, whose results are special


class Value(NamedTuple):
    """An array, and the origin of each element; None where all are finite."""

    array: Any
    origin: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Extent:
    """What an array holds, in a line."""

    shape: tuple[int, ...]
    dtype: str
    least: float  # of the finite elements; nan if there are none
    greatest: float
    bad: int  # elements that are not finite

    def __str__(self) -> str:
        size = f"{self.dtype}[{','.join(map(str, self.shape))}]"
        text = (
            size if self.least != self.least else f"{size} in [{self.least:g}, {self.greatest:g}]"
        )
        return text + (f", {self.bad} not finite" if self.bad else "")


@dataclasses.dataclass
class Birth:
    """Where elements that are not finite arose."""

    kind: str  # "equation", "input" or "constant"
    name: str  # of the input
    place: Place | None  # the equation, or the first that an input or a constant passes through
    inputs: tuple[Extent, ...]
    output: Extent
    index: tuple[int, ...]  # of the first such element
    value: float  # and what it is
    became_nan: Place | None = None  # where infinities turned to NaN


def attributed(rest: np.ndarray, nan: np.ndarray, alone: dict[int, np.ndarray]) -> np.ndarray:
    """Of each element the first origin that alone makes it what it is, or else not finite."""
    origin = np.zeros(rest.shape, np.int32)
    for strict in (True, False):
        for number, array in alone.items():
            same = (
                np.where(nan, np.isnan(array), ~np.isfinite(array)) if strict else not_finite(array)
            )
            origin = np.where(rest & (origin == 0) & same, number, origin)
    first = min(alone, default=0)  # what only several together do
    return np.where(rest & (origin == 0), first, origin)


def extent(array: Any) -> Extent:
    """Shape, dtype and range of an array."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return Extent(array.shape, str(array.dtype), np.nan, np.nan, 0)
    numbers = np.real(np.asarray(array)).astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    least, greatest = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
    bad = numbers.size - finite.size
    return Extent(tuple(array.shape), str(array.dtype), float(least), float(greatest), bad)


def sliced(value: Value, step: int, axis: int) -> Value:
    """One step along an axis, which goes."""
    origin = None if value.origin is None else np.take(value.origin, step, axis)
    array = value.array[step] if axis == 0 else value.array[:, step]
    return Value(array, origin if origin is not None and origin.any() else None)


def stack(values: list[Value], axis: int) -> Value:
    """Arrays and their origins along a new axis."""
    array = jnp.stack([value.array for value in values], axis)
    if all(value.origin is None for value in values):
        return Value(array)
    return Value(array, np.stack([origin_of(value) for value in values], axis))


def replaced(value: Value, keep: int | None) -> Any:
    """The array with harmless numbers for what is not finite, but for that of one origin."""
    if value.origin is None:
        return value.array
    gone = (value.origin != 0) & (value.origin != keep)
    return jnp.where(gone, jnp.asarray(_HARMLESS, value.array.dtype), value.array)


def origin_of(value: Value) -> np.ndarray:
    """The origin of each element, 0 where it is finite."""
    return np.zeros(np.shape(value.array), np.int32) if value.origin is None else value.origin


def is_floating(array: Any) -> bool:
    """Whether its elements can be other than finite."""
    return jnp.issubdtype(array.dtype, jnp.inexact)


def not_finite(array: Any) -> np.ndarray:
    """Where an array is infinite or NaN."""
    return ~np.isfinite(np.asarray(array))
