"""A member of a sweep is the same run alone, whatever happens to the others."""

import dataclasses

import chex
import jax
import numpy as np
import optax
import pytest

from jaxdl import data, optim, runs, train
from tests.train.problems import Net, blobs, objective

NET = Net()
SPLIT, HELD = blobs(37), blobs(50, seed=1)
OBJECTIVE = objective(NET)
EPOCHS = 3


def member(hyper):
    return train.make(OBJECTIVE, optim.momentum(hyper["learning_rate"], hyper.get("momentum", 0.5)))


def start(trainer, seed):
    return trainer.init(jax.random.key(seed), data.host_batch(SPLIT, 0, batch_size=1))


def sweep(hypers, **options):
    options = {"held_out": {"test": HELD}, "epochs": EPOCHS, **options}
    return train.sweep(member, hypers, SPLIT, **options)


GRID = train.grid(learning_rate=[0.1, 1e38, 0.3], seed=[0, 7])  # the third and fourth diverge


@pytest.fixture(scope="module", params=["map", "vmap"])
def result(request):
    return sweep(GRID, batch_size=8, vectorize=request.param)


@pytest.mark.parametrize("i", [0, 5])
def test_a_member_is_the_run_alone(result, i):
    hyper, got = result.member(i)
    trainer = member(hyper)
    alone = train.fit(trainer, SPLIT, epochs=EPOCHS, batch_size=8, seed=hyper["seed"])
    chex.assert_trees_all_close(got.params, alone.state.params, atol=1e-5)
    chex.assert_trees_all_close(got.opt_state, alone.state.opt_state, atol=1e-5)
    assert int(got.step) == EPOCHS * 5
    for epoch, row in enumerate(alone.history):
        for name in ("train/loss", "train/accuracy"):
            np.testing.assert_allclose(result.history[name][i, epoch], row[name], rtol=1e-5)
    want = train.scalars(train.evaluate(trainer, alone.state, HELD, 16), "test/")
    for name, value in want.items():
        np.testing.assert_allclose(result.final(name)[i], value, rtol=1e-5)


def test_mapped_members_are_bit_for_bit_what_they_are_alone():
    """Also beside members that diverged, and wherever they stand."""
    together = sweep(GRID, batch_size=8, vectorize="map")
    backwards = sweep({n: v[::-1] for n, v in GRID.items()}, batch_size=8, vectorize="map")
    for i in (1, 4):
        single = sweep({n: v[i : i + 1] for n, v in GRID.items()}, batch_size=8, vectorize="map")
        want = single.member(0)[1]
        chex.assert_trees_all_equal(together.member(i)[1].params, want.params)
        chex.assert_trees_all_equal(backwards.member(5 - i)[1].params, want.params)


def test_diverged_members_are_frozen_and_reported(result):
    assert result.diverged.tolist() == [False, False, True, True, False, False]
    _, frozen = result.member(2)
    chex.assert_tree_all_finite(frozen.params)
    assert int(frozen.step) < EPOCHS * 5
    assert np.isnan(result.final("test/loss")[2])
    # The last finite state: one more step is not finite.
    trainer = member({"learning_rate": 1e38, "seed": 0})
    state, step = start(trainer, 0), trainer.step
    batches = list(data.batches(SPLIT, 8, seed=0))
    for batch in batches[: int(frozen.step)]:
        state, _ = step(state, batch)
    chex.assert_trees_all_close(frozen.params, state.params, rtol=1e-5)
    after, out = step(state, batches[int(frozen.step)])
    leaves = [out["loss"].total, *jax.tree.leaves(after.params)]
    assert not all(np.isfinite(leaf).all() for leaf in leaves)


def test_a_step_whose_loss_alone_is_finite_is_not_taken():
    """The rate spoils the parameters, after a loss that was right."""
    hypers = {"learning_rate": [0.1, np.inf], "seed": [0, 0]}
    swept = sweep(hypers, batch_size=37, epochs=1)  # one step
    assert swept.diverged.tolist() == [False, True]
    first = start(member({"learning_rate": 0.1}), 0)
    chex.assert_trees_all_close(swept.member(1)[1].params, first.params, atol=1e-6)
    assert np.isnan(swept.final("train/loss")[1])


def test_mean_spread_and_best(result):
    accuracy = result.final("test/accuracy")
    losses = result.final("train/loss")
    assert result.best("train/loss") == int(np.nanargmax(losses))
    assert result.best("train/loss", "min") == int(np.nanargmin(losses))
    for name in ("test/accuracy", "test_accuracy", "Test", "accuracy/test"):
        with pytest.raises(ValueError, match="by validation data, the test set is for reporting"):
            result.best(name)
    low, nowhere, high = result.summary("test/accuracy", by=["learning_rate"])
    np.testing.assert_allclose(low["mean"], accuracy[:2].mean())
    np.testing.assert_allclose(high["std"], accuracy[4:].std(ddof=1), atol=1e-6)
    assert (nowhere["members"], nowhere["diverged"]) == (2, 2)
    assert np.isnan(nowhere["mean"])
    (everything,) = result.summary("test/accuracy")
    np.testing.assert_allclose(everything["max"], np.nanmax(accuracy))
    loss = result.history["train/loss"]
    epochs = result.epochs_to("train/loss", float(loss[0, 1]), "min")
    assert epochs[0] == 2
    assert epochs[2] == np.inf
    with pytest.raises(ValueError, match=r"'train/f1' was kept; there are test/acc.*train/loss"):
        result.best("train/f1")


def test_a_compiled_sweep_takes_other_hypers_of_the_same_form():
    options = {"epochs": EPOCHS, "held_out": {"test": HELD}}
    first = {"learning_rate": [0.1, 0.3], "seed": [0, 1], "batch_size": [4, 8]}
    other = {"learning_rate": [0.2, 0.1], "seed": [5, 0], "batch_size": [8, 4]}
    program = train.make_sweep(member, first, SPLIT, **options)
    results = program(first), program(other)
    for got, hypers in zip(results, (first, other), strict=True):
        want = sweep(hypers)
        chex.assert_trees_all_equal(got.states.params, want.states.params)
        np.testing.assert_array_equal(got.final("test/loss"), want.final("test/loss"))
    with pytest.raises(ValueError, match="compiled for hypers"):
        program({**first, "momentum": [0.0, 0.9]})
    with pytest.raises(ValueError, match="batches of up to 8"):
        program({**first, "batch_size": [4, 9]})


def test_batch_sizes_are_padded_and_masked():
    """Each member sees the batches, and takes the steps, of its own batch size."""
    hypers = {"learning_rate": [0.1, 0.1, 0.1], "seed": [3, 3, 3], "batch_size": [37, 8, 5]}
    result = sweep(hypers)
    assert result.states.step.tolist() == [EPOCHS * 1, EPOCHS * 5, EPOCHS * 8]
    for i, size in enumerate(hypers["batch_size"]):
        trainer = member({"learning_rate": 0.1, "seed": 3})
        alone = train.fit(trainer, SPLIT, epochs=EPOCHS, batch_size=size, seed=3)
        chex.assert_trees_all_close(result.member(i)[1].params, alone.state.params, atol=1e-5)
        np.testing.assert_allclose(
            result.final("train/loss")[i], alone.history[-1]["train/loss"], rtol=1e-5
        )


def test_penalties_and_plateaus_are_hyperparameters_like_others():
    """A plateau on the held-out loss works inside the program, member by member."""

    def member(hyper):
        penalty = optim.l1_proximal(hyper["penalty"], 0.1)
        plateau = optim.reduce_lr_on_plateau(patience=0, absolute=10.0, factor=0.5)
        tx = optax.chain(optim.inject_rate(optax.sgd, 0.1), plateau, penalty)
        return train.make(OBJECTIVE, tx)

    def after_epoch(state, numbers):
        reported = optim.report_plateau(state.opt_state, numbers["test/loss"])
        return state.replace(opt_state=reported)

    result = train.sweep(
        member,
        {"penalty": np.array([0.0, 0.03, 10.0])},
        SPLIT,
        epochs=EPOCHS,
        batch_size=37,
        held_out={"test": HELD},
        eval_batch_size=13,
        after_epoch=after_epoch,
    )
    zeros = [
        sum(int((leaf == 0).sum()) for leaf in jax.tree.leaves(result.member(i)[1].params))
        for i in range(3)
    ]
    assert zeros[2] == sum(leaf[0].size for leaf in jax.tree.leaves(result.states.params))
    assert zeros[0] <= zeros[1] < zeros[2]
    for i in range(3):
        rates = optim.learning_rates(result.member(i)[1].opt_state)
        np.testing.assert_allclose(rates["learning_rate"], 0.1 * 0.5 ** (EPOCHS - 1), rtol=1e-6)


def test_held_out_numbers_do_not_depend_on_their_batches():
    whole = sweep(GRID, batch_size=8)
    parts = sweep(GRID, batch_size=8, eval_batch_size=7)
    for name in ("test/loss", "test/accuracy"):
        np.testing.assert_allclose(whole.history[name], parts.history[name], rtol=1e-5)


def test_grid_is_the_product():
    columns = train.grid(a=[1, 2], b=[3.0, 4.0, 5.0])
    assert list(zip(columns["a"], columns["b"], strict=True))[:4] == [
        (1, 3),
        (1, 4),
        (1, 5),
        (2, 3),
    ]


@pytest.mark.parametrize(
    "hypers, options, message",
    [
        ({"seed": [0, 1], "learning_rate": [0.1]}, {"batch_size": 8}, "one length"),
        ({"seed": [], "learning_rate": []}, {"batch_size": 8}, "a member"),
        (GRID, {}, "batch_size either"),
        ({**GRID, "batch_size": [8] * 6}, {"batch_size": 8}, "batch_size either"),
        (GRID, {"batch_size": 38}, "between 1 and 37"),
        (GRID, {"batch_size": 8, "vectorize": "loop"}, "vectorize"),
        (GRID, {"batch_size": 8, "epochs": 0}, "an epoch"),
        (GRID, {"batch_size": 8, "at_once": 0}, "at_once must be at least 1, got 0"),
    ],
)
def test_sweeps_that_cannot_be_are_refused(hypers, options, message):
    with pytest.raises(ValueError, match=message):
        sweep(hypers, **options)


def same_sweep(one, other):
    chex.assert_trees_all_equal(one.history, other.history)
    chex.assert_trees_all_equal(*(r.states.replace(key=None) for r in (one, other)))
    assert np.array_equal(*(jax.random.key_data(r.states.key) for r in (one, other)))
    np.testing.assert_array_equal(one.diverged, other.diverged)


def test_rounds_and_devices_change_no_number():
    whole = sweep(GRID, batch_size=8, vectorize="map")
    for options in (
        {"at_once": 4},  # 4 and 2 of 6, over four devices
        {"at_once": 6, "devices": jax.devices()[:1]},
        {"at_once": 5, "devices": jax.devices()[:2]},
    ):
        parts = sweep(GRID, batch_size=8, vectorize="map", **options)
        same_sweep(parts, whole)
        assert parts.member(4)[0] == whole.member(4)[0]
    together = sweep(GRID, batch_size=8, vectorize="vmap", at_once=4)
    for name, values in whole.history.items():
        np.testing.assert_allclose(together.history[name], values, rtol=1e-5, atol=1e-6)


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = EPOCHS


class Killed(BaseException):
    pass


def test_a_sweep_killed_in_its_second_round_takes_up_those_members(tmp_path, monkeypatch):
    folder, options = tmp_path / "run", {"batch_size": 8, "vectorize": "map"}

    def until_killed():
        with runs.open(Config(), name="rounds", out=folder, save_seconds=0, quiet=True) as run:
            whole_part = run.part

            def part(name):
                found = whole_part(name)

                def progress(done, total, text):
                    if (name, done) == ("round1", 2):
                        found.checkpoints.wait()
                        raise Killed

                found.progress = progress
                return found

            monkeypatch.setattr(run, "part", part)
            sweep(GRID, at_once=4, run=run, **options)

    with pytest.raises(Killed):
        until_killed()
    with runs.open(Config(), name="rounds", out=folder, quiet=True) as run:
        latest = [run.part(f"round{i}").checkpoints.latest() for i in range(2)]
        assert latest == [EPOCHS, 1]
        resumed = sweep(GRID, at_once=4, run=run, **options)
        same_sweep(resumed, sweep(GRID, **options))
    with runs.open(Config(), name="rounds", out=folder, quiet=True) as run:
        again = sweep(GRID, at_once=4, run=run, **options)  # nothing is left to be trained
        assert again.run_seconds == resumed.run_seconds > 0
