"""Metrics by hand, at their edges, by the conventions the room states, and on bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdl import losses, metrics
from tests.references import reference

sk = reference("sklearn.metrics")


def test_mean_is_not_a_mean_of_batch_means():
    """T25: 10,000 images in batches of 256; the last 16 weigh as much as any others."""
    values = np.arange(10_000, dtype=np.float32)
    mean = metrics.Mean.empty()
    for start in range(0, 10_000, 256):
        mean = mean.merge(metrics.Mean.from_values(values[start : start + 256]))
    np.testing.assert_allclose(mean.compute(), values.mean(dtype=float), rtol=1e-7)


def test_perplexity_is_weighted_by_tokens():
    """T1: one long sentence and one short one; the exponential of the mean over their tokens."""
    nll = {"long": np.full(99, 1.0), "short": np.full(1, 9.0)}
    mean = metrics.Mean.from_values(nll["long"]).merge(metrics.Mean.from_values(nll["short"]))
    got = metrics.Perplexity(mean).compute()
    np.testing.assert_allclose(got, np.exp(108 / 100), rtol=1e-6)


def test_sums_keep_what_rounding_loses():
    """2e4 merges of 0.1 after 2^24; a plain float32 sum would not move at all."""

    @jax.jit
    def accumulate(start):
        one = metrics.Mean.from_values(jnp.full(1, 0.1))
        return jax.lax.scan(lambda mean, _: (mean.merge(one), None), start, length=20_000)[0]

    start = metrics.Mean.empty().merge(metrics.Mean(jnp.float32(2**24), jnp.float32(2**24)))
    end = accumulate(start)
    np.testing.assert_allclose(end.total + float(end.total_lost), 2**24 + 2000, rtol=1e-8)
    np.testing.assert_allclose(end.weight + float(end.weight_lost), 2**24 + 20000, rtol=1e-8)
    one = metrics.Total.of(jnp.ones(()))
    total = metrics.Total.of(jnp.float32(2**24)).merge(one).merge(one).merge(one)
    assert float(total.value) + float(total.lost) == 2**24 + 3


def test_an_infinite_value_stays_infinite():
    mean = metrics.Mean.from_values(jnp.array([jnp.inf])).merge(metrics.Mean.from_values([1.0]))
    assert mean.compute() == jnp.inf


@given(st.lists(st.floats(-5, 5, width=16), min_size=2, max_size=30), st.integers(0, 2**30))
def test_auc_of_logits_is_that_of_probabilities(values, seed):
    """T2: ranks decide, not thresholds; the signs, zeros of both signs and ties of logits too."""
    scores = np.resize(np.float32(values), 30)
    labels = np.random.default_rng(seed).integers(0, 2, 30)
    labels[:2] = [0, 1]
    got = AUC(scores, labels)
    np.testing.assert_allclose(got, sk.roc_auc_score(labels, scores), rtol=1e-6)
    np.testing.assert_allclose(AUC(1e4 * scores, labels), got, rtol=1e-6)


AUC = jax.jit(lambda scores, labels: metrics.AUROC.from_batch(scores, labels).compute())


def test_auc_of_the_strangest_floats():
    tiny = np.float32(1e-45)
    scores = np.array([-np.inf, -1, -tiny, -0.0, 0.0, tiny, 1, np.nextafter(1, 2), np.inf, 3])
    scores = scores.astype(np.float32)
    for seed in range(20):
        labels = np.random.default_rng(seed).permutation([0, 1] * 5)
        ranks = np.unique(np.where(scores == 0, 0, scores), return_inverse=True)[1]
        np.testing.assert_allclose(AUC(scores, labels), sk.roc_auc_score(labels, ranks), rtol=1e-6)


def test_auc_of_a_constant_scorer_is_a_half():
    assert AUC(np.full(30, 0.3, np.float32), np.arange(30) % 3 == 0) == 0.5


def test_auc_says_nan_rather_than_something_wrong():
    four = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    assert jnp.isnan(AUC(four, np.ones(4, int)))  # one class
    assert jnp.isnan(AUC(np.array([0.1, np.nan, 0.3, 0.4], np.float32), np.arange(4) % 2))
    full = metrics.AUROC.empty(4).merge(metrics.AUROC.from_batch(four, np.arange(4) % 2))
    assert full.compute() == 0.75
    over = full.merge(metrics.AUROC.from_batch(four[:1], [1]))
    assert int(over.dropped) == 1
    assert jnp.isnan(over.compute())  # a part would be a wrong number
    with pytest.raises(ValueError, match="no place in capacity=4"):
        over.curve()


def test_states_of_different_capacity_merge_into_the_larger():
    a = metrics.AUROC.from_batch(np.array([0.1, 0.9]), np.array([0, 1]), capacity=2)
    b = metrics.AUROC.from_batch(np.array([0.5, 0.4]), np.array([0, 1]), capacity=8)
    for state in (a.merge(b), b.merge(a), metrics.AUROC.empty().merge(a).merge(b)):
        assert state.capacity == 8
        np.testing.assert_allclose(state.compute(), 0.75)


def test_average_precision_is_no_trapezoid():
    labels, scores = np.array([0, 1, 0, 1, 1]), np.float32([0.9, 0.8, 0.7, 0.7, 0.1])
    state = metrics.AveragePrecision.from_batch(scores, labels)
    np.testing.assert_allclose(state.compute(), sk.average_precision_score(labels, scores))
    precision, recall, _ = state.curve()
    assert abs(sk.auc(recall, precision) - state.compute()) > 0.05


def test_curves_are_sklearns():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 50), rng.integers(0, 9, 50).astype(np.float32)
    roc = metrics.AUROC.from_batch(scores, labels).curve()
    for got, want in zip(roc, sk.roc_curve(labels, scores, drop_intermediate=False), strict=True):
        np.testing.assert_allclose(got, want)
    precision, recall, _ = metrics.AveragePrecision.from_batch(scores, labels).curve()
    want_precision, want_recall, _ = sk.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(precision[::-1], want_precision[:-1])
    np.testing.assert_allclose(recall[::-1], want_recall[:-1])


@pytest.mark.parametrize("bits", [9, 16])
@pytest.mark.parametrize("logits", [True, False])
def test_approximate_auc_keeps_its_bound(bits, logits):
    """On logits as on probabilities, with no range to choose."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    scores = (rng.normal(size=2000) * 3 + labels).astype(np.float32)
    scores = scores if logits else np.float32(1 / (1 + np.exp(-scores)))
    states = [
        metrics.ApproximateAUROC.from_batch(scores[i::2], labels[i::2], bits=bits) for i in range(2)
    ]
    state = states[0].merge(states[1])
    error = abs(state.compute() - sk.roc_auc_score(labels, scores))
    assert error <= state.error_bound() + 1e-6
    assert state.error_bound() < (5e-3 if bits == 16 else 0.2)
    if bits == 16 and logits:
        average = metrics.ApproximateAveragePrecision.from_batch(scores, labels)
        want = sk.average_precision_score(labels, scores)
        np.testing.assert_allclose(average.compute(), want, atol=2e-3)


def test_approximate_auc_takes_weights_and_leaves_out_padding():
    scores, labels = np.float32([0.1, 0.4, 0.35, 0.8, np.nan]), np.array([0, 0, 1, 1, 0])
    weights = np.float32([1, 2, 3, 0.5, 0])
    got = metrics.ApproximateAUROC.from_batch(scores, labels, weights).compute()
    want = sk.roc_auc_score(labels[:4], scores[:4], sample_weight=weights[:4])
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert jnp.isnan(metrics.ApproximateAUROC.empty().compute())


def test_top_k_prefers_the_lower_class():
    logits, labels = jnp.zeros((3, 4)), jnp.array([0, 1, 3])
    hits = [float(metrics.Accuracy.from_batch(logits, labels, k=k).compute()) for k in (1, 2, 4)]
    np.testing.assert_allclose(hits, [1 / 3, 2 / 3, 1])


def test_accuracy_takes_predicted_classes_and_booleans():
    labels = jnp.array([0, 1, 1, 0])
    assert metrics.Accuracy.from_batch(jnp.array([0, 1, 0, 0]), labels).compute() == 0.75
    assert metrics.Accuracy.from_batch(jnp.array([0.0, 2, -1, -1]) > 0, labels).compute() == 0.75


def test_a_nan_logit_is_a_miss():
    logits = jnp.array([[jnp.nan, 0.0], [jnp.nan, 0.0]])
    accuracy = metrics.Accuracy.from_batch(logits, jnp.array([0, 0]))
    assert accuracy.compute() == 0


def test_macro_counts_absent_classes():
    labels, predicted = np.array([0, 0, 1]), np.array([0, 0, 1])
    got = metrics.PrecisionRecall.from_batch(predicted, labels, num_classes=3).f_score()
    np.testing.assert_allclose(got, 2 / 3)
    assert sk.f1_score(labels, predicted, average="macro") == 1
    want = sk.f1_score(labels, predicted, average="macro", labels=range(3), zero_division=0)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_f_beta_and_binary_average(beta):
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 2, (2, 40))
    state = metrics.PrecisionRecall.from_batch(predicted, labels, num_classes=2, average="binary")
    want = sk.fbeta_score(labels, predicted, beta=beta)
    np.testing.assert_allclose(state.f_score(beta), want, rtol=1e-6)
    np.testing.assert_allclose(state.precision(), sk.precision_score(labels, predicted), rtol=1e-6)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_several_labels_an_example(average):
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 2, (2, 20, 3))
    mask = np.arange(20) < 15
    state = metrics.PrecisionRecall.from_multilabel(predicted, labels, mask, average=average)
    want = sk.f1_score(labels[:15], predicted[:15], average=average)
    np.testing.assert_allclose(state.f_score(), want, rtol=1e-6)


@pytest.mark.parametrize("normalize", ["true", "pred", "all"])
def test_confusion_in_shares(normalize):
    labels, predicted = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 0])
    state = metrics.ConfusionMatrix.from_batch(predicted, labels, num_classes=4)
    want = sk.confusion_matrix(labels, predicted, labels=range(4), normalize=normalize)
    np.testing.assert_allclose(state.compute(normalize), want, rtol=1e-6)


def test_weights_are_sample_weights():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 3, (2, 30))
    weights = rng.uniform(0, 2, 30).astype(np.float32)
    matrix = metrics.ConfusionMatrix.from_batch(predicted, labels, weights, num_classes=3)
    want = sk.confusion_matrix(labels, predicted, sample_weight=weights)
    np.testing.assert_allclose(matrix.compute(), want, rtol=1e-5)
    state = metrics.PrecisionRecall.from_batch(predicted, labels, weights, num_classes=3)
    want = sk.f1_score(labels, predicted, average="macro", sample_weight=weights)
    np.testing.assert_allclose(state.f_score(), want, rtol=1e-5)
    x, y = rng.normal(size=(2, 30)).astype(np.float32)
    got = metrics.R2.from_batch(x, y, weights).compute()
    np.testing.assert_allclose(got, sk.r2_score(y, x, sample_weight=weights), rtol=1e-5)


def test_rmse_is_one_root():
    a = metrics.RootMeanSquaredError.from_batch(jnp.array([3.0]), jnp.array([0.0]))
    b = metrics.RootMeanSquaredError.from_batch(jnp.array([0.0, 0.0]), jnp.array([0.0, 0.0]))
    np.testing.assert_allclose(a.merge(b).compute(), np.sqrt(3), rtol=1e-6)


def test_r2_far_from_zero():
    """T23: the spread of targets near 1e4 keeps its digits; constant targets are defined."""
    rng = np.random.default_rng(0)
    targets = (1e4 + rng.normal(size=(64, 2))).astype(np.float32)
    predictions = targets + rng.normal(size=(64, 2)).astype(np.float32)
    state = metrics.R2.empty(2)
    for i in range(0, 64, 8):
        state = state.merge(metrics.R2.from_batch(predictions[i : i + 8], targets[i : i + 8]))
    want = sk.r2_score(targets.astype(float), predictions.astype(float), multioutput="raw_values")
    np.testing.assert_allclose(state.compute(), want, rtol=2e-6)
    ones = jnp.ones(3)
    assert metrics.R2.from_batch(ones, ones).compute() == 1
    assert metrics.R2.from_batch(ones + 1, ones).compute() == 0


def test_binary_calibration_and_reliability():
    logits, labels = jnp.array([2.0, 2.0, -2.0, 2.0]), jnp.array([1, 0, 0, 1])
    state = metrics.CalibrationError.from_batch(logits, labels, bins=10)
    p = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(state.compute(), abs(p - 0.75), rtol=1e-6)
    confidence, accuracy, weight = state.reliability()
    np.testing.assert_allclose([confidence[8], accuracy[8], weight[8]], [p, 0.75, 4], rtol=1e-6)


def test_mean_iou_ignores_void():
    """T24: void pixels count nowhere, an absent class has no IoU."""
    labels = jnp.array([[[0, 0, 1], [255, 1, 1]]])
    predicted = jnp.array([[[0, 1, 1], [1, 1, 0]]])
    state = metrics.MeanIoU.from_batch(predicted, labels, num_classes=4, ignore_label=255)
    np.testing.assert_allclose(state.per_class(), [1 / 3, 2 / 4, np.nan, np.nan])
    np.testing.assert_allclose(state.compute(), (1 / 3 + 1 / 2) / 2)
    np.testing.assert_allclose(state.pixel_accuracy(), 3 / 5)
    none = metrics.MeanIoU.from_batch(
        predicted, labels, np.array([False]), num_classes=4, ignore_label=255
    )
    assert none.compute() == 0


def test_the_books_sentence_bleu():
    """T8: the precisions of the book's worked example, 4/5, 3/4, 1/3 and 0; edges defined."""
    outputs, wanted = list("ABBCD"), list("ABCDEF")
    short = np.exp(1 - 6 / 5)
    for k, precisions in ((1, [4 / 5]), (2, [4 / 5, 3 / 4]), (3, [4 / 5, 3 / 4, 1 / 3])):
        want = short * np.prod([p**0.5 ** (n + 1) for n, p in enumerate(precisions)])
        assert metrics.d2l_bleu(outputs, wanted, k) == pytest.approx(want)
    assert metrics.d2l_bleu(outputs, wanted, 4) == 0
    assert metrics.d2l_bleu(wanted, wanted, 4) == 1
    assert metrics.d2l_bleu(["A"], ["A"], 4) == 1  # no longer n-grams than the sentence has
    assert metrics.d2l_bleu([], wanted) == 0
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        metrics.d2l_bleu(outputs, wanted, 0)


def test_bleu_against_sacrebleu():
    """T8: corpus BLEU of any split is that of the whole; an empty prediction is defined."""
    sacrebleu = reference("sacrebleu")
    outputs = ["the cat sat on the mat", "there is a dog", "", "It's calm ."]
    wanted = [["the cat sat on a mat"], ["there is a dog here", "a dog is there"], ["x"], ["ok ."]]
    state = metrics.BLEU.empty()
    for i in range(4):
        state = state.merge(metrics.BLEU.from_batch(outputs[i : i + 1], wanted[i : i + 1]))
    streams = [[w[j] if j < len(w) else None for w in wanted] for j in range(2)]
    want = sacrebleu.corpus_bleu(outputs, streams, force=True).score
    np.testing.assert_allclose(state.compute(), want, rtol=1e-12)
    masked = metrics.BLEU.from_batch(outputs, wanted, mask=[True, False, False, False])
    assert masked.compute() == metrics.BLEU.from_batch(outputs[:1], wanted[:1]).compute()
    assert metrics.BLEU.empty().compute() == 0
    assert metrics.BLEU.from_batch([""], [["a"]]).compute() == 0


def test_collection_reaches_every_metric():
    update = jax.jit(
        metrics.Collection.of(
            accuracy=metrics.Accuracy.from_batch,
            loss=metrics.LogLoss.from_batch,
            scores=metrics.PrecisionRecall.from_batch,
        )
    )
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 3, 8)
    state = metrics.Collection.empty()
    for i in (0, 4):
        state = state.merge(update(logits[i : i + 4], labels[i : i + 4], np.ones(4, bool)))
    got = state.compute()
    assert set(got) == {"accuracy", "loss", "scores/precision", "scores/recall", "scores/f1"}
    np.testing.assert_allclose(got["accuracy"], np.mean(logits.argmax(-1) == labels))
    np.testing.assert_allclose(
        got["loss"], losses.softmax_cross_entropy(logits, labels).mean(), rtol=1e-6
    )


def test_labels_out_of_range_in_a_program():
    """A miss, not counted, or NaN where it cannot be told; never the wrong class."""
    logits, labels = jnp.eye(3), jnp.array([0, 7, -1])
    assert metrics.Accuracy.from_batch(logits, labels).mean.total == 1
    assert metrics.ConfusionMatrix.from_batch(logits, labels).compute().sum() == 1
    assert metrics.PrecisionRecall.from_batch(logits, labels).actual.value.sum() == 1
    assert jnp.isnan(metrics.LogLoss.from_batch(logits, labels).compute())


def test_padding_may_hold_any_label_on_the_host():
    labels, mask = np.array([0, -1]), np.array([True, False])
    assert metrics.Accuracy.from_batch(np.eye(2), labels, mask).compute() == 1
    assert metrics.LogLoss.from_batch(np.eye(2), labels, mask).compute() > 0
    metrics.ConfusionMatrix.from_batch(np.eye(2), labels, mask)


def test_negative_weights_show():
    weights = jnp.array([1.0, -1.0])
    assert jnp.isnan(metrics.Mean.from_values(jnp.ones(2), weights).compute())
    with pytest.raises(ValueError, match="weights must not be negative, got -1"):
        metrics.Mean.from_values(jnp.ones(2), np.array([1.0, -1.0]))


Z, Y = jnp.ones((3, 2)), jnp.ones(3, int)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.Mean.from_values(jnp.ones(3), jnp.ones((3, 1))), r"\(3, 1\).*\(3,\)"),
        (lambda: metrics.Accuracy.from_batch(Z, Y[:, None]), r"\(3, 1\).*\(3, 2\)"),
        (lambda: metrics.Accuracy.from_batch(Z, Z[:, 0]), "integers"),
        (lambda: metrics.Accuracy.from_batch(Z, np.array([0, 1, 2])), r"0\.\.1, got 2"),
        (lambda: metrics.Accuracy.from_batch(Y, Y, k=2), "needs logits"),
        (lambda: metrics.Accuracy.from_batch(Z, Y, k=3), r"1\.\.2, got 3"),
        (lambda: metrics.ConfusionMatrix.from_batch(Y, Y), "num_classes"),
        (lambda: metrics.ConfusionMatrix.from_batch(Z, Y, num_classes=5), "num_classes=5"),
        (lambda: metrics.ConfusionMatrix.empty(2).compute("rows"), "normalize"),
        (lambda: metrics.PrecisionRecall.empty(3, average="binary").f_score(), "two classes"),
        (lambda: metrics.PrecisionRecall.empty(3, average="mean").f_score(), "'mean'"),
        (lambda: metrics.PrecisionRecall.empty(3).f_score(-1), "beta"),
        (lambda: metrics.PrecisionRecall.from_multilabel(Y, Y), r"\[B, K\]"),
        (lambda: metrics.CalibrationError.from_batch(Z, Y, bins=0), "bins"),
        (lambda: metrics.MeanSquaredError.from_batch(Z[:, :1], Z[:, 0]), r"\(3, 1\).*\(3,\)"),
        (lambda: metrics.R2.from_batch(Z[:, :1], Z[:, 0]), r"\(3, 1\).*\(3,\)"),
        (lambda: metrics.R2.from_batch(1.0, 1.0), r"\[B\] or \[B, D\]"),
        (lambda: metrics.AUROC.from_batch(Z[:, 0], Y, jnp.ones(3)), "boolean"),
        (lambda: metrics.AUROC.from_batch(Z, Y), r"\(3, 2\).*\(3,\)"),
        (lambda: metrics.AUROC.from_batch(Z[:, 0], np.array([0, 1, 2])), "one of"),
        (lambda: metrics.AUROC.empty(-1), "capacity"),
        (lambda: metrics.ApproximateAUROC.empty(4), "bits"),
        (lambda: metrics.BLEU.from_batch(["a"], []), "1 hypotheses, 0"),
        (lambda: metrics.BLEU.from_batch(["a"], ["a"]), "list of references"),
        (lambda: metrics.merge_stacked(metrics.Mean.empty()), "leading axis"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_every_metric_speaks_the_protocol():
    no_metric = {"ItemLists", "Metric", "Total", "Bootstrap", "Interval", "PairedDifference"}
    for name in metrics.__all__:
        cls = getattr(metrics, name)
        if isinstance(cls, type) and name not in no_metric:
            assert issubclass(cls, metrics.Metric), name
            assert hasattr(cls, "empty"), name
