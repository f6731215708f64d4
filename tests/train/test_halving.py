"""Halving spends less than the grid, and changes no number of those who stay."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from scipy import stats

from jaxdl import optim, runs, train
from tests.train.problems import Net, blobs, objective

SPLIT, HELD = blobs(37), blobs(50, seed=1)
OBJECTIVE = objective(Net())
RATES = [1e-4, 1e-3, 0.01, 0.1, 0.3, 1e38]


def member(hyper):
    return train.make(OBJECTIVE, optim.momentum(hyper["learning_rate"], 0.5))


def halved(hypers, **options):
    options = {"epochs": 4, "factor": 2, "batch_size": 16, "vectorize": "map", **options}
    return train.successive_halving(member, hypers, SPLIT, held_out={"validation": HELD}, **options)


def test_survivors_are_bit_for_bit_those_of_the_grid():
    hypers = train.grid(learning_rate=RATES)
    result = halved(hypers, choose_by="validation/loss", mode="min")
    whole = train.sweep(
        member, hypers, SPLIT, epochs=4, batch_size=16, held_out={"validation": HELD},
        vectorize="map",
    )  # fmt: skip
    assert [(len(r.members), r.start, r.stop) for r in result.rungs] == [
        (6, 0, 1), (3, 1, 2), (2, 2, 4),
    ]  # fmt: skip
    assert (result.cost, result.grid_cost) == (6 + 3 + 4, 24)
    last = result.rungs[-1].members
    for name, values in result.history.items():
        for rung in result.rungs:
            here = np.s_[rung.members, rung.start : rung.stop]
            np.testing.assert_array_equal(values[here], whole.history[name][here])
        dropped = np.setdiff1d(np.arange(6), last)
        assert np.isnan(values[dropped, -1]).all()
    for ours, theirs in zip(
        jax.tree.leaves(result.survivors.states.params),
        jax.tree.leaves(whole.states.params),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs[last])
    best = whole.best("validation/loss", mode="min")
    assert result.best == {"learning_rate": hypers["learning_rate"][best]}
    assert result.score == whole.final("validation/loss")[best]
    assert 5 not in result.rungs[1].members  # diverged in its first epoch


def test_seeds_of_a_setting_stay_or_go_together():
    hypers = train.grid(seed=[0, 1], learning_rate=RATES[:4])
    result = halved(hypers, by=["learning_rate"], epochs=2)
    kept = hypers["learning_rate"][result.rungs[-1].members]
    values, counts = np.unique(kept, return_counts=True)
    assert counts.tolist() == [2] * len(values) == [2, 2]
    first = result.history["validation/accuracy"][:, 0].reshape(2, 4).mean(axis=0)
    assert set(np.float32(values)) == set(np.float32(RATES)[np.argsort(-first, kind="stable")[:2]])
    assert list(result.best) == ["learning_rate"]


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 4


def test_a_stopped_search_goes_on_to_the_same_end(tmp_path):
    hypers = train.grid(learning_rate=RATES[1:5])
    undisturbed = halved(hypers)
    with runs.open(Config(), name="halving", out=tmp_path / "run") as run:
        halved(hypers, run=run)
    with runs.open(Config(), name="halving", out=tmp_path / "run") as run:
        again = halved(hypers, run=run)  # every rung is read back
    for name, values in undisturbed.history.items():
        np.testing.assert_array_equal(again.history[name], values)
    assert again.best == undisturbed.best


@pytest.mark.parametrize(
    ("settings", "epochs", "factor"), [(1, 1, 2), (81, 81, 3), (81, 9, 3), (10, 100, 4), (5, 7, 2)]
)
def test_rungs_end_with_all_epochs_and_cost_a_rungs_worth_each(settings, epochs, factor):
    from jaxdl.train._halving import rung_sizes

    sizes = rung_sizes(settings, epochs, factor)
    assert sizes[0][0] == settings
    assert sizes[-1][1] == epochs
    stops = [stop for _, stop in sizes]
    assert all(a < b for a, b in itertools.pairwise(stops))
    if len(sizes) > 1:
        assert sizes[-1][0] >= 1
        assert sizes[-1][0] < factor or epochs < settings * factor


def test_drawn_members_follow_their_distributions():
    columns = train.random_grid(2000, seed=1, rate=stats.loguniform(1e-3, 1.0), momentum=[0.0, 0.9])
    logs = np.log10(columns["rate"])
    assert stats.kstest(logs, stats.uniform(-3, 3).cdf).pvalue > 0.01
    assert abs((columns["momentum"] == 0.9).mean() - 0.5) < 0.05
    few = train.random_grid(100, a=[1, 2], b=[3, 4, 5])
    assert len({*zip(few["a"].tolist(), few["b"].tolist(), strict=True)}) == 6 == len(few["a"])
    again = train.random_grid(5, seed=1, rate=stats.loguniform(1e-3, 1.0))
    np.testing.assert_array_equal(
        again["rate"], train.random_grid(5, seed=1, rate=stats.loguniform(1e-3, 1.0))["rate"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choose_by": "test/accuracy"}, "the test set is for reporting"),
        ({"choose_by": "Test_loss"}, "the test set is for reporting"),
        ({"choose_by": "validation/f1"}, "no number 'validation/f1' is kept; there are"),
        ({"factor": 1}, "factor must be at least 2, got 1"),
        ({"by": ["rate"]}, "no column is called rate"),
        ({"epochs": 0}, "need a member and an epoch"),
    ],
)
def test_searches_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        halved(train.grid(learning_rate=[0.1, 0.2]), **options)


def test_draws_that_cannot_be_are_refused():
    for members, axes in ((0, {"a": [1]}), (3, {}), (3, {"a": []})):
        with pytest.raises(ValueError, match="need a member, and axes with values"):
            train.random_grid(members, **axes)
