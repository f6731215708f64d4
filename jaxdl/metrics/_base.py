"""What every metric is: a state that starts empty, is made from a batch, merges, and computes.

States are pytrees of totals, so that any split into batches, any padding and any number of devices
give the number of the whole set. Nothing is divided before `compute`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxdl import _checks, _exact
from jaxdl._exact import two_sum


@runtime_checkable
class Metric(Protocol):
    """The verbs of a metric; `empty` and `from_batch` are class methods with its own options.

    >>> isinstance(Mean.empty(), Metric), isinstance(0.5, Metric)
    (True, False)
    """

    def merge(self, other: Self) -> Self:
        """Returns the state of both sets together."""
        ...

    def compute(self) -> Any:
        """Returns the metric of everything merged so far."""
        ...


AnyMetric = TypeVar("AnyMetric", bound=Metric)


@struct.dataclass
class Total:
    """A running float32 sum beside the part that rounding lost, good to about 2^-46 of its value.

    A plain float32 sum is off by 1e-5 after 1e5 additions, and stops at 2^24 when counting by ones.

    >>> Total.of(1e8).merge(Total.of(1.0)).merge(Total.of(-1e8)).compute()  # float32 alone gives 0
    Array(1., dtype=float32)
    """

    value: jax.Array
    lost: jax.Array

    @classmethod
    def of(cls, value: ArrayLike) -> Self:
        value = jnp.asarray(value, jnp.float32)
        return cls(value=value, lost=jnp.zeros_like(value))

    def merge(self, other: Self) -> Self:
        value, lost = two_sum(self.value, other.value)
        return dataclasses.replace(self, value=value, lost=self.lost + other.lost + lost)

    def compute(self) -> jax.Array:
        return self.value + self.lost


@struct.dataclass
class Mean:
    """A weighted mean kept as its numerator and denominator; a mean of nothing is 0 by definition.

    >>> Mean.from_values(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])).compute()
    Array(2., dtype=float32)
    """

    total: jax.Array  # sum of weight * value, float32
    weight: jax.Array  # sum of weight, float32
    total_lost: jax.Array | float = 0.0  # what rounding lost in merging, see Total
    weight_lost: jax.Array | float = 0.0

    @classmethod
    def empty(cls) -> Self:
        zero = jnp.zeros(())
        return cls(total=zero, weight=zero, total_lost=zero, weight_lost=zero)

    @classmethod
    def from_values(cls, values: ArrayLike, weights: ArrayLike | None = None) -> Self:
        """Sums values `[B, ...]` under weights or a mask of the same shape, or `[B]`.

        Values whose weight is 0 count for nothing even when they are not finite. The sums are taken
        in float32 whatever the dtype of the values.

        Raises: ValueError if the shape of the weights does not lead that of the values, or weights
            on the host are negative (inside a program they make the mean NaN).
        """
        values = jnp.asarray(values).astype(jnp.float32)
        weight, weight_lost = sum_of_weights(weights, values.shape)
        if weights is not None:
            weights = broadcast_weights(weights, values.shape)
            values = jnp.where(weights == 0, 0.0, values) * weights
        total, total_lost = _exact.sum_all(values)
        return cls(total=total, weight=weight, total_lost=total_lost, weight_lost=weight_lost)

    def merge(self, other: Self) -> Self:
        total, total_lost = two_sum(self.total, other.total)
        weight, weight_lost = two_sum(self.weight, other.weight)
        return dataclasses.replace(
            self,
            total=total,
            weight=weight,
            total_lost=self.total_lost + other.total_lost + total_lost,
            weight_lost=self.weight_lost + other.weight_lost + weight_lost,
        )

    def compute(self) -> jax.Array:
        total, weight = self.total + self.total_lost, self.weight + self.weight_lost
        return jnp.where(weight == 0, 0.0, total / jnp.where(weight == 0, 1.0, weight))


@struct.dataclass
class OfMean:
    """What the metrics that are a mean, or a function of one, have in common."""

    mean: Mean

    @classmethod
    def empty(cls) -> Self:
        return cls(mean=Mean.empty())

    def merge(self, other: Self) -> Self:
        return dataclasses.replace(self, mean=self.mean.merge(other.mean))

    def compute(self) -> jax.Array:
        return self.mean.compute()


@struct.dataclass
class Collection:
    """Several metrics as one: `merge` and `compute` reach each, results come as one flat dict.

    >>> from jaxdl.metrics import Accuracy, LogLoss
    >>> update = Collection.of(accuracy=Accuracy.from_batch, loss=LogLoss.from_batch)
    >>> sorted(update(jnp.array([[0.0, 9.0]]), jnp.array([1]), jnp.array([True])).compute())
    ['accuracy', 'loss']
    """

    metrics: dict[str, Any]

    @classmethod
    def empty(cls) -> Self:
        """Merges with any collection into that one (not in a `scan`, which needs the keys)."""
        return cls(metrics={})

    @classmethod
    def of(cls, **from_batch: Callable[..., Metric]) -> Callable[..., "Collection"]:
        """One function `(outputs, targets, mask) -> Collection` from one for each metric."""

        def update(outputs: Any, targets: Any, mask: ArrayLike | None = None) -> Collection:
            return cls(metrics={name: f(outputs, targets, mask) for name, f in from_batch.items()})

        return update

    def merge(self, other: Self) -> Self:
        merged = {**self.metrics, **other.metrics}
        for name in self.metrics.keys() & other.metrics.keys():
            merged[name] = self.metrics[name].merge(other.metrics[name])
        return dataclasses.replace(self, metrics={name: merged[name] for name in sorted(merged)})

    def compute(self) -> dict[str, jax.Array]:
        """`{name: value}`, or `{name/key: value}` where a metric computes a dict of its own."""
        results = {}
        for name, metric in self.metrics.items():
            value = metric.compute()
            if isinstance(value, Mapping):
                results.update({f"{name}/{key}": part for key, part in value.items()})
            else:
                results[name] = value
        return results


def merge_stacked(states: AnyMetric) -> AnyMetric:
    """Merges states stacked on a leading axis, those of several devices or of a `vmap` or `scan`.

    >>> merge_stacked(jax.vmap(Mean.from_values)(jnp.array([[1.0, 2.0], [3.0, 6.0]]))).compute()
    Array(3., dtype=float32)

    Raises: ValueError if there is no state at all.
    """
    leaves = jax.tree.leaves(states)
    if not leaves or any(jnp.ndim(leaf) == 0 or len(leaf) == 0 for leaf in leaves):
        raise ValueError("every leaf needs a leading axis with at least one state")
    first = jax.tree.map(lambda leaf: leaf[0], states)
    rest = jax.tree.map(lambda leaf: leaf[1:], states)
    return jax.lax.scan(lambda merged, state: (merged.merge(state), None), first, rest)[0]


def broadcast_weights(weights: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """Weights or a mask `[B, ...]` as float32 of `shape`: trailing axes repeat, leading ones never.

    Raises: ValueError where NumPy's rules would broadcast silently, `[B, 1]` against `[B]`, and for
        negative weights on the host; in a program those become NaN.
    """
    _checks.not_negative("weights", weights)
    array = jnp.asarray(weights)
    if array.shape != shape[: array.ndim]:
        raise ValueError(f"weights {array.shape} must lead the shape of the values {shape}")
    if array.dtype != bool:
        array = jnp.where(array < 0, jnp.nan, array.astype(jnp.float32))
    array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim)).astype(jnp.float32)
    return jnp.broadcast_to(array, shape)


def sum_of_weights(
    weights: ArrayLike | None, shape: tuple[int, ...], axis: int | None = None
) -> _exact.Parts:
    """The sum of `broadcast_weights`, over all or along an axis; masks are counted, exactly."""
    if weights is None:
        rest = () if axis is None else shape[:axis] + shape[axis + 1 :]
        value, lost = _exact.parts_of_int(math.prod(shape) if axis is None else shape[axis])
        return jnp.full(rest, value), jnp.full(rest, lost)
    array = broadcast_weights(weights, shape)
    if jnp.issubdtype(jnp.result_type(weights), jnp.bool_):
        return _exact.parts_of(jnp.sum(array != 0, axis=axis, dtype=jnp.int32))
    return _exact.sum_all(array, axis)
