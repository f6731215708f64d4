"""What a mask leaves out has no part: no value, no gradient, and an empty batch is no batch."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import metrics, ops, word_vectors

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [1.0, 0.0, 1.0]], np.float32)
NUMBERS = np.array([0.5, -1.0, 2.0], np.float32)
LABELS = np.array([0, 2, 1])
MASK = np.array([True, True, False])
DIFFERENTIABLE = {
    "LogLoss": (metrics.LogLoss, LOGITS, LABELS),
    "LogLoss of two classes": (metrics.LogLoss, NUMBERS, np.array([1.0, 0.0, 0.0], np.float32)),
    "CalibrationError": (metrics.CalibrationError, LOGITS, LABELS),
    "Perplexity": (metrics.Perplexity, LOGITS, LABELS),
    "MeanSquaredError": (metrics.MeanSquaredError, NUMBERS, NUMBERS[::-1].copy()),
    "RootMeanSquaredError": (metrics.RootMeanSquaredError, NUMBERS, NUMBERS[::-1].copy()),
    "MeanAbsoluteError": (metrics.MeanAbsoluteError, NUMBERS, NUMBERS[::-1].copy()),
    "R2": (metrics.R2, NUMBERS, NUMBERS[::-1].copy()),
}


@pytest.mark.parametrize("weights", [MASK, MASK.astype(np.float32) * 2], ids=["mask", "weights"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_nan_in_padding_reaches_no_gradient(name, weights):
    """T39: masked after the loss, the value is right and the gradient is NaN."""
    metric, outputs, targets = DIFFERENTIABLE[name]

    def value(outputs, targets, weights):
        return metric.from_batch(outputs, targets, weights).compute()

    want = jax.value_and_grad(value)(outputs[:2], jnp.array(targets[:2]), weights[:2])
    outputs, targets = outputs.copy(), targets.copy()
    outputs[2] = np.nan
    if targets.dtype == np.float32:
        targets[2] = np.nan
    got = jax.value_and_grad(value)(outputs, jnp.array(targets), weights)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6)
    np.testing.assert_allclose(got[1][:2], want[1], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(got[1][2], np.zeros_like(got[1][2]))


def boxes():
    found = ops.Detections(
        np.zeros((0, 3, 4), np.float32),
        np.zeros((0, 3), np.float32),
        np.zeros((0, 3), np.int32),
        np.zeros((0, 3), bool),
    )
    return metrics.MeanAveragePrecision.from_batch(
        found, np.zeros((0, 2, 4), np.float32), np.zeros((0, 2), np.int32), num_classes=2
    )


Z, N, Y = np.zeros((0, 3), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
EMPTY = {
    "Accuracy": lambda m: (metrics.Accuracy.from_batch(Z, Y, m), metrics.Accuracy.empty()),
    "AveragePrecision": lambda m: (
        metrics.AveragePrecision.from_batch(N, Y, m),
        metrics.AveragePrecision.empty(),
    ),
    "ApproximateAveragePrecision": lambda m: (
        metrics.ApproximateAveragePrecision.from_batch(N, Y, m),
        metrics.ApproximateAveragePrecision.empty(),
    ),
    "ApproximateAUROC": lambda m: (
        metrics.ApproximateAUROC.from_batch(N, Y, m),
        metrics.ApproximateAUROC.empty(),
    ),
    "BLEU": lambda m: (metrics.BLEU.from_batch([], []), metrics.BLEU.empty()),
    "CalibrationError": lambda m: (
        metrics.CalibrationError.from_batch(Z, Y, m),
        metrics.CalibrationError.empty(),
    ),
    "ConfusionMatrix": lambda m: (
        metrics.ConfusionMatrix.from_batch(Z, Y, m),
        metrics.ConfusionMatrix.empty(3),
    ),
    "LogLoss": lambda m: (metrics.LogLoss.from_batch(Z, Y, m), metrics.LogLoss.empty()),
    "Mean": lambda m: (metrics.Mean.from_values(N, m), metrics.Mean.empty()),
    "MeanAbsoluteError": lambda m: (
        metrics.MeanAbsoluteError.from_batch(N, N, m),
        metrics.MeanAbsoluteError.empty(),
    ),
    "MeanAveragePrecision": lambda m: (boxes(), metrics.MeanAveragePrecision.empty(2)),
    "MeanIoU": lambda m: (metrics.MeanIoU.from_batch(Z, Y, m), metrics.MeanIoU.empty(3)),
    "MeanSquaredError": lambda m: (
        metrics.MeanSquaredError.from_batch(N, N, m),
        metrics.MeanSquaredError.empty(),
    ),
    "Perplexity": lambda m: (metrics.Perplexity.from_batch(Z, Y, m), metrics.Perplexity.empty()),
    "PrecisionRecall": lambda m: (
        metrics.PrecisionRecall.from_batch(Z, Y, m),
        metrics.PrecisionRecall.empty(3),
    ),
    "R2": lambda m: (metrics.R2.from_batch(N, N, m), metrics.R2.empty()),
    "R2 of outputs": lambda m: (metrics.R2.from_batch(Z, Z, m), metrics.R2.empty(3)),
    "AUROC": lambda m: (metrics.AUROC.from_batch(N, Y, m), metrics.AUROC.empty()),
    "Ranking": lambda m: (metrics.Ranking.from_batch(Z, Y[:, None], m), metrics.Ranking.empty()),
    "RootMeanSquaredError": lambda m: (
        metrics.RootMeanSquaredError.from_batch(N, N, m),
        metrics.RootMeanSquaredError.empty(),
    ),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", EMPTY)
def test_a_batch_of_nothing_is_empty(name, masked):
    batch, empty = EMPTY[name](np.zeros(0, bool) if masked else None)
    chex.assert_trees_all_equal(batch.compute(), empty.compute())
    chex.assert_trees_all_equal(batch.merge(empty).compute(), empty.compute())


def test_every_metric_meets_an_empty_batch():
    classes = {n for n in metrics.__all__ if hasattr(getattr(metrics, n), "merge")}
    assert classes - {"Bootstrap", "Collection", "Metric", "Total"} == {
        name.split()[0] for name in EMPTY
    }


def test_r2_counts_rows_past_a_float32():
    """Its weight, spread and residual are kept in parts as well."""
    heavy = metrics.R2.from_batch(
        np.zeros(2, np.float32), NUMBERS[:2], np.full(2, 2.0**24, np.float32)
    )
    one = metrics.R2.from_batch(NUMBERS[2:], NUMBERS[2:])
    merged = heavy
    for _ in range(5):
        merged = merged.merge(one)
    assert merged.weight.compute() - np.float32(2**25) == 4  # 5, in steps of 4
    assert float(merged.weight.value) + float(merged.weight.lost) == 2**25 + 5


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_neighbors_of_vectors_of_any_scale(scale):
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.1], [0.0, 0.0]], np.float32) * np.float32(
        scale
    )
    cosines, ids = word_vectors.nearest(vectors, vectors[:1], k=4)
    np.testing.assert_array_equal(ids, [[0, 2, 1, 3]])
    np.testing.assert_allclose(cosines, [[1, 3 / np.hypot(3, 0.1), 0, 0]], rtol=1e-6)
