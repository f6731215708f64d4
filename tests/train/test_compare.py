"""Seeds compared: scipy's tests, and a number of runs that finds what it says it finds."""

import numpy as np
import pytest
import scipy.stats

from jaxdl import train


def test_against_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.93, 0.02, 6), rng.normal(0.90, 0.01, 6)
    found = train.compare(a, b, paired=True)
    welch = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval()))
    assert found.p_paired == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    assert found.effect == pytest.approx((a.mean() - b.mean()) / pooled * (1 - 3 / 39))
    assert "paired p" in str(found)


def test_as_many_seeds_as_it_asks_for_find_the_difference():
    comparison = train.compare([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])  # a spread of 1
    n = comparison.seeds_for(1.5)
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(2, 2000, n)) + np.array([1.5, 0.0])[:, None, None]
    found = scipy.stats.ttest_ind(*pairs, axis=1).pvalue < 0.05
    assert 0.78 < found.mean() < 0.86
    assert comparison.seeds_for(0.5) > 4 * n


def test_small_differences_need_as_many_seeds_as_they_need():
    """Beyond any limit, and as the normal approximation has it: 2 (z + z')^2 (s / d)^2."""
    comparison = train.compare([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    for difference in (0.1, 0.01, 1e-4):
        z = scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)
        assert comparison.seeds_for(difference) == pytest.approx(
            2 * (z / difference) ** 2, rel=0.01
        )


def test_runs_that_do_not_differ():
    same = train.compare([0.5, 0.5], [0.5, 0.5], paired=True)
    assert (same.mean, same.p, same.p_paired, same.effect) == (0, 1, 1, 0)
    apart = train.compare([0.6, 0.6], [0.5, 0.5], paired=True)
    assert (apart.p, apart.p_paired, apart.effect) == (0, 0, np.inf)
    assert apart.seeds_for(0.1) == 2


@pytest.mark.parametrize(
    "a, b, paired, message",
    [
        ([0.5], [0.5, 0.6], False, "at least two runs of each"),
        ([0.5, 0.6, 0.7], [0.5, 0.6], True, "as many runs of each, got 3 and 2"),
        ([0.5, np.nan], [0.5, 0.6], False, "a member diverged"),
    ],
)
def test_mistakes_are_named(a, b, paired, message):
    with pytest.raises(ValueError, match=message):
        train.compare(a, b, paired=paired)
    with pytest.raises(ValueError, match="difference > 0"):
        train.compare([0.1, 0.2], [0.1, 0.2]).seeds_for(0)


def test_profiles_against_a_count_over_a_grid():
    costs = np.random.default_rng(0).lognormal(size=(4, 6))
    costs[0, 2] = costs[3, :] = np.inf
    costs[:, 5] = np.inf  # nobody gets there
    found = train.performance_profile(costs, most=3.0)
    ratios = np.linspace(1, 3, 20_001)
    for s in range(4):
        shares = [
            sum(costs[s, p] <= r * costs[:, p].min() for p in range(5)) / 6 for r in ratios[::500]
        ]
        np.testing.assert_allclose([found.share(r)[s] for r in ratios[::500]], shares)
        area = np.mean([found.share(r)[s] for r in ratios])
        assert found.scores[s] == pytest.approx(area, abs=1e-3)
    assert found.scores[3] == 0
    assert np.isinf(found.ratios[:, 5]).all()


@pytest.mark.parametrize(
    "costs, most, message",
    [([1.0], 4.0, "costs need a shape"), ([[0.0]], 4.0, "positive"), ([[1.0]], 1.0, "above 1")],
)
def test_profiles_that_cannot_be_are_refused(costs, most, message):
    with pytest.raises(ValueError, match=message):
        train.performance_profile(costs, most=most)
