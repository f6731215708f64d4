"""Metrics of a classifier, from logits or from predicted classes."""

import dataclasses
from typing import Literal, Self

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxdl import _checks, _exact, losses
from jaxdl.metrics._base import (
    Mean,
    OfMean,
    Total,
    broadcast_weights,
)

Average = Literal["binary", "macro", "micro", "weighted"] | None


@struct.dataclass
class Accuracy(OfMean):
    """Share of examples whose label has the greatest logit, or one of the k greatest.

    >>> Accuracy.from_batch(jnp.array([[2.0, 1.0], [2.0, 1.0]]), jnp.array([0, 1])).compute()
    Array(0.5, dtype=float32)
    """

    @classmethod
    def from_batch(
        cls, outputs: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None, *, k: int = 1
    ) -> Self:
        """Counts hits.

        Args:
            outputs: logits `[B, ..., K]`, or predicted classes `[B, ...]` as integers or booleans.
            labels: integers `[B, ...]`; those out of range are misses.
            mask: mask or weights `[B]` up to `[B, ...]`.
            k: a label is hit if fewer than k classes come before it; among equal logits the lower
                class comes first, and a NaN at the label is a miss.
        Raises: ValueError if the shapes do not fit, labels on the host are out of range, or k > 1
            with predicted classes.
        """
        outputs, labels = _pair(outputs, labels, mask)
        if outputs.ndim == labels.ndim:
            if k != 1:
                raise ValueError(f"k={k} needs logits, got predicted classes {outputs.shape}")
            return cls(mean=Mean.from_values(outputs == labels, mask))
        num_classes = outputs.shape[-1]
        if not 1 <= k <= num_classes:
            raise ValueError(f"k must lie in 1..{num_classes}, got {k}")
        inside = (labels >= 0) & (labels < num_classes)
        index = jnp.where(inside, labels, 0)[..., None]
        own = jnp.take_along_axis(outputs, index, axis=-1)
        # Counting who comes before is one pass; argmax and top_k are loops on a CPU.
        classes = jax.lax.broadcasted_iota(index.dtype, outputs.shape, outputs.ndim - 1)
        before = (outputs > own) | ((outputs == own) & (classes < index))
        hits = inside & (jnp.sum(before, axis=-1) < k) & ~jnp.isnan(own[..., 0])
        return cls(mean=Mean.from_values(hits, mask))


@struct.dataclass
class LogLoss(OfMean):
    """Mean cross entropy in nats, from logits.

    >>> LogLoss.from_batch(jnp.array([[0.0, 0.0]]), jnp.array([1])).compute()
    Array(0.693, dtype=float32)
    """

    @classmethod
    def from_batch(
        cls, logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None
    ) -> Self:
        """From logits `[B, ..., K]` and classes `[B, ...]`, or logits and 0/1 labels alike."""
        if jnp.shape(logits) == jnp.shape(labels):
            logits, labels = (
                _checks.without_masked(logits, mask),
                _checks.without_masked(labels, mask),
            )
            return cls(mean=Mean.from_values(losses.sigmoid_cross_entropy(logits, labels), mask))
        _pair(logits, labels, mask)  # the host's check knows the mask; the loss then need not
        nll = losses.softmax_cross_entropy(
            _checks.without_masked(logits, mask), jnp.asarray(labels)
        )
        return cls(mean=Mean.from_values(nll, mask))


@struct.dataclass
class ConfusionMatrix:
    """Counts `[K, K]`, rows the true class, columns the predicted one, as in scikit-learn.

    >>> predicted, labels = jnp.array([0, 1, 1]), jnp.array([0, 0, 1])
    >>> ConfusionMatrix.from_batch(predicted, labels, num_classes=2).compute()
    Array([[1., 1.],
           [0., 1.]], dtype=float32)
    """

    counts: jax.Array
    lost: jax.Array  # what rounding lost in merging, see Total

    @classmethod
    def empty(cls, num_classes: int) -> Self:
        zeros = jnp.zeros((num_classes, num_classes))
        return cls(counts=zeros, lost=zeros)

    @classmethod
    def from_batch(
        cls,
        outputs: ArrayLike,
        labels: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        num_classes: int | None = None,
    ) -> Self:
        """Counts pairs.

        Args:
            outputs: logits `[B, ..., K]`, or predicted classes `[B, ...]` with `num_classes`.
            labels: integers `[B, ...]`; in a program a pair out of range is not counted.
            mask: mask or weights `[B]` up to `[B, ...]`.
            num_classes: K.
        Raises: ValueError if the shapes do not fit, K is unknown, or values on the host are out of
            range where the mask is not 0.
        """
        predicted, labels, num_classes = _classes(outputs, labels, mask, num_classes)
        pair = labels * num_classes + predicted
        inside = (labels >= 0) & (labels < num_classes) & (predicted >= 0)
        inside &= predicted < num_classes
        counts = _bincount(jnp.where(inside, pair, num_classes**2), num_classes**2, mask)
        square = num_classes, num_classes
        return cls(counts=counts.value.reshape(square), lost=counts.lost.reshape(square))

    def merge(self, other: Self) -> Self:
        both = Total(self.counts, self.lost).merge(Total(other.counts, other.lost))
        return dataclasses.replace(self, counts=both.value, lost=both.lost)

    def compute(self, normalize: Literal["true", "pred", "all"] | None = None) -> jax.Array:
        """The counts, or shares of each row (true), column (pred) or of everything (all).

        A row or column without an example is 0.
        """
        counts = self.counts + self.lost
        if normalize is None:
            return counts
        axes: dict[str, int | tuple[int, int]] = {"true": 1, "pred": 0, "all": (0, 1)}
        if normalize not in axes:
            raise ValueError(f"normalize must be one of {sorted(axes)} or None, got {normalize!r}")
        total = jnp.sum(counts, axis=axes[normalize], keepdims=True)
        return jnp.where(total == 0, 0.0, counts / jnp.where(total == 0, 1.0, total))


@struct.dataclass
class PrecisionRecall:
    """Precision, recall and F-beta of K classes or K labels, from three counts for each.

    Averages, as in scikit-learn: "binary" is class 1 of two, "macro" the plain mean
    over the classes, "weighted" the mean weighted by how often each occurs, "micro" from the
    counts added over all classes, None one number for each. Where a ratio has denominator 0 it is
    `zero_division`. Unlike scikit-learn's default, classes that never occur are part of the macro
    mean, as its `labels=range(K)` does it.

    >>> labels, options = jnp.array([0, 0, 1]), {"num_classes": 2, "average": None}
    >>> state = PrecisionRecall.from_batch(jnp.array([0, 1, 1]), labels, **options)
    >>> state.precision(), state.recall()
    (Array([1., 0.5], dtype=float32), Array([0.5, 1.], dtype=float32))
    """

    hits: Total  # true positives of each class
    predicted: Total
    actual: Total
    average: Average = struct.field(pytree_node=False, default="macro")
    zero_division: float = struct.field(pytree_node=False, default=0.0)

    @classmethod
    def empty(
        cls, num_classes: int, *, average: Average = "macro", zero_division: float = 0.0
    ) -> Self:
        none = Total.of(jnp.zeros(num_classes))
        return cls(none, none, none, average=average, zero_division=zero_division)

    @classmethod
    def from_batch(
        cls,
        outputs: ArrayLike,
        labels: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        num_classes: int | None = None,
        average: Average = "macro",
        zero_division: float = 0.0,
    ) -> Self:
        """Counts classes; outputs, labels, mask and num_classes as in `ConfusionMatrix`."""
        predicted, labels, size = _classes(outputs, labels, mask, num_classes)

        def count(classes: jax.Array, where: jax.Array) -> Total:
            keep = where & (classes >= 0) & (classes < size)
            return _bincount(jnp.where(keep, classes, size), size, mask)

        everywhere = jnp.ones(labels.shape, bool)
        return cls(
            hits=count(labels, labels == predicted),
            predicted=count(predicted, everywhere),
            actual=count(labels, everywhere),
            average=average,
            zero_division=zero_division,
        )

    @classmethod
    def from_multilabel(
        cls,
        predicted: ArrayLike,
        labels: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        average: Average = "macro",
        zero_division: float = 0.0,
    ) -> Self:
        """Counts yes-or-no answers `[B, K]` (booleans or 0/1), several labels an example."""
        predicted, labels = jnp.asarray(predicted), jnp.asarray(labels)
        _checks.same_shape(predicted=predicted, labels=labels)
        if labels.ndim != 2:
            raise ValueError(f"labels need shape [B, K], got {labels.shape}")
        yes, true = predicted.astype(bool), labels.astype(bool)

        def count(where: jax.Array) -> Total:
            if mask is not None and jnp.issubdtype(jnp.result_type(mask), jnp.bool_):
                where = where & (broadcast_weights(mask, where.shape) != 0)
            elif mask is not None:
                w = broadcast_weights(mask, where.shape)
                return Total(*_exact.sum_all(jnp.where(where, w, 0), axis=0))
            return Total(*_exact.parts_of(jnp.sum(where, axis=0, dtype=jnp.int32)))

        return cls(
            hits=count(yes & true),
            predicted=count(yes),
            actual=count(true),
            average=average,
            zero_division=zero_division,
        )

    def merge(self, other: Self) -> Self:
        return dataclasses.replace(
            self,
            hits=self.hits.merge(other.hits),
            predicted=self.predicted.merge(other.predicted),
            actual=self.actual.merge(other.actual),
        )

    def precision(self) -> jax.Array:
        """Share of what was called a class that is of it, `hits / predicted`."""
        return self._average(lambda hits, predicted, actual: (hits, predicted))

    def recall(self) -> jax.Array:
        """Share of a class that was called so, `hits / actual`."""
        return self._average(lambda hits, predicted, actual: (hits, actual))

    def f_score(self, beta: float = 1.0) -> jax.Array:
        """`(1 + b^2) hits / (b^2 actual + predicted)`: recall counts beta times as much.

        Raises: ValueError if beta is negative or not finite.
        """
        if not 0 <= beta < float("inf"):
            raise ValueError(f"beta must be finite and not negative, got {beta}")
        return self._average(
            lambda hits, predicted, actual: (
                (1 + beta**2) * hits,
                beta**2 * actual + predicted,
            )
        )

    def compute(self) -> dict[str, jax.Array]:
        """`{"precision", "recall", "f1"}`, by the average of this state."""
        return {"precision": self.precision(), "recall": self.recall(), "f1": self.f_score()}

    def _average(self, ratio) -> jax.Array:
        counts = [total.compute() for total in (self.hits, self.predicted, self.actual)]
        if self.average == "micro":
            counts = [jnp.sum(count) for count in counts]
        elif self.average == "binary":
            if len(counts[0]) != 2:
                raise ValueError(f"average='binary' needs two classes, got {len(counts[0])}")
            counts = [count[1] for count in counts]
        elif self.average not in ("macro", "weighted", None):
            raise ValueError(f"no average is called {self.average!r}")
        above, below = ratio(*counts)
        each = jnp.where(below == 0, self.zero_division, above / jnp.where(below == 0, 1.0, below))
        if self.average == "macro":
            return jnp.mean(each)
        if self.average == "weighted":
            actual = counts[2]
            total = jnp.sum(actual)
            mean = jnp.sum(each * actual) / jnp.where(total == 0, 1.0, total)
            return jnp.where(total == 0, self.zero_division, mean)
        return each


@struct.dataclass
class CalibrationError:
    """Expected calibration error, `sum_b n_b / n |accuracy_b - confidence_b|` (Guo et al. 2017).

    Bins are `(i / M, (i + 1) / M]` of the confidence, the probability of the predicted class.

    >>> CalibrationError.from_batch(jnp.array([[9.0, -9.0]] * 2), jnp.array([0, 1])).compute()
    Array(0.5, dtype=float32)
    """

    confidence: Total  # [M] sums
    hits: Total
    weight: Total

    @classmethod
    def empty(cls, bins: int = 15) -> Self:
        none = Total.of(jnp.zeros(bins))
        return cls(none, none, none)

    @classmethod
    def from_batch(
        cls,
        logits: ArrayLike,
        labels: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        bins: int = 15,
    ) -> Self:
        """From logits `[B, ..., K]` and classes `[B, ...]`, or logits and 0/1 labels alike."""
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}")
        if jnp.shape(logits) == jnp.shape(labels):
            logits = _checks.wide(_checks.without_masked(logits, mask))
            confidence = jax.nn.sigmoid(jnp.abs(logits))
            hits = (logits > 0) == (jnp.asarray(labels) > 0)
        else:
            logits, labels = _pair(logits, labels, mask)
            logits = _checks.without_masked(logits, mask)
            confidence = jnp.max(jax.nn.softmax(_checks.wide(logits), axis=-1), axis=-1)
            hits = _argmax(logits) == labels
        index = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)

        return cls(
            confidence=_sum_by_index(index, confidence, bins, mask),
            hits=_bincount(jnp.where(hits, index, bins), bins, mask),
            weight=_bincount(index, bins, mask),
        )

    def merge(self, other: Self) -> Self:
        return dataclasses.replace(
            self,
            confidence=self.confidence.merge(other.confidence),
            hits=self.hits.merge(other.hits),
            weight=self.weight.merge(other.weight),
        )

    def compute(self) -> jax.Array:
        total = jnp.sum(self.weight.compute())
        gap = jnp.abs(self.hits.compute() - self.confidence.compute())
        return jnp.sum(gap) / jnp.where(total == 0, 1.0, total)

    def reliability(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Mean confidence, accuracy and weight of each bin `[M]`, for a reliability diagram."""
        weight = self.weight.compute()
        safe = jnp.where(weight == 0, 1.0, weight)
        return self.confidence.compute() / safe, self.hits.compute() / safe, weight


def _pair(
    outputs: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Logits with their labels, or predicted classes with theirs, checked."""
    shape, wanted = jnp.shape(outputs), jnp.shape(labels)
    if jnp.issubdtype(jnp.result_type(labels), jnp.inexact):
        raise ValueError(f"labels must be integers, got {jnp.result_type(labels)}")
    floating = jnp.issubdtype(jnp.result_type(outputs), jnp.floating)
    if (shape[:-1] if floating else shape) != wanted:
        raise ValueError(
            f"labels {wanted} do not fit {'logits' if floating else 'predicted classes'} {shape}"
        )
    if floating:
        _checks.integers_in("labels", labels, shape[-1], mask)
    return jnp.asarray(outputs), jnp.asarray(labels)


def _classes(
    outputs: ArrayLike, labels: ArrayLike, mask: ArrayLike | None, num_classes: int | None
) -> tuple[jax.Array, jax.Array, int]:
    """Predicted classes, labels and K, all checked."""
    predicted, true = _pair(outputs, labels, mask)
    if predicted.ndim > true.ndim:
        if num_classes not in (None, predicted.shape[-1]):
            raise ValueError(f"num_classes={num_classes} but logits {predicted.shape}")
        return _argmax(predicted), true.astype(jnp.int32), predicted.shape[-1]
    if num_classes is None:
        raise ValueError("predicted classes need num_classes")
    _checks.integers_in("labels", labels, num_classes, mask)
    _checks.integers_in("predicted classes", outputs, num_classes, mask)
    return predicted.astype(jnp.int32), true.astype(jnp.int32), num_classes


def _argmax(logits: jax.Array) -> jax.Array:
    """The first greatest class, by two reductions, which vectorize on a CPU; K where it is NaN."""
    classes = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    top = jnp.max(logits, axis=-1, keepdims=True)
    return jnp.min(jnp.where(logits == top, classes, logits.shape[-1]), axis=-1)


def _bincount(index: jax.Array, size: int, mask: ArrayLike | None) -> Total:
    """How often each of `[size]` occurs; an index of `size` is dropped. Masks count exactly."""
    if mask is None or jnp.issubdtype(jnp.result_type(mask), jnp.bool_):
        if mask is not None:
            index = jnp.where(broadcast_weights(mask, index.shape) == 0, size, index)
        return Total(*_exact.sum_by_index(index.reshape(-1), None, size))
    weights = broadcast_weights(mask, index.shape).reshape(-1)
    return Total(*_exact.sum_by_index(index.reshape(-1), weights, size))


def _sum_by_index(index: jax.Array, values: jax.Array, size: int, mask: ArrayLike | None) -> Total:
    """Sums of values, under a mask or weights, for each of `[size]`."""
    if mask is not None:
        values = _checks.without_masked(values, mask) * broadcast_weights(mask, values.shape)
    return Total(*_exact.sum_by_index(index.reshape(-1), values.reshape(-1), size))
