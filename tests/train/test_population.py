"""A population against a loop by hand; and that it can be stopped, and spread over devices."""

import dataclasses

import chex
import jax
import numpy as np
import optax
import pytest

from jaxdl import data, optim, runs, train
from tests.train.problems import Net, blobs, objective

SPLIT, HELD = blobs(37), blobs(50, seed=1)
OBJECTIVE = objective(Net(dropout=0.2))  # so that keys matter
HYPERS = {
    "learning_rate": np.array([1e38, 0.01, 0.1, 0.3, 0.02, 0.05, 0.001, 0.2], np.float32),
    "momentum": np.array([0.5, 0.0, 0.9, 0.5, 0.9, 0.0, 0.5, 0.8], np.float32),
    "seed": np.arange(8),
}
LIMITS = {"momentum": (0.0, 0.95)}


def member(hyper):
    return train.make(OBJECTIVE, optim.momentum(hyper["learning_rate"], hyper["momentum"]))


def bred(hypers=HYPERS, **options):
    options = {
        "epochs": 6,
        "every": 2,
        "share": 0.25,
        "batch_size": 16,
        "choose_by": "validation/loss",
        "mode": "min",
        "vectorize": "map",
        "limits": LIMITS,
        **options,
    }
    held_out = {"validation": HELD}
    return train.population(member, hypers, SPLIT, held_out=held_out, **options)


@pytest.fixture(scope="module")
def result():
    return bred()


def by_hand(rounds=3, every=2, count=2):
    """The same in Python: a step, an evaluation, a sort and two draws.

    Its optimizer keeps no rate in its state, so that what is copied cannot be a rate.
    """

    def plain(rate, momentum):
        return train.make(OBJECTIVE, optax.chain(optax.trace(momentum), optax.scale(-rate)))

    @jax.jit
    def step(rate, momentum, state, batch):
        return plain(rate, momentum).step(state, batch)

    trainer = plain(0.1, 0.9)
    example = data.host_batch(SPLIT, 0, batch_size=16)
    states = [trainer.init(jax.random.key(seed), example) for seed in range(8)]
    rates, momenta = (HYPERS[name].copy() for name in ("learning_rate", "momentum"))
    losses = np.full((8, rounds * every), np.nan)
    settings = [(rates, momenta)]
    for number in range(rounds):
        for m in range(8):
            for epoch in range(number * every, (number + 1) * every):
                for k in range(3):
                    batch = data.host_batch(SPLIT, 3 * epoch + k, batch_size=16, seed=m)
                    after, _ = step(rates[m], momenta[m], states[m], batch)
                    finite = all(np.isfinite(x).all() for x in jax.tree.leaves(after.params))
                    states[m] = after if finite else states[m]
                if m or number:  # the first one diverges
                    loss = train.evaluate(trainer, states[m], HELD, 1000)["loss"]
                    losses[m, epoch] = loss.compute()
        if number == rounds - 1:
            break
        latest = losses[:, (number + 1) * every - 1]
        order = sorted(range(8), key=lambda m: np.inf if np.isnan(latest[m]) else latest[m])
        key = jax.random.fold_in(jax.random.key(0), number)
        drawn = np.asarray(jax.random.randint(key, (count,), 0, count))
        parents = list(range(8))
        for place, best in zip(order[-count:], drawn, strict=True):
            parents[place] = order[best]
        up = [jax.random.bernoulli(jax.random.fold_in(key, i), shape=(8,)) for i in (1, 2)]
        rates, momenta = rates.copy(), momenta.copy()
        old = settings[-1]
        for m, parent in enumerate(parents):
            if m != parent:
                rates[m] = old[0][parent] * np.float32(1.2 if up[0][m] else 0.8)
                momenta[m] = min(old[1][parent] * np.float32(1.2 if up[1][m] else 0.8), 0.95)
        states = [states[p].replace(key=states[m].key) for m, p in enumerate(parents)]
        settings.append((rates, momenta))
    return states, losses, settings


def test_a_population_is_the_loop_by_hand(result):
    states, losses, settings = by_hand()
    np.testing.assert_allclose(result.final.history["validation/loss"], losses, rtol=1e-4)
    for i, name in enumerate(("learning_rate", "momentum")):
        wanted = np.stack([row[i] for row in settings], axis=1)
        np.testing.assert_allclose(result.settings[name], wanted, rtol=1e-6)
    np.testing.assert_array_equal(result.settings["seed"], np.arange(8)[:, None].repeat(3, 1))
    for m, state in enumerate(states):
        got = result.final.member(m)[1]
        chex.assert_trees_all_close(got.params, state.params, atol=1e-4)
        assert int(got.step) == int(state.step)
        assert np.array_equal(*map(jax.random.key_data, (got.key, state.key)))


def test_what_it_tells(result):
    assert result.parents[0, 1] != 0  # diverged, and began anew from one that did not
    assert not result.final.diverged.any()
    assert result.score == np.min(result.final.final("validation/loss"))
    changed = int((result.parents != np.arange(8)[:, None]).sum())
    assert changed == 2 * 2
    assert (result.cost, result.tried, result.grid_cost) == (48, 8 + changed, (8 + changed) * 6)
    assert "8 members, 12 settings in 48 epochs where a grid of them takes 72" in str(result)
    young = int(np.flatnonzero(result.parents[:, 2] != np.arange(8))[0])
    parent = result.parents[young, 2]
    schedule = result.schedule(young)["learning_rate"]
    assert schedule[2] == result.settings["learning_rate"][young, 2]
    assert schedule[1] == result.settings["learning_rate"][parent, 1]


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 6


class Killed(BaseException):
    pass


def same(one, other):
    chex.assert_trees_all_equal(one.settings, other.settings)
    chex.assert_trees_all_equal(one.final.history, other.final.history)
    chex.assert_trees_all_equal(*(r.final.states.replace(key=None) for r in (one, other)))


def test_a_killed_population_goes_on_to_the_same_end(result, tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def until_killed():
        with runs.open(Config(), name="population", out=folder, save_seconds=0, quiet=True) as run:

            def progress(done, total, text):
                if done == 2:
                    run.checkpoints.wait()
                    raise Killed

            monkeypatch.setattr(run, "progress", progress)
            bred(run=run)

    with pytest.raises(Killed):
        until_killed()
    with runs.open(Config(), name="population", out=folder, quiet=True) as run:
        assert run.checkpoints.latest() == 1
        same(bred(run=run), result)


@pytest.mark.parametrize("count", [1, 2])
def test_devices_change_nothing(result, count, monkeypatch):
    assert len(jax.local_devices()) == 8
    devices = jax.local_devices()[:count]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    same(bred(), result)


def test_exploiting_and_exploring_are_functions_of_the_key():
    scores = np.array([0.1, 0.9, np.nan, 0.5, 0.8, 0.2])
    drawn = [train.exploit(jax.random.key(i), scores, 0.34).tolist() for i in range(40)]
    assert {tuple(p[i] for i in (1, 3, 4, 5)) for p in drawn} == {(1, 3, 4, 5)}
    assert {p[0] for p in drawn} == {p[2] for p in drawn} == {1, 4}
    moved = np.asarray(train.explore(jax.random.key(0), np.ones(1000), factors=(0.5, 3.0)))
    assert set(moved.tolist()) == {0.5, 3.0}
    assert 400 < (moved == 3).sum() < 600
    for share in (0.0, 0.6):
        with pytest.raises(ValueError, match=r"share in \(0, 0.5\]"):
            train.exploit(jax.random.key(0), scores, share)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choose_by": "test/loss"}, "the test set is for reporting"),
        ({"choose_by": "validation/f1"}, "no number 'validation/f1' is kept; there are"),
        ({"every": 4}, "epochs must be a multiple of every, got 6 and 4"),
        ({"explored": ["seed"]}, "no floating column is called seed; "),
        ({"limits": {"rate": (0, 1)}}, "no floating column is called rate; "),
        ({"hypers": {n: v[:1] for n, v in HYPERS.items()}}, "two members or more, got 1"),
        ({"share": 0.7}, r"share in \(0, 0.5\], got 0.7"),
    ],
)
def test_populations_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bred(**options)
