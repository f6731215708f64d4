"""What is wrong with a model: bias or variance, and which examples it gets wrong."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike


class Verdict(NamedTuple):
    """Bias and variance, as the two gaps between baseline, training and validation error."""

    bias: float  # training error above the baseline
    variance: float  # validation error above the training error
    high_bias: bool
    high_variance: bool

    @property
    def advice(self) -> str:
        """One line on what tends to help."""
        if self.high_bias and self.high_variance:
            return "high bias and high variance: a better model first, then more data"
        if self.high_bias:
            return "high bias: more or polynomial features, a larger model, a smaller penalty"
        if self.high_variance:
            return "high variance: more data, fewer features, a larger penalty"
        return "neither bias nor variance stands out"


def diagnose(train: float, validation: float, *, baseline: float, tolerance: float) -> Verdict:
    """Bias and variance verdict from errors, smaller being better.

    Args:
        train: error on the training examples.
        validation: error on the held-out ones.
        baseline: the error one may reasonably hope for (people's, a rival's, the noise's).
        tolerance: a gap above it is high, in the unit of the errors.

    Raises: ValueError unless `tolerance` is positive.

    >>> diagnose(10.8, 14.8, baseline=10.6, tolerance=1.0).advice
    'high variance: more data, fewer features, a larger penalty'
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    bias, variance = float(train) - float(baseline), float(validation) - float(train)
    return Verdict(bias, variance, not bias <= tolerance, not variance <= tolerance)


def worst_examples(losses: ArrayLike, k: int) -> np.ndarray:
    """Indices of the k examples of largest loss, the worst first; NaN is worse than any number.

    >>> worst_examples([0.1, 2.0, 0.3, float("nan")], 2)
    array([3, 1])

    Args: losses `[N]`. Ties keep their order; k above N gives all.
    Raises: ValueError for another shape.
    """
    losses = np.asarray(losses)
    if losses.ndim != 1:
        raise ValueError(f"losses need shape [N], got {losses.shape}")
    return np.argsort(-np.where(np.isnan(losses), np.inf, losses), kind="stable")[:k]


def confused_pairs(confusion: ArrayLike, k: int) -> list[tuple[int, int, int]]:
    """The k most frequent mistakes as (true class, predicted class, count), in falling order.

    >>> confused_pairs([[5, 2, 0], [0, 4, 0], [1, 0, 6]], 3)
    [(0, 1, 2), (2, 0, 1)]

    Args: confusion `[K, K]`, rows the true class. Pairs that never occur are left out.
    Raises: ValueError for another shape.
    """
    counts = np.array(confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"confusion needs shape [K, K], got {counts.shape}")
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:k]
    pairs = [(*divmod(int(flat), len(counts)), int(counts.flat[flat])) for flat in order]
    return [pair for pair in pairs if pair[2] > 0]
