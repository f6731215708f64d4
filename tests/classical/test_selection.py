"""Folds, curves, verdicts and error analysis against scikit-learn and worked cases."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model, model_selection

from jaxdl import classical
from tests.classical.real import standardized


@pytest.mark.parametrize("options", [{}, {"seed": 0}, {"labels": True, "seed": 1}])
def test_folds_are_scikit_learns(options):
    y = np.random.default_rng(0).integers(0, 3, 50)
    options = {**options, **({"labels": y} if "labels" in options else {})}
    folds = classical.k_folds(50, 5, **options)
    seed = options.get("seed")
    kind = model_selection.StratifiedKFold if "labels" in options else model_selection.KFold
    want = kind(5, shuffle=seed is not None, random_state=seed).split(np.zeros(50), y)
    for fold, (train, held_out) in enumerate(want):
        np.testing.assert_array_equal(np.flatnonzero(folds.train[fold]), train)
        np.testing.assert_array_equal(np.flatnonzero(folds.validation[fold]), np.sort(held_out))


def test_groups_stay_together_and_time_runs_forward():
    groups = np.arange(40) % 8
    folds = classical.k_folds(40, 4, groups=groups)
    for train, held_out in zip(*folds, strict=True):
        assert not set(groups[train]) & set(groups[held_out])
    folds = classical.k_folds(40, 4, by_time=True)
    for train, held_out in zip(*folds, strict=True):
        assert np.flatnonzero(train).max() < np.flatnonzero(held_out).min()


def test_bad_folds():
    with pytest.raises(ValueError, match=r"k must lie in 2..3 \(the examples\), got 5"):
        classical.k_folds(3, 5)
    with pytest.raises(ValueError, match="stratified folds need two classes"):
        classical.k_folds(10, 2, labels=np.ones(10))
    with pytest.raises(ValueError, match="2 groups do not fill 3 folds"):
        classical.k_folds(10, 3, groups=np.arange(10) % 2)
    with pytest.raises(ValueError, match="choose one of"):
        classical.k_folds(10, 2, labels=np.arange(10) % 2, by_time=True)


@hypothesis.given(
    st.integers(0, 1000), st.integers(10, 60), st.sampled_from(["", "labels", "groups"])
)
def test_split_parts_are_disjoint_and_whole(seed, size, kind):
    labels = np.arange(size) % 2
    groups = np.arange(size) // 2
    options = {"labels": labels} if kind == "labels" else {}
    options = {"groups": groups} if kind == "groups" else options
    parts = classical.train_test_split(size, (0.6, 0.2, 0.2), seed=seed, **options)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(size))
    if kind == "labels":
        for part in parts:
            assert abs(labels[part].sum() - (labels[part] == 0).sum()) <= 2
    if kind == "groups":
        assert sum(len(set(groups[part])) for part in parts) == len(set(groups))


def test_split_in_order_and_bad_shares():
    first, second = classical.train_test_split(10, (0.7, 0.3))
    assert first.tolist() == list(range(7))
    assert second.tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="add up to 1"):
        classical.train_test_split(10, (0.7, 0.2))
    with pytest.raises(ValueError, match="leave a part"):
        classical.train_test_split(2, (0.9, 0.1))


PENALTIES = np.array([0.1, 10.0])


def ridge_path(x, y, weights):
    return classical.ridge_path(x, y, PENALTIES, weights)[0]


def squared_errors(params, x, y, weights):
    each = jax.vmap(classical.linear, (0, None))(params, x)
    return jax.vmap(classical.mean_squared_error, (0, None, None))(each, y, weights)


@pytest.mark.parametrize("vectorize", ["vmap", "map"])
def test_learning_curve_agrees_with_scikit_learn(vectorize):
    x, y = standardized("diabetes")
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    sizes = [40, 150, 353]
    curve = jax.jit(
        lambda x, y: classical.learning_curve(
            ridge_path,
            squared_errors,
            x,
            y,
            classical.k_folds(len(y), 5),
            sizes,
            vectorize=vectorize,
        )
    )(x, y)
    assert curve.train.shape == (5, 3, 2)
    for p, penalty in enumerate(PENALTIES):
        _, train, held_out = model_selection.learning_curve(
            linear_model.Ridge(penalty),
            x,
            y,
            train_sizes=sizes,
            cv=5,
            scoring="neg_mean_squared_error",
        )
        np.testing.assert_allclose(curve.train[..., p].T, -train, rtol=1e-4)
        np.testing.assert_allclose(curve.validation[..., p].T, -held_out, rtol=1e-4)


def test_published_cross_validation_scores():
    """Means over five shuffled folds: least squares R2 .4892 on diabetes, logistic .9789."""
    x, y = standardized("diabetes")
    folds = classical.k_folds(len(y), 5, seed=0)
    scores = classical.cross_validate(
        lambda x, y, w: classical.fit_least_squares(x, y, w)[0],
        lambda p, x, y, w: classical.r_squared(classical.linear(p, x), y, w),
        x,
        y,
        folds,
    )
    np.testing.assert_allclose(scores.validation.mean(), 0.4892, atol=5e-5)
    x, y = standardized("breast_cancer")
    folds = classical.k_folds(len(y), 5, seed=0, labels=y)
    scores = classical.cross_validate(
        lambda x, y, w: classical.fit_logistic(x, y, 1.0, w)[0],
        lambda p, x, y, w: classical.accuracy(classical.classify(classical.linear(p, x)), y, w),
        x,
        y,
        folds,
    )
    np.testing.assert_allclose(scores.validation.mean(), 0.9789, atol=2e-3)


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"sizes must lie in 1..8, got 5..9"):
        classical.growing(classical.k_folds(10, 5), [5, 9])


def test_verdict_of_the_speech_example():
    """People 10.6 %, training 10.8 %, validation 14.8 %: variance, not bias."""
    verdict = functools.partial(classical.diagnose, tolerance=1.0)
    speech = verdict(10.8, 14.8, baseline=10.6)
    assert (speech.high_bias, speech.high_variance) == (False, True)
    np.testing.assert_allclose((speech.bias, speech.variance), (0.2, 4.0))
    assert verdict(15.0, 16.0, baseline=10.6).high_bias
    both = verdict(15.0, 19.7, baseline=10.6)
    assert both.high_bias
    assert both.high_variance
    assert "neither" in verdict(10.8, 11.0, baseline=10.6).advice
    assert verdict(float("nan"), 11.0, baseline=10.6).high_bias
    with pytest.raises(ValueError, match="tolerance must be positive"):
        classical.diagnose(1.0, 2.0, baseline=0.0, tolerance=0.0)


def test_error_analysis():
    losses = np.array([0.1, 3.0, np.nan, 3.0, 0.0])
    assert classical.worst_examples(losses, 3).tolist() == [2, 1, 3]
    confusion = np.array([[5, 2, 0], [0, 7, 1], [4, 0, 6]])
    assert classical.confused_pairs(confusion, 5) == [(2, 0, 4), (0, 1, 2), (1, 2, 1)]
    assert classical.confused_pairs(np.eye(3), 2) == []


def test_scores_ignore_examples_of_weight_zero():
    y, weights = jnp.array([1.0, 2.0, 5.0]), jnp.array([1.0, 1.0, 0.0])
    predictions = jnp.array([1.0, 4.0, jnp.nan])
    np.testing.assert_allclose(classical.mean_squared_error(predictions, y, weights), 2.0)
    np.testing.assert_allclose(classical.r_squared(predictions, y, weights), 1 - 2 / 0.25)


@pytest.mark.parametrize("weights", [np.array([True, True, False]), np.array([1, 1, 0])])
def test_scores_of_integers_and_masks(weights):
    """Squares of int32 overflow, and a boolean sum is an `or`."""
    p, y = jnp.array([100_000, 0, 7]), jnp.array([0, 1, 7])
    got = classical.mean_squared_error(p, y, weights)
    np.testing.assert_allclose(got, (1e10 + 1) / 2, rtol=1e-6)
    np.testing.assert_allclose(classical.accuracy([1, 1, 0], [1, 1, 1], weights), 1.0)
    np.testing.assert_allclose(classical.accuracy([0, 1, 0], [1, 1, 1], weights), 0.5)
    r2 = classical.r_squared([1.5, 2.5, 0], np.array([1.5, 2.5, 9]), weights)
    np.testing.assert_allclose(r2, 1.0)
