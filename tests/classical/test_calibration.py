"""Temperatures against scipy's minimum; sets and intervals that cover as they promise."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from jaxdl import classical


def overconfident(seed=0, n=400, k=3):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    labels = np.array([rng.choice(k, p=p) for p in scipy.special.softmax(logits, axis=1)])
    return 2.5 * logits, labels


def test_temperature_is_the_minimum():
    logits, labels = overconfident()

    def loss(t):
        return -scipy.special.log_softmax(logits / t, axis=1)[np.arange(400), labels].mean()

    best = scipy.optimize.minimize_scalar(loss, bounds=(0.1, 20), method="bounded").x
    found = classical.fit_temperature(logits, labels)
    assert float(found) == pytest.approx(best, rel=1e-3)
    assert 2 < float(found) < 3  # what the logits were multiplied by


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_temperature_has_the_unit_of_the_logits(scale):
    logits, labels = overconfident()
    one, other = (classical.fit_temperature(s * logits, labels) for s in (1.0, scale))
    np.testing.assert_allclose(other, scale * one, rtol=1e-4)


def test_temperature_where_every_decision_is_right_or_none_is():
    logits = jnp.array([[5.0, 0.0], [0.0, 5.0]])
    assert float(classical.fit_temperature(logits, [0, 1])) < 1e-2
    assert float(classical.fit_temperature(logits, [1, 0])) > 1e2


def test_sets_and_intervals_hold_the_truth_as_often_as_they_promise():
    """Mean coverage over 300 data sets of 50, at the exact level of their finite size."""
    rng = np.random.default_rng(0)
    sets, intervals = [], []
    for seed in range(300):
        logits, labels = overconfident(seed, n=100)
        p = scipy.special.softmax(logits, axis=1)
        held = classical.conformal_sets(p[:50], labels[:50], p[50:], coverage=0.9)
        sets.append(held[np.arange(50), labels[50:]].mean())
        x = rng.standard_cauchy(100)  # no moments, and the promise holds
        low, high = classical.conformal_interval(np.zeros(50), x[:50], np.zeros(50), coverage=0.9)
        intervals.append(np.mean((low <= x[50:]) & (x[50:] <= high)))
    exact = np.ceil(51 * 0.9) / 51
    assert np.mean(sets) == pytest.approx(exact, abs=0.012)
    assert np.mean(intervals) == pytest.approx(exact, abs=0.012)


def test_too_few_examples_promise_nothing():
    assert classical.conformal_quantile([0.1] * 8, 0.9) == np.inf
    assert classical.conformal_quantile([0.1] * 9, 0.9) == 0.1
    assert classical.conformal_quantile([], 0.5) == np.inf
    assert classical.conformal_sets(np.ones((1, 2)) / 2, [0], np.ones((3, 2)) / 2).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: classical.fit_temperature(np.zeros(3), np.zeros(3, int)), r"got \(3,\), \(3,\)"),
        (lambda: classical.conformal_quantile([1.0], 1.0), r"in \(0, 1\), got 1.0"),
        (lambda: classical.conformal_quantile([np.nan], 0.5), "no NaN"),
        (
            lambda: classical.conformal_sets(np.ones((2, 3)), [0, 1], np.ones((2, 2))),
            r"new needs a shape \[M, 3\], got \(2, 2\)",
        ),
        (lambda: classical.conformal_interval([1.0], [1.0, 2.0], [0.0]), r"got \(1,\), \(2,\)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
