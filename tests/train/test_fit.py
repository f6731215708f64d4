"""The loop: drivers agree, one compilation, early stopping, checkpoints that do not fit."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import data, losses, metrics, models, objectives, train
from tests.references import reference
from tests.train.problems import Log, Net, blobs, objective, problem

sklearn_metrics = reference("sklearn.metrics")


def trained(driver, *, epochs=2, tx=None, net=Net(), **options):
    tx = tx or optax.adam(0.03)
    trainer, state = problem(tx, net=net)
    return train.fit(
        trainer, blobs(), state, epochs=epochs, batch_size=8, seed=3, driver=driver, **options
    )


@pytest.mark.optimized
@pytest.mark.parametrize("net", [Net(), Net(batch_norm=True, dropout=0.4)], ids=["mlp", "bn"])
def test_the_drivers_give_the_same_bits_for_dense_networks(net):
    results = {driver: trained(driver, net=net) for driver in ("stream", "loop", "scan")}
    untimed = [
        [{k: v for k, v in row.items() if "time/" not in k} for row in result.history]
        for result in results.values()
    ]
    assert untimed[0] == untimed[1] == untimed[2]
    for other in ("loop", "scan"):
        chex.assert_trees_all_equal(results["stream"].state.params, results[other].state.params)


def test_the_drivers_agree_after_one_step_of_lenet():
    split = data.load("digits", limit=32)["train"]
    model, tx = models.LeNet(num_classes=10), optax.sgd(0.1)
    objective = objectives.supervised(
        model, losses.softmax_cross_entropy, preprocess=data.images.to_unit
    )
    trainer = train.make(objective, tx)

    def one(driver):
        return train.fit(trainer, split, epochs=1, batch_size=32, driver=driver).state.params

    streamed = one("stream")
    chex.assert_trees_all_close(one("scan"), streamed, atol=1e-5)
    chex.assert_trees_all_close(one("loop"), streamed, atol=1e-5)


def test_t26_one_compilation_for_training_and_one_for_evaluation():
    """37 examples in batches of 8: the last batch of each epoch is ragged."""
    tx = optax.sgd(0.1)
    traced = []

    def counted(*args, **kwargs):
        traced.append(kwargs["train"])
        return objective()(*args, **kwargs)

    trainer = train.make(counted, tx)
    state = trainer.init(jax.random.key(0), params=problem(tx)[1].params)
    held_out = {"test": blobs()}
    train.fit(trainer, blobs(), state, epochs=3, batch_size=8, driver="stream", held_out=held_out)
    assert traced.count(False) == 1
    assert jax.jit(trainer.evaluate)._cache_size() == 1
    assert traced.count(True) <= 2  # once for the shapes of the metrics, once for the program


def test_t25_accuracy_over_a_ragged_split_is_scikit_learns():
    trainer, state = problem(optax.sgd(0.1))
    split = blobs(101)
    got = train.evaluate(trainer, state, split, 16)
    logits = Net().apply({"params": state.params}, split["x"], train=False)
    want = sklearn_metrics.accuracy_score(split["label"], np.argmax(logits, axis=1))
    np.testing.assert_allclose(got["accuracy"].compute(), want, rtol=1e-7)
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    want = sklearn_metrics.log_loss(split["label"], probabilities / probabilities.sum(1)[:, None])
    np.testing.assert_allclose(got["loss"].compute(), want, rtol=1e-5)


def test_the_rows_tell_what_happened():
    log = Log()

    def observe(state, row):
        row["learning_rate"] = 0.03

    result = trained("scan", run=log, after_epoch=observe)
    assert [step for step, _ in log.rows] == [5, 10]
    assert [row for _, row in log.rows] == result.history
    row = result.history[-1]
    assert {"epoch", "train/loss", "train/accuracy", "time/train", "learning_rate"} <= set(row)
    assert log.seen[-1] == (10, 10)
    assert result.history[0]["time/compile"] > 0 == row["time/compile"]


def test_early_stopping_brings_the_best_weights_back():
    numbers = iter([3.0, 2.0, 2.5, float("nan"), 1.99, 1.0])
    seen = []

    def measure(state, row):
        seen.append(jax.tree.map(np.array, state.params))
        row["test/loss"] = next(numbers)

    stopping = train.EarlyStopping("test/loss", patience=3, min_delta=0.1)
    result = trained("loop", epochs=50, after_epoch=measure, stopping=stopping)
    assert len(result.history) == 5
    chex.assert_trees_all_equal(result.state.params, seen[1])


def test_a_stopping_metric_that_nobody_measures_is_named():
    with pytest.raises(ValueError, match="'valid/loss' is not among epoch, train/"):
        trained("loop", stopping=train.EarlyStopping("valid/loss", patience=1))


def test_too_many_steps_that_are_not_finite_end_the_run():
    tx = optax.sgd(0.1)
    trainer, state = problem(tx, skip_nonfinite=4)
    split = blobs(40)
    split["x"][:] = np.nan
    with pytest.raises(FloatingPointError, match="4 steps in a row"):
        train.fit(trainer, split, state, epochs=5, batch_size=8, driver="loop")


def test_a_finished_run_is_not_trained_again(tmp_path):
    with train.Checkpoints(tmp_path) as checkpoints:
        first = trained("loop", run=Log(checkpoints))
        want = jax.tree.map(np.array, first.state.params)
        log = Log(checkpoints)
        again = trained("loop", run=log)
        assert log.notes == ["continuing from step 10"]
        chex.assert_trees_all_equal(again.state.params, want)
        longer = trained("loop", run=Log(checkpoints), epochs=3)
        assert len(longer.history) == 3
        assert checkpoints.steps() == [10, 15]


def test_the_best_checkpoint_outlives_the_latest(tmp_path):
    numbers = iter([3.0, 1.0, 2.0, 2.5, 2.6])

    def measure(state, row):
        row["test/loss"] = next(numbers)

    with train.Checkpoints(tmp_path, keep=1, best="test/loss") as checkpoints:
        trained("loop", epochs=5, run=Log(checkpoints), after_epoch=measure)
        assert checkpoints.steps() == [10, 25]


def test_a_foreign_checkpoint_is_described_and_left_alone(tmp_path):
    with train.Checkpoints(tmp_path) as checkpoints:
        trained("loop", run=Log(checkpoints))
        with pytest.raises(
            train.CheckpointError, match="does not fit this run: .*is missing there"
        ):
            trained("loop", run=Log(checkpoints), net=Net(batch_norm=True))
        _, state = problem(optax.adam(0.03))
        arrays = {"params": state.params}
        checkpoints.save(99, arrays, {})
        half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), arrays)
        with pytest.raises(train.CheckpointError, match=r"float32\[8\] there, bfloat16\[8\] here"):
            checkpoints.restore(half, 99)
        assert checkpoints.steps() == [10, 99]
        with pytest.raises(train.CheckpointError, match=r"\[10, 99\], not 7"):
            checkpoints.restore(arrays, 7)
        with pytest.raises(train.CheckpointError, match="already holds a checkpoint of step 99"):
            checkpoints.save(99, arrays, {})


def test_a_damaged_checkpoint_is_named(tmp_path):
    with train.Checkpoints(tmp_path) as checkpoints:
        trained("loop", run=Log(checkpoints))
    for path in tmp_path.glob("*/arrays/**/*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        train.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(train.CheckpointError, match="no checkpoint in .* is whole; of 10, arrays/"),
    ):
        trained("loop", run=Log(checkpoints))


def test_keys_bfloat16_and_none_come_back(tmp_path):
    arrays = {"key": jax.random.key(3), "low": jnp.ones(3, jnp.bfloat16), "none": None, "empty": {}}
    with train.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, arrays, {"history": []})
        checkpoints.wait()
        back, record = checkpoints.restore(arrays)
    assert record == {"history": []}
    assert back["none"] is None
    assert back["low"].dtype == jnp.bfloat16
    assert jax.random.normal(back["key"]) == jax.random.normal(arrays["key"])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: train.EarlyStopping("x", patience=0), "patience"),
        (lambda: train.EarlyStopping("x", patience=1, mode="up"), "mode"),
        (lambda: train.EarlyStopping("x", patience=1, min_delta=-1.0), "min_delta"),
        (lambda: train.Checkpoints("/nowhere", keep=0), "keep"),
        (lambda: trained("fast"), "driver must be auto"),
        (lambda: trained("loop", epochs=-1), "epochs"),
    ],
)
def test_options_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_metrics_of_a_whole_epoch_are_those_of_one_batch():
    """What `fit` reports for an epoch is the merge over its steps, not a mean of means."""
    tx = optax.sgd(0.0)  # the parameters stay where they are
    result = trained("scan", tx=tx, epochs=1)
    _, state = problem(tx)
    split = blobs()
    batch = {**split.columns, "mask": np.ones(len(split), bool)}
    mean, aux = objective()(state.params, {}, batch, jax.random.key(0), train=True)
    assert isinstance(aux.metrics["accuracy"], metrics.Accuracy)
    np.testing.assert_allclose(result.history[0]["train/loss"], mean.compute(), rtol=1e-6)
    np.testing.assert_allclose(
        result.history[0]["train/accuracy"], aux.metrics["accuracy"].compute(), rtol=1e-6
    )


def test_a_state_that_was_given_away_is_named():
    trainer, state = problem(optax.sgd(0.1))
    train.fit(trainer, blobs(), state, epochs=1, batch_size=8)
    with pytest.raises(ValueError, match="was trained from before.*begin anew with trainer.init"):
        train.fit(trainer, blobs(), state, epochs=2, batch_size=8)
