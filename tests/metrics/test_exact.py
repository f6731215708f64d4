"""Exact under any split, however many rows and whatever the weights: against NumPy's float64.

A float32 stops counting at 2^24 and drifts long before in a sum by index. The heavy case shows it
with few rows: beside a weight of 2^24 a plain float32 sum does not see weights of 1 at all.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import _exact, information, metrics

K, BINS = 3, 15
INPUTS = {"heavy": 3005, "many": 200_000, "mask": 200_000}


@functools.cache
def data(kind):
    """Columns of one length; scores have few digits, so that the approximate metrics are exact."""
    n, rng = INPUTS[kind], np.random.default_rng(0)
    weights = {
        "heavy": np.ones(n, np.float32),
        "many": (rng.random(n) * 10.0 ** rng.integers(-4, 1, n)).astype(np.float32),
        "mask": rng.random(n) < 0.9,
    }[kind]
    labels = rng.choice(K, n, p=(0.6, 0.3, 0.1)).astype(np.int32)
    logits = (rng.normal(size=(n, K)) + 2 * np.eye(K)[labels]).astype(np.float32)
    if kind == "heavy":
        weights[0] = 2**24
    scores = rng.integers(-8, 9, n).astype(np.float32) / 8 + labels / 4
    return {
        "weights": weights,
        "labels": labels,
        "logits": logits,
        "predicted": rng.integers(0, K, n).astype(np.int32),
        "scores": scores.astype(np.float32),
        "targets": (scores + rng.normal(size=n)).astype(np.float32),
        "yes": rng.random((n, K)) < 0.3,
        "true": rng.random((n, K)) < 0.3,
    }


def mean(values, w):
    return np.sum(values * w) / np.sum(w)


def nll(z, y):
    z = z.astype(float)
    return np.log(np.sum(np.exp(z), -1)) - np.take_along_axis(z, y[:, None], -1)[:, 0]


def confusion(p, y, w):
    return np.bincount(y * K + p, w, K * K).reshape(K, K)


def ratios(hits, predicted, actual):
    return hits / predicted, hits / actual, 2 * hits / (predicted + actual)


def precision_recall(p, y, w):
    c = confusion(p, y, w)
    return [np.mean(x) for x in ratios(np.diag(c), c.sum(0), c.sum(1))]


def multilabel(p, y, w):
    counts = [np.sum(x * w[:, None], 0) for x in (p & y, p, y)]
    return [np.mean(x) for x in ratios(*counts)]


def mean_iou(p, y, w):
    c = confusion(p, y, w)
    return np.mean(np.diag(c) / (c.sum(0) + c.sum(1) - np.diag(c)))


def calibration(z, y, w):
    confidence = np.asarray(jnp.max(jax.nn.softmax(z, axis=-1), axis=-1))  # its terms in float32
    index = np.clip(np.ceil(confidence * np.float32(BINS)).astype(int) - 1, 0, BINS - 1)
    gaps = ((z.argmax(-1) == y) - confidence.astype(float)) * w
    return np.sum(np.abs(np.bincount(index, gaps, BINS))) / np.sum(w)


def r2(p, t, w):
    p, t = p.astype(float), t.astype(float)
    return 1 - np.sum(w * (p - t) ** 2) / np.sum(w * (t - mean(t, w)) ** 2)


def by_score(s, y, w):
    """Positive and negative weight at each score, from the greatest."""
    _, group = np.unique(-s, return_inverse=True)
    return np.bincount(group, w * (y > 0)), np.bincount(group, w * (y == 0))


def roc_auc(s, y, w):
    positive, negative = by_score(s, y, w)
    below = np.sum(negative) - np.cumsum(negative) + negative / 2
    return np.sum(positive * below) / np.sum(positive) / np.sum(negative)


def average_precision(s, y, w):
    positive, negative = by_score(s, y, w)
    precision = np.cumsum(positive) / np.cumsum(positive + negative)
    return np.sum(positive * precision) / np.sum(positive)


def square(p, t):
    return (p.astype(float) - t) ** 2


CASES = {
    "mean": (metrics.Mean.from_values, ("scores",), lambda s, w: mean(s.astype(float), w)),
    "accuracy": (
        metrics.Accuracy.from_batch,
        ("predicted", "labels"),
        lambda p, y, w: mean(p == y, w),
    ),
    "log loss": (
        metrics.LogLoss.from_batch,
        ("logits", "labels"),
        lambda z, y, w: mean(nll(z, y), w),
    ),
    "perplexity": (
        metrics.Perplexity.from_batch,
        ("logits", "labels"),
        lambda z, y, w: np.exp(mean(nll(z, y), w)),
    ),
    "confusion": (
        functools.partial(metrics.ConfusionMatrix.from_batch, num_classes=K),
        ("predicted", "labels"),
        confusion,
    ),
    "precision recall": (
        functools.partial(metrics.PrecisionRecall.from_batch, num_classes=K),
        ("predicted", "labels"),
        precision_recall,
    ),
    "multilabel": (metrics.PrecisionRecall.from_multilabel, ("yes", "true"), multilabel),
    "mean iou": (
        functools.partial(metrics.MeanIoU.from_batch, num_classes=K),
        ("predicted", "labels"),
        mean_iou,
    ),
    "calibration": (
        functools.partial(metrics.CalibrationError.from_batch, bins=BINS),
        ("logits", "labels"),
        calibration,
    ),
    "approximate roc auc": (metrics.ApproximateAUROC.from_batch, ("scores", "labels"), roc_auc),
    "approximate average precision": (
        metrics.ApproximateAveragePrecision.from_batch,
        ("scores", "labels"),
        average_precision,
    ),
    "mse": (
        metrics.MeanSquaredError.from_batch,
        ("scores", "targets"),
        lambda p, t, w: mean(square(p, t), w),
    ),
    "rmse": (
        metrics.RootMeanSquaredError.from_batch,
        ("scores", "targets"),
        lambda p, t, w: np.sqrt(mean(square(p, t), w)),
    ),
    "mae": (
        metrics.MeanAbsoluteError.from_batch,
        ("scores", "targets"),
        lambda p, t, w: mean(np.abs(p.astype(float) - t), w),
    ),
    "r2": (metrics.R2.from_batch, ("scores", "targets"), r2),
}
RANKS = {  # these keep every score, and count no weights
    "roc auc": (metrics.AUROC.from_batch, ("scores", "labels"), roc_auc),
    "average precision": (
        metrics.AveragePrecision.from_batch,
        ("scores", "labels"),
        average_precision,
    ),
}


@pytest.mark.parametrize("parts", [1, 5])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", CASES)
def test_any_split_is_numpys_number(name, kind, parts):
    from_batch, columns, want = CASES[name]
    inputs = [data(kind)[column] for column in (*columns, "weights")]

    @jax.jit
    def got(*inputs):
        split = [x.reshape(parts, -1, *x.shape[1:]) for x in inputs]
        values = metrics.merge_stacked(jax.vmap(from_batch)(*split)).compute()
        return jnp.stack(list(values.values())) if isinstance(values, dict) else values

    wanted = want(*inputs[:-1], inputs[-1].astype(float))
    np.testing.assert_allclose(got(*inputs), wanted, rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize("name", RANKS)
def test_ranks_of_many_scores(name):
    from_batch, columns, want = RANKS[name]
    s, y = (data("mask")[column] for column in columns)
    keep = data("mask")["weights"]
    got = jax.jit(lambda *a: from_batch(*a).compute())(s, y > 0, keep)
    np.testing.assert_allclose(got, want(s, y, keep.astype(float)), rtol=1e-6)


def test_the_family_is_whole():
    """A new metric that takes a mask is a new row here (or lives on the host, in whole numbers)."""
    of_host = {"BLEU", "MeanAveragePrecision", "Ranking", "Collection", "Metric", "Total"}
    of_host |= {"Bootstrap", "Interval", "PairedDifference"}  # of any other metric
    classes = {n for n in metrics.__all__ if isinstance(getattr(metrics, n), type)}
    rows = [getattr(f, "func", f).__self__.__name__ for f, *_ in [*CASES.values(), *RANKS.values()]]
    assert classes - of_host - {"ItemLists"} == set(rows)


@pytest.mark.parametrize("weights", [None, np.bool_, np.float32])
def test_more_rows_than_a_float32_counts(weights):
    n = 2**24 + 2**10 + 5
    ones = n - 2**10
    first = np.zeros(n, np.int32)
    first[:ones] = 1
    w = None if weights is None else np.ones(n, weights)

    @jax.jit
    def counted(first, w):
        matrix = metrics.ConfusionMatrix.from_batch(first, first, w, num_classes=2)
        mean = metrics.Mean.from_values(first, w)
        table = information.table_of(first, sizes=(2,), weights=w)
        return table, (matrix.counts, matrix.lost), (mean.weight, mean.weight_lost)

    table, *pairs = counted(first, w)
    counts, weight = (np.asarray(a, float) + np.asarray(b, float) for a, b in pairs)
    np.testing.assert_allclose(table, [2**10 / n, ones / n], rtol=1e-7)
    np.testing.assert_array_equal(counts, np.diag([2**10, ones]))
    assert weight == n


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e30])
@pytest.mark.parametrize("sign", [1, -1])
def test_sum_by_index_is_numpys(scale, sign):
    """Values of all sizes, an index that is dropped, and what is not finite stays in its place."""
    rng = np.random.default_rng(1)
    n, size = 50_000, 7
    values = (sign * scale * rng.random(n) * 10.0 ** rng.integers(-1, 1, n)).astype(np.float32)
    index = rng.integers(0, size + 1, n).astype(np.int32)
    value, lost = jax.jit(_exact.sum_by_index, static_argnums=2)(index, values, size)
    want = np.bincount(index, values.astype(float), size + 1)[:size]
    np.testing.assert_allclose(np.asarray(value, float) + np.asarray(lost, float), want, rtol=1e-11)
    values[np.argmax(index == 2)], values[np.argmax(index == 4)] = np.nan, np.inf
    values[np.argmax(index == size)] = np.nan
    got = jnp.add(*_exact.sum_by_index(index, values, size))
    assert np.isnan(got[2])
    assert got[4] == np.inf
    np.testing.assert_allclose(np.delete(got, [2, 4]), np.delete(want, [2, 4]), rtol=1e-6)
