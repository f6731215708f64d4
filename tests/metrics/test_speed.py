"""How long a million scores or a million examples of a thousand classes take, beside scikit-learn.

python -m pytest -n 0 -m slow -s tests/metrics/test_speed.py
"""

import time

import jax
import numpy as np
import pytest

from jaxdl import metrics
from tests.references import reference

sk = reference("sklearn.metrics")
N, K = 1_000_000, 1000


def auc(scores, labels):
    return metrics.AUROC.from_batch(scores, labels).compute()


def average_precision(scores, labels):
    return metrics.AveragePrecision.from_batch(scores, labels).compute()


def f1(predicted, labels):
    return metrics.PrecisionRecall.from_batch(predicted, labels, num_classes=K).f_score()


def confusion(predicted, labels):
    return metrics.ConfusionMatrix.from_batch(predicted, labels, num_classes=K).compute()


@pytest.mark.slow
@pytest.mark.parametrize(
    "ours, theirs, at_least",
    [
        (auc, lambda s, y: sk.roc_auc_score(y, s), 3),
        (average_precision, lambda s, y: sk.average_precision_score(y, s), 2),
        (f1, lambda p, y: sk.f1_score(y, p, average="macro"), 3),
        (confusion, lambda p, y: sk.confusion_matrix(y, p), 3),
    ],
)
def test_faster_than_sklearn(ours, theirs, at_least):
    """Alternating runs from NumPy arrays to a NumPy result; the median of the ratios."""
    rng = np.random.default_rng(0)
    if ours in (auc, average_precision):
        labels = rng.integers(0, 2, N)
        outputs = (rng.normal(size=N) + labels).astype(np.float32)
    else:
        labels, other = rng.integers(0, K, (2, N)).astype(np.int32)
        outputs = np.where(rng.random(N) < 0.7, labels, other)
    compiled = jax.jit(ours)
    np.testing.assert_allclose(compiled(outputs, labels), theirs(outputs, labels), rtol=1e-6)
    seconds: dict[str, list[float]] = {"jaxdl": [], "sklearn": []}
    for _ in range(7):
        for name, function in (("jaxdl", compiled), ("sklearn", theirs)):
            start = time.perf_counter()
            np.asarray(function(outputs, labels))
            seconds[name].append(time.perf_counter() - start)
    ratios = np.divide(seconds["sklearn"], seconds["jaxdl"])
    medians = {name: f"{1e3 * np.median(times):.1f} ms" for name, times in seconds.items()}
    print(f"{ours.__name__}: {medians}, ratio {np.median(ratios):.1f}")  # noqa: T201
    assert np.median(ratios) >= at_least
