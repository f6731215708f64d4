"""Ten planted failures, each found to the line; and what must not be blamed."""

import pathlib

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxdl import data, inspect, losses, objectives, train
from jaxdl.metrics import Mean
from jaxdl.objectives import Aux

HERE = pathlib.Path(__file__)
B, D = 6, 4


def line_of(mark: str) -> int:
    found = [i for i, line in enumerate(HERE.read_text().splitlines(), 1) if f"# {mark}" in line]
    assert len(found) == 1, mark
    return found[0]


def state_of(params, **more):
    start = jnp.int32(5)
    return train.TrainState(start, params, {}, None, key=jax.random.key(0), **more)


def batch_of(**columns):
    x = np.random.default_rng(0).uniform(0.5, 2, (B, D)).astype(np.float32)
    return {"x": x, "mask": np.ones(B, bool), **columns}


def explain(per_example, params=jnp.ones(D), batch=None):
    """The report on an objective that is the mean of `per_example(params, batch)` `[B]`."""

    def objective(params, model_state, batch, key, *, train):
        return Mean.from_values(per_example(params, batch), batch["mask"]), Aux({}, model_state)

    return inspect.explain_nonfinite(
        objective, state_of(params), batch_of() if batch is None else batch
    )


def assert_blames(report, mark, operation, **facts):
    assert (report.line.file, report.line.number) == (str(HERE), line_of(mark)), str(report)
    assert report.place.operation == operation, str(report)
    assert f"test_nonfinite.py:{line_of(mark)}" in str(report)
    for name, wanted in facts.items():
        assert getattr(report, name) == wanted, (name, str(report))


def test_a_logarithm_of_zero_in_a_loss():
    def loss(w, batch):
        p = jnp.clip(batch["x"] @ w - 100, 0.0, None) * batch["on"] + 1 - batch["on"]
        return -jnp.log(p)  # log of zero

    on = np.zeros(B, np.float32)
    on[4] = 1
    report = explain(loss, batch=batch_of(on=on))
    assert_blames(report, "log of zero", "log", row=4, index=(4,), value=-np.inf)
    assert report.reaches[0] == "the loss"
    assert (report.inputs[0].least, report.inputs[0].greatest) == (0.0, 1.0)


def test_zero_by_zero_in_a_masked_mean():
    def loss(w, batch):
        kept = batch["kept"]
        total = jnp.sum(batch["x"] * w[None] * kept, axis=1)
        return total / jnp.sum(kept, axis=1)  # masked mean

    kept = np.ones((B, D), np.float32)
    kept[2] = 0
    report = explain(loss, batch=batch_of(kept=kept))
    assert_blames(report, "masked mean", "div", row=2)
    assert np.isnan(report.value)


def test_a_root_at_zero_in_the_backward_pass_only():
    def loss(w, batch):
        distance = jnp.sum((batch["x"] - batch["x"]) * w[None], axis=1)
        return jnp.sqrt(distance)  # root at zero

    report = explain(loss)
    assert report.line.number == line_of("root at zero")
    assert report.reaches == ("the gradient",)
    assert "the loss" not in str(report)


def test_an_overflow_in_float16():
    def loss(w, batch):
        half = (batch["x"] * w[None]).astype(jnp.float16)
        square = half * half  # too large for float16
        return jnp.sum(square.astype(jnp.float32), axis=1)

    x = np.ones((B, D), np.float32)
    x[1, 3] = 300
    report = explain(loss, batch=batch_of(x=x))
    assert_blames(report, "too large for float16", "mul", index=(1, 3), value=np.inf)
    assert (report.output.dtype, report.inputs[0].greatest) == ("float16", 300)


def test_a_bad_row_in_one_batch():
    def loss(w, batch):
        return jnp.sum(jnp.tanh(batch["x"] * w[None]), axis=1)  # reads the bad row

    x = np.ones((B, D), np.float32)
    x[3, 2] = np.nan
    report = explain(loss, batch=batch_of(x=x))
    assert_blames(report, "reads the bad row", "mul", kind="input", name="batch/x", row=3)
    assert report.index == (3, 2)


def test_step_seven_of_a_scan():
    def loss(w, batch):
        def body(h, t):
            h = h + jnp.log(8.0 - t - h * 0)  # in a scan
            return h, h

        h, _ = jax.lax.scan(body, batch["x"] @ w * 0, jnp.arange(1.0, 11.0))
        return h

    report = explain(loss)
    assert_blames(report, "in a scan", "log", row=0)
    assert "iteration 7 of 10 of the scan" in report.place.loops[0]
    assert "iteration 7 of 10" in str(report)


def test_inside_vmap():
    def one(x, w):
        return 1 / (x - 1.5) @ w  # in vmap

    x = np.ones((B, D), np.float32)
    x[5, 1] = 1.5
    report = explain(lambda w, batch: jax.vmap(one, (0, None))(batch["x"], w), batch=batch_of(x=x))
    assert_blames(report, "in vmap", "div", row=5, index=(5, 1), value=np.inf)


def test_under_shard_map():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))

    @jax.shard_map(mesh=mesh, in_specs=(P(), P("data")), out_specs=P("data"))
    def forward(w, x):
        def body(h, row):
            return h + jnp.log(row @ w), jnp.sum(row)  # in shard_map

        start = jax.lax.pcast(jnp.zeros(()), "data", to="varying")
        total, sums = jax.lax.scan(body, start, x)
        return sums * 0 + jax.lax.psum(total, "data")

    x = np.ones((B, D), np.float32)
    x[4] = 0
    report = explain(lambda w, batch: forward(w, batch["x"]), batch=batch_of(x=x))
    assert_blames(report, "in shard_map", "log", value=-np.inf)
    loop, device = report.place.loops
    assert "iteration 1 of 3" in loop
    assert device == "device 1 of the mesh"


def test_after_an_update_of_the_optimizer():
    def update(grads, state, params=None):
        return jax.tree.map(lambda g: -g / jnp.abs(g), grads), state  # the optimizer

    def objective(params, model_state, batch, key, *, train):
        loss = batch["x"] @ params["w"] + 0 * params["b"]
        return Mean.from_values(loss, batch["mask"]), Aux({}, model_state)

    tx = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    for options in ({}, {"skip_nonfinite": 3}):
        trainer = train.make(objective, tx, **options)
        params = {"w": jnp.ones(D), "b": jnp.zeros(())}
        state = trainer.init(jax.random.key(0), params=params)
        report = inspect.explain_nonfinite(trainer, state, batch_of())
        assert_blames(report, "the optimizer", "div", reaches=("params/b",))
    spoiled, _ = trainer.step(state, batch_of())
    report = inspect.explain_nonfinite(objective, spoiled, batch_of())
    assert (report.kind, report.name) == ("input", "params/b")


def test_in_a_custom_derivative():
    @jax.custom_vjp
    def norm(x):
        return jnp.sqrt(jnp.sum(x**2))

    def forward(x):
        return norm(x), (x, norm(x))

    def backward(kept, g):
        x, n = kept
        return (g * x / n,)  # custom derivative

    norm.defvjp(forward, backward)
    x = np.ones((B, D), np.float32)
    x[0] = 0
    report = explain(
        lambda w, batch: jax.vmap(lambda x: norm(x * w))(batch["x"]), batch=batch_of(x=x)
    )
    assert_blames(report, "custom derivative", "div", row=0)


# What surrounds an operation.


class Net(linen.Module):
    @linen.compact
    def __call__(self, x, *, train: bool):
        x = linen.Dense(3, name="first")(x)
        return linen.Dense(2, name="second")(Root(name="root")(x))


class Root(linen.Module):
    @linen.compact
    def __call__(self, x):
        return jnp.sqrt(x - x)  # root of a difference


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"remat": True}], ids=str)
def test_the_path_of_the_module_and_options_of_the_step(options):
    objective = objectives.supervised(Net(), losses.softmax_cross_entropy, inputs="x")
    trainer = train.make(objective, optax.sgd(0.1), **options)
    batch = batch_of(label=np.zeros(B, np.int32))
    state = trainer.init(jax.random.key(0), batch)
    report = inspect.explain_nonfinite(trainer, state, batch)
    assert report.line.number == line_of("root of a difference")
    assert report.place.module == "Net/root"
    assert ("iteration" in str(report)) == ("accumulate" in options)


@pytest.mark.parametrize("loop", ["while", "cond", "checkpoint", "custom_jvp", "jit"])
def test_it_looks_inside(loop):
    @jax.custom_jvp
    def custom(x):
        return jnp.log(x)  # inside custom_jvp

    custom.defjvp(lambda x, dx: (custom(*x), dx[0]))

    def enter(x):
        if loop == "while":

            def body(carry):
                return carry[0] + 1, jnp.log(carry[1])  # inside while

            stopped = jax.lax.stop_gradient(x)
            return x + jax.lax.while_loop(lambda c: c[0] < 3, body, (0, stopped))[1]
        if loop == "cond":
            return jax.lax.cond(x[0] < 9, lambda x: jnp.log(x), lambda x: x, x)  # inside cond
        if loop == "checkpoint":
            return jax.checkpoint(lambda x: jnp.sin(jnp.log(x)))(x)  # inside checkpoint
        return custom(x) if loop == "custom_jvp" else jax.jit(lambda x: jnp.log(x))(x)  # inside jit

    report = explain(lambda w, batch: enter(batch["x"] @ w - batch["x"] @ w))
    assert_blames(report, f"inside {loop}", "log")
    assert (loop != "while") or "iteration 0" in str(report)


def test_infinities_that_vanish_are_not_blamed():
    def loss(w, batch):
        scores = jnp.where(jnp.arange(D) < 2, batch["x"], -jnp.inf)
        scores += jnp.log(jnp.array([1.0, 1.0, 0.0, 0.0]))[None]
        weights = jax.nn.softmax(scores)
        return jnp.sum(weights * w[None], axis=1) / batch["n"]  # the one to blame

    n = np.ones(B, np.float32)
    assert explain(loss, batch=batch_of(n=n)).finite
    n[1] = 0
    assert_blames(explain(loss, batch=batch_of(n=n)), "the one to blame", "div", row=1)


def test_a_row_that_is_masked_altogether():
    def loss(w, batch):
        scores = jnp.where(batch["seen"], batch["x"] * w[None], -jnp.inf)
        highest = jnp.max(scores, axis=1, keepdims=True)
        return jnp.sum(jnp.exp(scores - highest), axis=1)  # minus infinity from itself

    seen = np.ones((B, D), bool)
    seen[3] = False
    report = explain(loss, batch=batch_of(seen=seen))
    assert_blames(report, "minus infinity from itself", "sub", row=3)


def test_an_infinity_that_turns_to_nan_later():
    def loss(w, batch):
        e = jnp.exp(batch["x"] * w[None] * 100)  # overflows
        return jnp.sum(e / jnp.sum(e, axis=1, keepdims=True), axis=1)  # turns to nan

    report = explain(loss)
    assert_blames(report, "overflows", "exp", value=np.inf)
    assert report.became_nan.line.number == line_of("turns to nan")


def test_a_constant_that_is_meant_is_told_as_one():
    report = explain(lambda w, batch: batch["x"] @ w + jnp.inf)  # a constant
    assert (report.kind, report.line.number) == ("constant", line_of("a constant"))


def test_a_finite_replay_says_so():
    report = explain(lambda w, batch: batch["x"] @ w)
    assert (report.finite, report.line) == (True, None)
    assert str(report).startswith("Step 5, replayed operation by operation, is finite.")


def test_fit_hands_over_the_step_it_gave_up_at():
    def objective(w, model_state, batch, key, *, train):
        return Mean.from_values(jnp.log(batch["x"] * w), batch["mask"]), Aux({}, model_state)  # fit

    trainer = train.make(objective, optax.sgd(0.1), skip_nonfinite=2)
    # In the loop a good step has been taken before the bad ones are noticed.
    for driver, end in (("loop", 9), ("scan", 12)):
        x = np.ones(12, np.float32)
        x[5:end] = -1
        state = trainer.init(jax.random.key(0), params=jnp.ones(()))
        split = data.Dataset({"x": x})
        with pytest.raises(train.NonfiniteError, match="2 steps in a row") as caught:
            train.fit(trainer, split, state, epochs=1, batch_size=3, seed=None, driver=driver)
        error = caught.value
        report = inspect.explain_nonfinite(error.trainer, error.state, error.batch)
        assert_blames(report, "fit", "log")
        assert report.step in ((2,) if driver == "loop" else (2, 3))
