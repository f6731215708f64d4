"""Every metric: any split into padded, masked batches equals scikit-learn on the whole set.

hypothesis draws the split, the ties, the absent classes and the batches that are all padding.
T1, T25: a mean of batch means fails every one of these.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxdl import metrics
from tests.references import reference

sk = reference("sklearn.metrics")
N, B, K = 19, 8, 4


class Case(NamedTuple):
    from_batch: Callable
    inputs: Callable  # data -> (outputs, targets)
    want: Callable  # outputs, targets -> number or array
    got: Callable = lambda state: state.compute()
    empty: Callable | None = None


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def top_k(z, y):  # the rank of the label, the lower class first among equals
    order = np.argsort(-z, axis=-1, kind="stable")[:, :2]
    return np.mean((order == y[:, None]).any(-1))


def calibration(z, y):
    p = softmax(z)
    confidence, hits = p.max(-1), p.argmax(-1) == y
    bins = np.clip(np.ceil(confidence * 5) - 1, 0, 4)
    gaps = [(hits[bins == b].astype(float) - confidence[bins == b]).sum() for b in range(5)]
    return np.abs(gaps).sum() / len(y)


def scores(average):
    def want(predicted, y):
        got = sk.precision_recall_fscore_support(
            y, predicted, labels=range(K), average=average, zero_division=1.0
        )
        return np.stack(got[:3])

    return Case(
        functools.partial(
            metrics.PrecisionRecall.from_batch, num_classes=K, average=average, zero_division=1.0
        ),
        lambda d: (d.predicted, d.labels),
        want,
        lambda state: jnp.stack(list(state.compute().values())),
        lambda: metrics.PrecisionRecall.empty(K, average=average, zero_division=1.0),
    )


def area(ours, theirs, capacity, needs_negatives):
    def want(s, y):
        missing = y.sum() == 0 or (needs_negatives and y.all())
        return np.nan if missing else theirs(y, s)

    return Case(
        functools.partial(ours.from_batch, capacity=capacity),
        lambda d: (d.scores, d.labels > 1),
        want,
        empty=lambda: ours.empty(capacity),
    )


def iou(predicted, y):
    matrix = sk.confusion_matrix(y, predicted, labels=range(K))
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return np.mean(matrix.diagonal()[union > 0] / union[union > 0])


CASES = {
    "accuracy": Case(
        metrics.Accuracy.from_batch,
        lambda d: (d.logits, d.labels),
        lambda z, y: sk.accuracy_score(y, z.argmax(-1)),
    ),
    "top-2 accuracy": Case(
        functools.partial(metrics.Accuracy.from_batch, k=2),
        lambda d: (d.logits, d.labels),
        top_k,
        empty=metrics.Accuracy.empty,
    ),
    "log loss": Case(
        metrics.LogLoss.from_batch,
        lambda d: (d.logits, d.labels),
        lambda z, y: sk.log_loss(y, softmax(z), labels=range(K)),
    ),
    "perplexity": Case(
        metrics.Perplexity.from_batch,
        lambda d: (d.logits, d.labels),
        lambda z, y: np.exp(sk.log_loss(y, softmax(z), labels=range(K))),
    ),
    "confusion": Case(
        functools.partial(metrics.ConfusionMatrix.from_batch, num_classes=K),
        lambda d: (d.predicted, d.labels),
        lambda p, y: sk.confusion_matrix(y, p, labels=range(K)),
        empty=lambda: metrics.ConfusionMatrix.empty(K),
    ),
    "calibration": Case(
        functools.partial(metrics.CalibrationError.from_batch, bins=5),
        lambda d: (d.logits, d.labels),
        calibration,
        empty=lambda: metrics.CalibrationError.empty(5),
    ),
    **{f"precision recall {a}": scores(a) for a in ("macro", "micro", "weighted", None)},
    "roc auc": area(metrics.AUROC, sk.roc_auc_score, 32, True),
    "average precision": area(metrics.AveragePrecision, sk.average_precision_score, 32, False),
    "mse": Case(
        metrics.MeanSquaredError.from_batch,
        lambda d: (d.scores, d.targets),
        lambda p, t: sk.mean_squared_error(t, p),
    ),
    "rmse": Case(
        metrics.RootMeanSquaredError.from_batch,
        lambda d: (d.scores, d.targets),
        lambda p, t: sk.root_mean_squared_error(t, p),
    ),
    "mae": Case(
        metrics.MeanAbsoluteError.from_batch,
        lambda d: (d.scores, d.targets),
        lambda p, t: sk.mean_absolute_error(t, p),
    ),
    "r2": Case(
        metrics.R2.from_batch,
        lambda d: (d.scores, d.targets),
        lambda p, t: sk.r2_score(t, p),
    ),
    "mean iou": Case(
        functools.partial(metrics.MeanIoU.from_batch, num_classes=K),
        lambda d: (d.predicted, d.labels),
        iou,
        empty=lambda: metrics.MeanIoU.empty(K),
    ),
}


class Data:
    """N examples with ties (scores in tenths) and, for some seeds, classes that never occur."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        present = rng.choice(K, rng.integers(1, K + 1), replace=False)
        self.labels = rng.choice(present, N).astype(np.int32)
        self.predicted = rng.integers(0, K, N).astype(np.int32)
        self.logits = rng.integers(-3, 4, (N, K)).astype(np.float32)
        self.logits[:2] = 1  # all classes tie
        self.scores = rng.integers(-10, 10, N).astype(np.float32) / 10
        self.targets = (self.scores + rng.normal(size=N)).astype(np.float32)


@functools.cache
def update(name):
    """One compiled update for all the batches of all the examples."""
    return jax.jit(lambda outputs, targets, mask: CASES[name].from_batch(outputs, targets, mask))


@functools.cache
def finish(name):
    case = CASES[name]

    @jax.jit
    def merge_and_compute(states):
        start = (case.empty or case.from_batch.__self__.empty)()
        return case.got(start.merge(metrics.merge_stacked(states)))

    return merge_and_compute


def padded(array, rows):
    """Rows of an array in a batch of B, the rest filled with what must not count."""
    fill = np.nan if array.dtype == np.float32 else 0
    batch = np.full((B, *array.shape[1:]), fill, array.dtype)
    batch[: len(rows)] = array[rows]
    return batch


PARTS = 5  # 19 examples in 5 batches of at most 8, some of them empty


@st.composite
def partitions(draw):
    owner = draw(st.lists(st.integers(0, PARTS - 1), min_size=N, max_size=N))
    rows = [[i for i in range(N) if owner[i] == part] for part in range(PARTS)]
    for part in [*range(PARTS), *range(PARTS)]:  # what does not fit moves on
        rows[(part + 1) % PARTS] += rows[part][B:]
        rows[part] = rows[part][:B]
    return rows


@pytest.mark.parametrize("name", CASES)
@given(parts=partitions(), seed=st.integers(0, 10**6))
def test_any_partition_is_the_whole(name, parts, seed):
    case = CASES[name]
    outputs, targets = case.inputs(Data(seed))
    states = [
        update(name)(padded(outputs, rows), padded(targets, rows), np.arange(B) < len(rows))
        for rows in parts
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    want = case.want(outputs.astype(float), targets)
    np.testing.assert_allclose(finish(name)(stacked), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_eight_devices_are_one(name):
    """The same batch over 8 devices, by sharding, and as 8 states merged from `shard_map`."""
    case = CASES[name]
    outputs, targets = case.inputs(Data(3))
    rows = list(range(B - 1))
    args = padded(outputs, rows), padded(targets, rows), np.arange(B) < len(rows)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec("data")
    want = case.want(outputs[rows].astype(float), targets[rows])
    one = case.got(update(name)(*args))
    sharded = [jax.device_put(a, NamedSharding(mesh, spec)) for a in args]
    np.testing.assert_allclose(case.got(update(name)(*sharded)), one, rtol=1e-6, atol=1e-7)

    def local(*args):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], case.from_batch(*args))

    states = jax.jit(
        jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    )(*sharded)
    merged = case.got(metrics.merge_stacked(states))
    np.testing.assert_allclose(merged, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_defined(name):
    """An empty state and an all-masked batch give the same answer, without a warning."""
    case = CASES[name]
    outputs, targets = case.inputs(Data(0))
    nothing = update(name)(padded(outputs, []), padded(targets, []), np.zeros(B, bool))
    got = case.got(nothing)
    empty = (case.empty or case.from_batch.__self__.empty)()
    np.testing.assert_array_equal(got, case.got(empty))
    of_nothing = {"perplexity": 1, "roc auc": np.nan, "average precision": np.nan, "r2": np.nan}
    if name.startswith("precision recall"):
        of_nothing[name] = 1
    np.testing.assert_array_equal(got, np.full_like(got, of_nothing.get(name, 0)))
