"""Metrics of predicted numbers."""

import dataclasses
from collections.abc import Callable
from typing import Self

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxdl import _checks, losses
from jaxdl._exact import sum_all, two_sum
from jaxdl.metrics._base import (
    Mean,
    OfMean,
    Total,
    broadcast_weights,
    sum_of_weights,
)


@struct.dataclass
class MeanSquaredError(OfMean):
    """Mean of `(y - t)^2` over every element of `[B, ...]`.

    >>> MeanSquaredError.from_batch(jnp.array([1.0, 4.0]), jnp.array([1.0, 2.0])).compute()
    Array(2., dtype=float32)
    """

    @classmethod
    def from_batch(
        cls, predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
    ) -> Self:
        return cls(mean=_mean_of(losses.squared_error, predictions, targets, mask))


@struct.dataclass
class RootMeanSquaredError(OfMean):
    """Root of the mean of `(y - t)^2` over everything: one root at the end, not a mean of roots.

    >>> RootMeanSquaredError.from_batch(jnp.array([3.0, 4.0]), jnp.array([0.0, 0.0])).compute()
    Array(3.536, dtype=float32)
    """

    @classmethod
    def from_batch(
        cls, predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
    ) -> Self:
        return cls(mean=_mean_of(losses.squared_error, predictions, targets, mask))

    def compute(self) -> jax.Array:
        return jnp.sqrt(self.mean.compute())


@struct.dataclass
class MeanAbsoluteError(OfMean):
    """Mean of `|y - t|` over every element of `[B, ...]`.

    >>> MeanAbsoluteError.from_batch(jnp.array([1.0, 4.0]), jnp.array([1.0, 2.0])).compute()
    Array(1., dtype=float32)
    """

    @classmethod
    def from_batch(
        cls, predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
    ) -> Self:
        return cls(mean=_mean_of(losses.absolute_error, predictions, targets, mask))


@struct.dataclass
class R2:
    """Coefficient of determination, `1 - sum (y - t)^2 / sum (t - mean t)^2`, of each output.

    Spreads are merged about their own means (Chan et al. 1979), so a large mean loses nothing.
    Constant targets score 1 if every prediction is right and 0 if not, no targets at all NaN.

    >>> R2.from_batch(jnp.array([1.0, 2.0, 4.0]), jnp.array([1.0, 2.0, 3.0])).compute()
    Array(0.5, dtype=float32)
    """

    weight: Total  # [] or [D], as all
    mean: Total  # of the targets, in two parts: 1e4 + 1e-5 has more digits than a float32
    spread: Total  # sum of squared deviations from that mean
    residual: Total  # sum of squared errors

    @classmethod
    def empty(cls, outputs: int | None = None) -> Self:
        none = Total.of(jnp.zeros(() if outputs is None else outputs))
        return cls(none, none, none, none)

    @classmethod
    def from_batch(
        cls, predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
    ) -> Self:
        """From `[B]`, or `[B, D]` for D outputs; mask or weights `[B]` or of the same shape."""
        predictions, targets = _checks.wide(predictions), _checks.wide(targets)
        _checks.same_shape(predictions=predictions, targets=targets)
        if targets.ndim not in (1, 2):
            raise ValueError(f"targets need shape [B] or [B, D], got {targets.shape}")
        w = jnp.ones(targets.shape) if mask is None else broadcast_weights(mask, targets.shape)
        if len(targets) == 0:
            return cls.empty(*targets.shape[1:])
        error = jnp.where(w == 0, 0, predictions - targets)
        targets = jnp.where(w == 0, 0, targets)
        count = Total(*sum_of_weights(mask, targets.shape, axis=0))
        weight = count.compute()
        # About the first value kept, so that the mean of numbers near 1e4 is as good as any.
        first = jnp.take_along_axis(targets, jnp.argmax(w > 0, axis=0, keepdims=True), axis=0)
        shifted = targets - first
        shift = jnp.add(*sum_all(w * shifted, axis=0)) / jnp.where(weight == 0, 1, weight)
        return cls(
            weight=count,
            mean=Total(*two_sum(first[0], shift)),
            spread=Total(*sum_all(w * jnp.square(shifted - shift[None]), axis=0)),
            residual=Total(*sum_all(w * jnp.square(error), axis=0)),
        )

    def merge(self, other: Self) -> Self:
        weight = self.weight.merge(other.weight)
        own, whole = self.weight.compute(), weight.compute()
        share = other.weight.compute() / jnp.where(whole == 0, 1, whole)
        apart = (other.mean.value - self.mean.value) + (other.mean.lost - self.mean.lost)
        merged = self.mean.merge(Total.of(apart * share))
        mean = jax.tree.map(lambda m, o: jnp.where(own == 0, o, m), merged, other.mean)
        return dataclasses.replace(
            self,
            weight=weight,
            mean=mean,  # from nothing, the other's to its last digit
            spread=self.spread.merge(other.spread).merge(Total.of(jnp.square(apart) * own * share)),
            residual=self.residual.merge(other.residual),
        )

    def compute(self) -> jax.Array:
        spread, residual = self.spread.compute(), self.residual.compute()
        constant = spread == 0
        score = 1 - residual / jnp.where(constant, 1, spread)
        score = jnp.where(constant, (residual == 0).astype(score.dtype), score)
        return jnp.where(self.weight.compute() == 0, jnp.nan, score)


def _mean_of(
    error: Callable[[jax.Array, jax.Array], jax.Array],
    predictions: ArrayLike,
    targets: ArrayLike,
    mask: ArrayLike | None,
) -> Mean:
    _checks.same_shape(predictions=jnp.asarray(predictions), targets=jnp.asarray(targets))
    predictions, targets = (_checks.without_masked(array, mask) for array in (predictions, targets))
    return Mean.from_values(error(predictions, targets), mask)
