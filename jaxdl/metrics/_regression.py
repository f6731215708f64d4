"""Metrics of predicted numbers."""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxdl import _checks, losses
from jaxdl.metrics._base import Mean, OfMean, Total, broadcast_weights, two_sum


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
        return cls(mean=Mean.from_values(losses.squared_error(predictions, targets), mask))


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
        return cls(mean=Mean.from_values(losses.squared_error(predictions, targets), mask))

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
        return cls(mean=Mean.from_values(losses.absolute_error(predictions, targets), mask))


@struct.dataclass
class R2:
    """Coefficient of determination, `1 - sum (y - t)^2 / sum (t - mean t)^2`, of each output.

    Spreads are merged about their own means (Chan et al. 1979), so a large mean loses nothing.
    Constant targets score 1 if every prediction is right and 0 if not, no targets at all NaN.

    >>> R2.from_batch(jnp.array([1.0, 2.0, 4.0]), jnp.array([1.0, 2.0, 3.0])).compute()
    Array(0.5, dtype=float32)
    """

    weight: jax.Array  # [] or [D], as all
    mean: Total  # of the targets, in two parts: 1e4 + 1e-5 has more digits than a float32
    spread: jax.Array  # sum of squared deviations from that mean
    residual: jax.Array  # sum of squared errors

    @classmethod
    def empty(cls, outputs: int | None = None) -> Self:
        zeros = jnp.zeros(() if outputs is None else outputs)
        return cls(zeros, Total.of(zeros), zeros, zeros)

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
        error = jnp.where(w == 0, 0, predictions - targets)
        targets = jnp.where(w == 0, 0, targets)
        weight = jnp.sum(w, axis=0)
        # About the first value kept, so that the mean of numbers near 1e4 is as good as any.
        first = jnp.take_along_axis(targets, jnp.argmax(w > 0, axis=0, keepdims=True), axis=0)
        shifted = targets - first
        shift = jnp.sum(w * shifted, axis=0) / jnp.where(weight == 0, 1, weight)
        return cls(
            weight=weight,
            mean=Total(*two_sum(first[0], shift)),
            spread=jnp.sum(w * jnp.square(shifted - shift[None]), axis=0),
            residual=jnp.sum(w * jnp.square(error), axis=0),
        )

    def merge(self, other: Self) -> Self:
        weight = self.weight + other.weight
        share = other.weight / jnp.where(weight == 0, 1, weight)
        apart = (other.mean.value - self.mean.value) + (other.mean.lost - self.mean.lost)
        merged = self.mean.merge(Total.of(apart * share))
        mean = jax.tree.map(lambda m, o: jnp.where(self.weight == 0, o, m), merged, other.mean)
        return dataclasses.replace(
            self,
            weight=weight,
            mean=mean,  # from nothing, the other's to its last digit
            spread=self.spread + other.spread + jnp.square(apart) * self.weight * share,
            residual=self.residual + other.residual,
        )

    def compute(self) -> jax.Array:
        constant = self.spread == 0
        score = 1 - self.residual / jnp.where(constant, 1, self.spread)
        score = jnp.where(constant, (self.residual == 0).astype(score.dtype), score)
        return jnp.where(self.weight == 0, jnp.nan, score)
