"""Areas under curves of a two-class score: exact from all scores, approximate from a histogram.

A monotone change of the scores (logits or probabilities) changes none of the exact ones.
"""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from jaxdl import _checks, _exact
from jaxdl.metrics._base import Total, broadcast_weights


@struct.dataclass
class _Scores:
    """Scores and labels kept until `compute`, in a growing buffer or within a fixed capacity."""

    scores: jax.Array  # [N] float32
    labels: jax.Array  # [N] int8: 1 positive, 0 negative, -1 an empty place
    count: jax.Array  # int32, how many are kept; with a capacity they are the first ones
    dropped: jax.Array  # int32, how many found no place
    capacity: int | None = struct.field(pytree_node=False, default=None)

    @classmethod
    def empty(cls, capacity: int | None = None) -> Self:
        """No score yet.

        Args:
            capacity: how many scores fit. The state then has one shape, for `scan` and for programs
                that are compiled once; a set that does not fit computes to NaN, never to the value
                of a part. None grows with every merge, outside of programs.
        """
        size = 0 if capacity is None else capacity
        if size < 0:
            raise ValueError(f"capacity must not be negative, got {capacity}")
        zero = jnp.zeros((), jnp.int32)
        places = jnp.full(size, -1, jnp.int8)
        return cls(jnp.zeros(size), places, zero, zero, capacity=capacity)

    @classmethod
    def from_batch(
        cls,
        scores: ArrayLike,
        labels: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        capacity: int | None = None,
    ) -> Self:
        """Keeps the scores of a batch.

        Args:
            scores: `[B, ...]`, the greater the surer of class 1; kept in float32.
            labels: 0/1 or booleans of the same shape; in a program whatever is > 0 is positive.
            mask: boolean `[B]` up to `[B, ...]`. Ranks have no use for other weights.
            capacity: as in `empty`.
        Raises: ValueError if the shapes do not fit, the mask is not boolean, or labels on the host
            are not 0 or 1.
        """
        if mask is None:
            _checks.one_of("labels", labels, (0, 1))
        elif not jnp.issubdtype(jnp.result_type(mask), jnp.bool_):
            raise ValueError(f"mask must be boolean, got {jnp.result_type(mask)}")
        scores, labels = jnp.asarray(scores).astype(jnp.float32), jnp.asarray(labels)
        _checks.same_shape(scores=scores, labels=labels)
        kept = (labels > 0).astype(jnp.int8)
        if mask is not None:
            kept = jnp.where(broadcast_weights(mask, labels.shape) == 0, -1, kept)
        batch = cls(
            scores=scores.reshape(-1),
            labels=kept.reshape(-1),
            count=jnp.sum(kept >= 0, dtype=jnp.int32),
            dropped=jnp.zeros((), jnp.int32),
        )
        return batch if capacity is None else cls.empty(capacity).merge(batch)

    @jax.jit
    def merge(self, other: Self) -> Self:
        if (self.capacity or -1) < (other.capacity or -1):
            return other.merge(self)
        if self.capacity is None:
            return dataclasses.replace(
                self,
                scores=jnp.concatenate([self.scores, other.scores]),
                labels=jnp.concatenate([self.labels, other.labels]),
                count=self.count + other.count,
                dropped=self.dropped + other.dropped,
            )
        keep = other.labels >= 0
        place = jnp.where(keep, self.count + jnp.cumsum(keep) - 1, self.capacity)
        count = jnp.minimum(self.count + other.count, self.capacity)
        return dataclasses.replace(
            self,
            scores=self.scores.at[place].set(other.scores, mode="drop"),
            labels=self.labels.at[place].set(other.labels, mode="drop"),
            count=count,
            dropped=self.dropped + other.dropped + self.count + other.count - count,
        )

    def _points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """At each distinct score, from the greatest: it, and the positives and negatives so far."""
        if int(self.dropped):
            raise ValueError(f"{self.dropped} scores found no place in capacity={self.capacity}")
        labels = np.asarray(self.labels)
        scores, labels = np.asarray(self.scores)[labels >= 0], labels[labels >= 0]
        order = np.argsort(-scores, kind="stable")
        scores, labels = scores[order], labels[order]
        last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
        positives = np.cumsum(labels, dtype=int)
        return scores[last], positives[last], (np.arange(1, len(scores) + 1) - positives)[last]


@struct.dataclass
class AUROC(_Scores):
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half.

    Exact at every scale of the scores; NaN while one of the classes is missing, where a score
    is NaN, or if scores did not fit the capacity.

    >>> AUROC.from_batch(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])).compute()
    Array(0.75, dtype=float32)
    """

    @jax.jit
    def compute(self) -> jax.Array:
        positive, tie, num = _ascending(self.scores, self.labels)
        up_to = jnp.cumsum(positive)
        place = jnp.arange(len(positive))
        negatives_up_to = place + 1 - up_to  # within a tie the positives come last
        negatives_below = tie - (up_to - positive)[tie]
        num_positive = jnp.sum(positive)
        num_negative = num - num_positive
        share = (negatives_up_to + negatives_below).astype(jnp.float32) / (2.0 * num_negative)
        area = jnp.sum(jnp.where(positive == 1, share, 0.0)) / num_positive
        return jnp.where(_broken(self) | (num_positive == 0) | (num_negative == 0), jnp.nan, area)

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """False positive rates, true positive rates, thresholds, as scikit-learn, on the host."""
        scores, positives, negatives = self._points()
        start = np.zeros(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            true = np.concatenate([start, positives / positives[-1:]])
            false = np.concatenate([start, negatives / negatives[-1:]])
        return false, true, np.concatenate([[np.inf], scores])


@struct.dataclass
class AveragePrecision(_Scores):
    """Area under the precision-recall curve, `sum_n (R_n - R_{n-1}) P_n` over distinct scores.

    scikit-learn's average precision; the trapezoid some libraries take is too kind (Davis &
    Goadrich 2006). NaN without a positive, where a score is NaN, or beyond the capacity.

    >>> scores, labels = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
    >>> AveragePrecision.from_batch(scores, labels).compute()
    Array(0.833, dtype=float32)
    """

    @jax.jit
    def compute(self) -> jax.Array:
        positive, tie, num = _ascending(self.scores, self.labels)
        num_positive = jnp.sum(positive)
        hits = num_positive - (jnp.cumsum(positive) - positive)[tie]  # at this score or above
        precision = hits.astype(jnp.float32) / jnp.maximum(num - tie, 1)
        area = jnp.sum(jnp.where(positive == 1, precision, 0.0)) / num_positive
        return jnp.where(_broken(self) | (num_positive == 0), jnp.nan, area)

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Precisions, recalls, thresholds from the greatest score down, on the host."""
        scores, positives, negatives = self._points()
        with np.errstate(invalid="ignore", divide="ignore"):
            recalls = positives / positives[-1:]
        return positives / (positives + negatives), recalls, scores


@struct.dataclass
class _Histogram:
    """Counts of positives and negatives over `2^bits` ranges of the score.

    A range is all floats that share their first `bits` bits (16 is bfloat16), so no lower and upper
    end has to be known: scores are told apart when they differ by a share of `2^(9 - bits)`.
    """

    positive: Total  # [2^bits]
    negative: Total

    @classmethod
    def empty(cls, bits: int = 16) -> Self:
        if not 9 <= bits <= 24:
            raise ValueError(f"bits must lie in 9..24, got {bits}")
        none = Total.of(jnp.zeros(2**bits))
        return cls(none, none)

    @classmethod
    def from_batch(
        cls,
        scores: ArrayLike,
        labels: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        bits: int = 16,
    ) -> Self:
        """Counts scores as the exact metric does; the mask may hold weights, NaN comes last."""
        if not 9 <= bits <= 24:
            raise ValueError(f"bits must lie in 9..24, got {bits}")
        if mask is None:
            _checks.one_of("labels", labels, (0, 1))
        scores, labels = jnp.asarray(scores).astype(jnp.float32), jnp.asarray(labels)
        _checks.same_shape(scores=scores, labels=labels)
        raw = _bits(scores)
        ordered = jnp.where(raw >> 31 == 1, ~raw, raw | jnp.uint32(2**31))
        index = (ordered >> (32 - bits)).astype(jnp.int32).reshape(-1)

        place = index + jnp.where(labels.reshape(-1) > 0, 0, 2**bits)  # of 2 * 2^bits
        weights = None
        if mask is not None:
            weights = broadcast_weights(mask, labels.shape).reshape(-1)
            if jnp.issubdtype(jnp.result_type(mask), jnp.bool_):
                place, weights = jnp.where(weights == 0, 2 ** (bits + 1), place), None
        value, lost = _exact.sum_by_index(place, weights, 2 ** (bits + 1))
        split = value.reshape(2, -1), lost.reshape(2, -1)
        return cls(*(Total(split[0][i], split[1][i]) for i in range(2)))

    def merge(self, other: Self) -> Self:
        return dataclasses.replace(
            self,
            positive=self.positive.merge(other.positive),
            negative=self.negative.merge(other.negative),
        )

    def _shares(self) -> tuple[jax.Array, jax.Array]:
        positive, negative = self.positive.compute(), self.negative.compute()
        return positive / jnp.sum(positive), negative / jnp.sum(negative)


@struct.dataclass
class ApproximateAUROC(_Histogram):
    """ROC AUC in bounded memory: pairs within one range count half, as ties. NaN as `AUROC`.

    >>> scores, labels = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
    >>> ApproximateAUROC.from_batch(scores, labels).compute()
    Array(0.75, dtype=float32)
    """

    def compute(self) -> jax.Array:
        positive, negative = self._shares()
        return jnp.sum(positive * (jnp.cumsum(negative) - 0.5 * negative))

    def error_bound(self) -> jax.Array:
        """The exact area is no further away than this: half of all pairs within one range."""
        positive, negative = self._shares()
        return 0.5 * jnp.sum(positive * negative)


@struct.dataclass
class ApproximateAveragePrecision(_Histogram):
    """Average precision in bounded memory: scores within one range are taken as ties.

    >>> scores, labels = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
    >>> ApproximateAveragePrecision.from_batch(scores, labels).compute()
    Array(0.833, dtype=float32)
    """

    def compute(self) -> jax.Array:
        positive = self.positive.compute()[::-1]
        called = jnp.cumsum(positive + self.negative.compute()[::-1])
        precision = jnp.cumsum(positive) / jnp.where(called == 0, 1.0, called)
        return jnp.sum(positive * precision) / jnp.sum(positive)


def _bits(scores: jax.Array) -> jax.Array:
    """The bits of float32 scores, -0 as 0; comparing as floats would take denormals for 0."""
    raw = jax.lax.bitcast_convert_type(scores, jnp.uint32)
    return jnp.where(raw == jnp.uint32(2**31), jnp.uint32(0), raw)


@dataclasses.dataclass(frozen=True)
class WeightedAreas:
    """The area of a curve under many weightings of its scores, on the host in float64."""

    order: np.ndarray  # `[N]`, of the scores from the highest down: of the weights as well
    positive: np.ndarray  # `[N]` booleans, in that order
    negative: np.ndarray
    first: np.ndarray  # where each tie begins; all N places where there is none
    precision: bool  # average precision, not ROC AUC

    def under(self, weights: np.ndarray) -> np.ndarray:
        """The area `[R]` under weights `[R, N]` from 0 up; NaN where they leave a class out."""
        of_positive, of_negative = (
            np.multiply(weights, which, dtype=float) for which in (self.positive, self.negative)
        )
        if len(self.first) < len(self.order):
            of_positive, of_negative = (
                np.add.reduceat(part, self.first, axis=1) if len(self.first) else part
                for part in (of_positive, of_negative)
            )  # of each distinct score
        above = np.cumsum(of_positive, axis=1)  # at each distinct score or above
        total = of_positive.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            if not self.precision:
                above -= of_positive / 2  # half of a tie
                area = np.einsum("rn,rn->r", of_negative, above)
                return area / (total * of_negative.sum(axis=1))
            seen = above + np.cumsum(of_negative, axis=1)
            np.divide(above, seen, out=above, where=seen > 0)
            return np.einsum("rn,rn->r", of_positive, above) / total


def weighted_areas(state: "AUROC | AveragePrecision") -> WeightedAreas:
    """Sorts N scores, empty places among them, once for all weights."""
    scores, labels = np.asarray(state.scores), np.asarray(state.labels)
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    starts = np.append(True, scores[1:] != scores[:-1])[: len(scores)]
    precision = isinstance(state, AveragePrecision)
    return WeightedAreas(order, labels == 1, labels == 0, np.flatnonzero(starts), precision)


def _broken(state: _Scores) -> jax.Array:
    return (state.dropped > 0) | jnp.any(jnp.isnan(state.scores) & (state.labels >= 0))


def _ascending(scores: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """In ascending order: positives (0 or 1), where each one's tie starts; and how many are real.

    A sort of plain integers is much faster on a CPU than one of floats or with a
    payload, so score and label are packed into 32 bits, exactly: scores that are 0 or of a size in
    2^-63..2^64 need 31 bits. If there are others, the two signs, of 31 bits each, are sorted apart.
    Empty places come at the end, as no positives.
    """
    raw = _bits(scores)
    size, minus, real = raw & jnp.uint32(2**31 - 1), raw >> 31 == 1, labels >= 0
    positive = (labels == 1).astype(jnp.uint32)
    nothing = jnp.uint32(2**32 - 2)  # a NaN's bits, and no positive
    smallest, largest = jnp.uint32(64 << 23), jnp.uint32((192 << 23) - 1)
    num_below = jnp.sum(minus & real, dtype=jnp.int32)

    def sort(where: jax.Array, rank: jax.Array) -> jax.Array:
        return jnp.sort(jnp.where(where & real, (rank << 1) | positive, nothing))

    def together() -> jax.Array:
        middle = jnp.uint32(2**30)
        shift = jnp.where(size == 0, 0, size - smallest)
        return sort(real, jnp.where(minus, middle - shift, middle + shift))

    def apart() -> jax.Array:
        below, above = sort(minus, ~raw), sort(~minus, raw)
        joined = jnp.concatenate([below, jnp.full_like(above, nothing)])
        return jax.lax.dynamic_update_slice(joined, above, (num_below,))[: len(scores)]

    usual = (size == 0) | ((size > smallest) & (size < largest)) | ~real
    packed = jax.lax.cond(jnp.all(usual), together, apart)
    place = jnp.arange(len(scores))
    first = (packed >> 1 != jnp.roll(packed, 1) >> 1) | (place == num_below) | (place == 0)
    tie = jax.lax.cummax(jnp.where(first, place, 0))
    return (packed & 1).astype(jnp.int32), tie, jnp.sum(real, dtype=jnp.int32)
