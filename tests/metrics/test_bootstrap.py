"""Intervals by Poisson resampling: they cover, do not depend on batches, and compare in pairs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxdl import metrics
from jaxdl.metrics import _bootstrap, _curves
from tests.references import reference


def of(metric, outputs, targets, index=None, **options):
    index = np.arange(len(targets)) if index is None else index
    return metrics.bootstrap(metric.from_batch, **options)(outputs, targets, index=index)


def drawn(seed=0, n=300):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-8, 8, n).astype(np.float32) / 4  # ties
    return scores, (scores + rng.normal(size=n) > 0).astype(np.int32)


def test_counts_are_poisson_of_the_seed_and_the_example():
    index = jnp.arange(3000)
    counts = np.asarray(_bootstrap._counts(index, jnp.arange(25), 0))
    shares = [np.mean(counts == k) for k in range(5)]
    np.testing.assert_allclose(shares, [0.3679, 0.3679, 0.1839, 0.0613, 0.0153], atol=0.004)
    assert abs(np.corrcoef(counts[:, :500].T)[np.triu_indices(500, 1)].mean()) < 0.01
    few = np.asarray(_bootstrap._counts(index[7:9], jnp.arange(25), 0))
    np.testing.assert_array_equal(few, counts[:, 7:9])
    assert not np.array_equal(few, _bootstrap._counts(index[7:9], jnp.arange(25), 1))


@pytest.mark.parametrize("metric", [metrics.AUROC, metrics.AveragePrecision])
def test_areas_under_weights_are_scikit_learns(metric):
    scores, labels = drawn()
    weights = np.random.default_rng(1).poisson(1.0, (4, len(scores))).astype(np.float32)
    state = metric.from_batch(scores, labels)
    theirs = {
        metrics.AUROC: sklearn.metrics.roc_auc_score,
        metrics.AveragePrecision: sklearn.metrics.average_precision_score,
    }[metric]
    want = [theirs(labels, scores, sample_weight=w) for w in weights]
    areas = _curves.weighted_areas(state)
    np.testing.assert_allclose(areas.under(weights[:, areas.order]), want, rtol=1e-12)
    ones = areas.under(np.ones((1, len(scores))))
    np.testing.assert_allclose(ones[0], state.compute(), rtol=1e-6)
    assert np.isnan(areas.under((labels == 0)[None, areas.order].astype(float)))[0]
    apart = metric.from_batch(scores + np.arange(len(scores), dtype=np.float32) * 1e-3, labels)
    areas = _curves.weighted_areas(apart)  # no ties
    want = [theirs(labels, np.asarray(apart.scores), sample_weight=w) for w in weights]
    np.testing.assert_allclose(areas.under(weights[:, areas.order]), want, rtol=1e-12)


CASES = {
    "accuracy": (metrics.Accuracy, lambda s, y: (np.stack([-s, s], 1), y)),
    "auc": (metrics.AUROC, lambda s, y: (s, y)),
    "rmse": (metrics.RootMeanSquaredError, lambda s, y: (s, y.astype(np.float32))),
    "r2": (metrics.R2, lambda s, y: (s, y.astype(np.float32))),
}


@pytest.mark.parametrize("name", CASES)
def test_any_split_gives_the_same_interval(name):
    metric, shape = CASES[name]
    outputs, targets = shape(*drawn())
    whole = of(metric, outputs, targets, resamples=40).compute()
    update = metrics.bootstrap(metric.from_batch, resamples=40)
    order = np.random.default_rng(0).permutation(len(targets))
    state = None
    for rows in np.split(order, [37, 150, 151]):
        part = update(outputs[rows], targets[rows], np.ones(len(rows), bool), index=rows)
        state = part if state is None else state.merge(part)
    again = state.compute()
    for field in ("value", "low", "high", "error"):
        assert getattr(again, field) == pytest.approx(getattr(whole, field), rel=1e-5), field


def test_masked_rows_have_no_part_and_programs_are_compiled_once():
    scores, labels = drawn(n=64)
    logits = np.stack([-scores, scores], axis=1)
    update = jax.jit(metrics.bootstrap(metrics.Accuracy.from_batch, resamples=30))
    padded = update(
        np.concatenate([logits, np.full((6, 2), np.nan, np.float32)]),
        np.concatenate([labels, np.zeros(6, np.int32)]),
        np.arange(70) < 64,
        index=np.arange(70),
    ).compute()
    assert padded == of(metrics.Accuracy, logits, labels, resamples=30).compute()


def test_a_metric_of_several_numbers_has_an_interval_for_each():
    scores, labels = drawn()
    logits = np.stack([-scores, scores], axis=1)
    state = metrics.bootstrap(metrics.PrecisionRecall.from_batch, resamples=50)(
        logits, labels, index=np.arange(len(labels))
    )
    intervals = state.compute()
    assert set(intervals) == set(state.whole.compute())
    assert all(i.low <= i.value <= i.high for i in intervals.values())


def test_examples_of_one_number_are_drawn_together():
    """Ten copies of each example say no more than one of each."""
    scores, labels = drawn(n=100)
    logits = np.stack([-scores, scores], axis=1)
    one = of(metrics.Accuracy, logits, labels, resamples=200).compute()
    index = np.repeat(np.arange(100), 10)
    copies = of(metrics.Accuracy, logits[index], labels[index], index, resamples=200).compute()
    assert copies.error == pytest.approx(one.error, rel=1e-4)
    apart = of(metrics.Accuracy, logits[index], labels[index], resamples=200).compute()
    assert apart.error < 0.5 * one.error


def test_two_models_on_the_same_examples():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    good = np.where(rng.random(2000) < 0.90, labels, 1 - labels)
    change = rng.random(2000) < 0.03  # the other is wrong on some more
    worse = np.where(change & (good == labels), 1 - labels, good)
    states = [
        of(metrics.Accuracy, np.eye(2, dtype=np.float32)[p], labels, resamples=400)
        for p in (good, worse)
    ]
    difference = states[0].versus(states[1])
    assert difference.value == pytest.approx(np.mean(good == labels) - np.mean(worse == labels))
    assert difference.low > 0
    assert difference.p < 0.01
    apart = np.hypot(*(state.compute().error for state in states))
    assert difference.error < apart / 2  # pairs are worth that
    same = states[0].versus(states[0])
    assert (same.low, same.high, same.p) == (0, 0, 1)


def test_sentences_and_images_are_resampled_by_their_states():
    reference("sacrebleu")
    texts = ["the cat sat on the mat", "a dog ran far away", "it rains all day long here"]
    pairs = [(a, b) for a in texts for b in (a, "the cat ran on it", "a dog sat far away")] * 8
    states = [metrics.BLEU.from_batch([a], [[b]]) for a, b in pairs]
    found = metrics.bootstrap_states(states, resamples=150)
    whole = metrics.BLEU.from_batch([a for a, _ in pairs], [[b] for _, b in pairs]).compute()
    assert found.value == pytest.approx(whole)
    assert found.low < whole < found.high
    assert 0 < found.error < 15

    # A state that is no sum is merged anew for every resample.
    largest = metrics.bootstrap_states([Largest(float(i)) for i in range(20)], resamples=60)
    assert largest.value == largest.high == 19
    assert largest.low > 10


@dataclasses.dataclass
class Largest:
    value: float

    def merge(self, other):
        return Largest(max(self.value, other.value))

    def compute(self):
        return self.value


@pytest.mark.parametrize("first, second", [(0.0, 5.0), (5.0, 0.0), (0.0, 0.0)])
def test_states_that_add_up_only_by_chance_are_merged(first, second):
    """The largest of 0 and 5 is their sum; five draws of 5 are not 25."""

    @dataclasses.dataclass
    class Peak:
        value: np.ndarray

        def merge(self, other):
            return Peak(np.maximum(self.value, other.value))

        def compute(self):
            return float(self.value)

    states = [Peak(np.array(value)) for value in (first, 3.0, second)]
    found = metrics.bootstrap_states(states, resamples=60)
    assert found.high == found.value == max(first, 3.0, second)


def test_rankings_are_weighted_by_users():
    rng = np.random.default_rng(0)
    scores, relevant = (
        rng.normal(size=(6, 9)).astype(np.float32),
        np.array([[0, 1]] * 5 + [[-1, -1]]),
    )
    weights = np.array([2, 0, 1, 3, 0.5, 4], np.float32)

    @jax.jit
    def ranked(mask):
        return metrics.Ranking.from_batch(scores, relevant, mask, ks=(3,)).compute()

    found, each = ranked(weights), [ranked(np.arange(6) == i) for i in range(5)]
    for name, value in found.items():
        wanted = np.average([one[name] for one in each], weights=weights[:5])
        np.testing.assert_allclose(value, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.bootstrap(metrics.Accuracy.from_batch, resamples=1), "at least 2, got 1"),
        (lambda: metrics.bootstrap(metrics.Accuracy.from_batch, level=1.0), r"in \(0, 1\), got 1"),
        (lambda: of(metrics.R2, np.zeros(3), np.zeros(3), np.zeros(2, int)), "3 integers, got"),
        (
            lambda: metrics.bootstrap(metrics.AUROC.from_batch)(
                np.zeros(2), np.zeros(2, int), index=np.arange(2), capacity=4
            ),
            "a curve with a capacity cannot be resampled",
        ),
        (
            lambda: of(metrics.R2, np.zeros(3), np.zeros(3)).merge(
                of(metrics.R2, np.zeros(3), np.zeros(3), seed=1)
            ),
            "seed and level must be the same",
        ),
        (lambda: metrics.bootstrap_states([]), "needs at least one state"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
