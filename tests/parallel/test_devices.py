"""One, two and eight devices give one training, whatever the form and wherever the state lies."""

import functools
import re

import chex
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from jaxdl import data, losses, models, nn, objectives, parallel, train
from tests.train.problems import Log, blobs, objective, problem

BATCH = 16  # of 37 examples: the last one of an epoch holds 5


class Net(linen.Module):
    """Batch norm and dropout in one dense network."""

    axis_name: tuple[str, ...] | None = None

    @linen.compact
    def __call__(self, x, mask, *, train: bool):
        x = linen.Dense(16)(x)
        x = nn.BatchNorm(axis_name=self.axis_name)(x, mask, train=train)
        x = nn.Dropout(0.25, axis_name=self.axis_name)(linen.tanh(x), train=train)
        return linen.Dense(3)(x)


class Init(Net):
    """The same with a mask made up, for the initializer that passes none."""

    @linen.compact
    def __call__(self, x, mask=None, *, train: bool):
        return super().__call__(x, jnp.ones(len(x), bool) if mask is None else mask, train=train)


def trained(form, devices, *, steps=20, shard_above=None, tx=None, **options):
    """Parameters after one step, losses of all steps, and the last state."""
    tx = tx or optax.sgd(0.2)
    mesh = parallel.make_mesh(devices=jax.devices()[:devices])
    layout = parallel.Layout(mesh, shard_above)
    inside = form != "jit"
    net = Init(axis_name=("replica", "data") if inside else None)
    state = problem(tx, net=net)[1]
    function = parallel.psum_objective(objective(net)) if inside else objective(net)
    step = train.make(function, tx, **options).step
    if form == "shard_map":
        step = parallel.per_device(step, mesh)
    if form == "pmap":
        step = parallel.pmap(step, mesh)
    shardings = layout.state(state)
    run = jax.jit(step, out_shardings=(shardings, None))
    state = layout.put_state(state)
    first, seen = None, []
    for batch in data.batches(blobs(), BATCH, seed=2, epochs=-(-steps // 3)):
        if form == "pmap":
            batch = jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)
        else:
            batch = jax.device_put(batch, layout.batch)
        state, metrics = run(state, batch)
        seen.append(float(metrics["loss"].compute()))
        if first is None:
            first = jax.tree.map(np.array, (state.params, state.model_state))
        if len(seen) == steps:
            break
    assert float(metrics["accuracy"].compute()) > 0
    return first, np.array(seen), state


@functools.cache
def alone(accumulate=1):
    return trained("jit", 1, accumulate=accumulate)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    "form, devices, shard_above",
    [
        ("jit", 2, None),
        ("jit", 8, None),
        ("jit", 8, 8),
        ("shard_map", 1, None),
        ("shard_map", 8, None),
        ("pmap", 2, None),
    ],
)
def test_training_does_not_depend_on_the_devices(form, devices, shard_above, accumulate):
    """Batch norm, dropout, a ragged last batch and accumulation included."""
    want_first, want_losses, _ = alone(accumulate)
    first, seen, state = trained(form, devices, shard_above=shard_above, accumulate=accumulate)
    chex.assert_trees_all_close(first, want_first, atol=1e-6)
    np.testing.assert_allclose(seen, want_losses, atol=1e-4)
    if shard_above is not None:
        kernel = state.params["Dense_0"]["kernel"]
        assert kernel.sharding.spec == P(None, ("model", "data"))
        assert kernel.addressable_shards[0].data.shape == (2, 2)


def test_the_gradient_is_not_n_times_too_large():
    """The known mistake, pmean of gradients, and the form that `across` uses, side by side."""
    mesh = parallel.make_mesh()
    w, x = jnp.float32(2.0), jnp.arange(8, dtype=jnp.float32)
    want = jax.grad(lambda w: jnp.mean((w * x) ** 2))(w)
    axes = ("replica", "data")

    def wrong(w, x):
        return jax.lax.pmean(jax.grad(lambda w: jnp.mean((w * x) ** 2))(w), axes)

    def right(w, x):
        return jax.grad(lambda w: jax.lax.pmean(jnp.mean((w * x) ** 2), axes))(w)

    def mapped(f):
        return jax.shard_map(f, mesh=mesh, in_specs=(P(), P(axes)), out_specs=P())(w, x)

    np.testing.assert_allclose(mapped(right), want, rtol=1e-6)
    np.testing.assert_allclose(mapped(wrong), 8 * want, rtol=1e-6)
    trainer, state = problem(optax.sgd(1.0))
    batch = data.host_batch(blobs(), 0, batch_size=16)
    plain, _ = jax.jit(trainer.step)(state, batch)
    step = train.make(parallel.psum_objective(objective()), optax.sgd(1.0)).step
    spread, _ = jax.jit(parallel.per_device(step, mesh))(state, batch)
    chex.assert_trees_all_close(spread.params, plain.params, atol=1e-6)


def test_members_spread_over_the_mesh_and_over_data_as_well():
    """Four seeds by two data shards: each member trains as it does alone."""
    tx = optax.sgd(0.2)
    step = problem(tx)[0].step
    states = [problem(tx, seed=seed)[1] for seed in range(4)]
    mesh = parallel.make_mesh(replica=4, data=2)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    members = jax.sharding.NamedSharding(mesh, P("replica"))
    rows = jax.sharding.NamedSharding(mesh, P("data"))
    stacked = jax.device_put(stacked, members)
    run = jax.jit(jax.vmap(step, in_axes=(0, None)))
    one = jax.jit(step)
    for batch in data.batches(blobs(), BATCH, seed=0):
        stacked, metrics = run(stacked, jax.device_put(batch, rows))
        assert metrics["loss"].total.shape == (4,)
        states = [one(state, batch)[0] for state in states]
    for i, state in enumerate(states):
        member = jax.tree.map(lambda x, i=i: x[i], stacked.params)
        chex.assert_trees_all_close(member, state.params, atol=1e-5)


@pytest.mark.parametrize("driver", ["stream", "loop", "scan"])
def test_fit_takes_a_layout_with_every_driver(driver):
    tx = optax.adam(0.03)

    def go(layout, driver):
        trainer, state = problem(tx)
        return train.fit(
            trainer, blobs(), state, epochs=2, batch_size=16, driver=driver, layout=layout
        )

    want = go(parallel.Layout(parallel.make_mesh(data=1)), "stream")
    got = go(parallel.Layout(parallel.make_mesh(), shard_above=8), driver)
    chex.assert_trees_all_close(got.state.params, want.state.params, atol=1e-5)
    assert got.state.params["Dense_0"]["kernel"].sharding.num_devices == 8
    assert got.history[-1]["train/loss"] == pytest.approx(want.history[-1]["train/loss"], rel=1e-5)


@pytest.mark.parametrize("after", [2, 1])
def test_a_checkpoint_of_eight_devices_goes_on_with_fewer(after, tmp_path):
    """At the same step, with the same position in the data."""
    tx = optax.adam(0.03)

    def go(devices, epochs, checkpoints=None):
        trainer, state = problem(tx)
        layout = parallel.Layout(parallel.make_mesh(data=devices), shard_above=8)
        return train.fit(
            trainer,
            blobs(),
            state,
            epochs=epochs,
            batch_size=16,
            layout=layout,
            run=Log(checkpoints),
        )

    want = go(1, 4)
    with train.Checkpoints(tmp_path) as checkpoints:
        go(8, 2, checkpoints)
        got = go(after, 4, checkpoints)
    assert int(got.state.step) == int(want.state.step) == 12
    assert len(got.history) == 4
    assert got.state.params["Dense_0"]["kernel"].sharding.num_devices == after
    chex.assert_trees_all_close(got.state.params, want.state.params, atol=1e-5)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="batch_size=12 does not split over 8 devices"):
        parallel.Layout(parallel.make_mesh()).check_batch(12)
    with pytest.raises(ValueError, match="2 x 8 x 1 needs 16 devices, there are 8"):
        parallel.make_mesh(replica=2, data=8)
    with pytest.raises(ValueError, match="at least 1 device"):
        parallel.make_mesh(model=0)
    with pytest.raises(ValueError, match=r"\[8, B, ...\], got \(4, 2\)"):
        parallel.pmap(lambda s, b: (s, b), parallel.make_mesh())(0, {"x": jnp.zeros((4, 2))})


def test_sharding_rule():
    """Large arrays along their longest axis that divides; small ones and odd ones are copied."""
    layout = parallel.Layout(parallel.make_mesh(data=4, model=2), shard_above=100)
    specs = {
        (64, 32): P(("model", "data")),
        (3, 3, 16, 128): P(None, None, None, ("model", "data")),
        (12, 30): P(("data",)),
        (25, 7): P(),
        (8, 8): P(),
    }
    for shape, want in specs.items():
        assert layout.state(jax.ShapeDtypeStruct(shape, jnp.float32)).spec == want


def test_dropout_masks_do_not_depend_on_how_a_batch_is_spread():
    layer, x = nn.Dropout(0.5), jnp.ones((8, 6))
    key = jax.random.key(0)

    def apply(layer, x):
        return layer.apply({}, x, train=True, rngs={"dropout": key})

    want = apply(layer, x)
    local = nn.Dropout(0.5, axis_name="data")
    mesh = parallel.make_mesh()
    spread = jax.shard_map(
        functools.partial(apply, local), mesh=mesh, in_specs=P("data"), out_specs=P("data")
    )
    np.testing.assert_array_equal(spread(x), want)
    assert set(np.unique(want)) == {0.0, 2.0}
    rows = {bytes(np.asarray(row)) for row in want}
    assert len(rows) > 4
    np.testing.assert_array_equal(layer.apply({}, x, train=False), x)
    with pytest.raises(ValueError, match="rate"):
        apply(nn.Dropout(1.0), x)


def lstm_problem(rules=(), shard_above=None, **mesh):
    """One step of a small LSTM language model on a mesh: the new parameters and the program."""
    net = models.LSTMSmall(vocab_size=32, hidden_size=16, embed_dim=16)
    trainer = train.make(objectives.language_model(net), optax.sgd(0.1, momentum=0.9))
    tokens = np.random.default_rng(0).integers(0, 32, (16, 8)).astype(np.int32)
    batch = {"tokens": tokens, "targets": tokens[:, ::-1].copy(), "valid": tokens > 3}
    batch["mask"] = np.arange(16) < 13
    state = trainer.init(jax.random.key(0), batch)
    return one_step(trainer, state, batch, rules, shard_above, **mesh)


def resnet_problem(rules=(), shard_above=None, **mesh):
    """The same of a small ResNet."""
    net = models.ResNet(4, (1, 1), width=8, stem="small")
    trainer = train.make(
        objectives.supervised(net, losses.softmax_cross_entropy), optax.sgd(0.1, momentum=0.9)
    )
    image = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype(np.float32)
    batch = {"image": image, "label": np.arange(16) % 4, "mask": np.arange(16) < 13}
    state = trainer.init(jax.random.key(0), batch)
    return one_step(trainer, state, batch, rules, shard_above, **mesh)


def transformer_problem(rules=(), shard_above=None, **mesh):
    """The same of a small transformer, whose layers are stacked."""
    net = models.Transformer(32, context=8, dim=16, num_layers=3, num_heads=4, tied=False)
    trainer = train.make(objectives.language_model(net), optax.sgd(0.1, momentum=0.9))
    tokens = np.random.default_rng(0).integers(0, 32, (16, 8)).astype(np.int32)
    batch = {"tokens": tokens, "targets": tokens[:, ::-1].copy(), "valid": tokens > 3}
    batch["mask"] = np.arange(16) < 13
    state = trainer.init(jax.random.key(0), batch)
    return one_step(trainer, state, batch, rules, shard_above, **mesh)


def one_step(trainer, state, batch, rules, shard_above, **mesh):
    devices = jax.devices()[: 1 if not mesh else None]
    made = parallel.make_mesh(devices=devices, **mesh)
    rules = parallel.model_rules(state.params, made) if rules == "by name" else rules
    layout = parallel.Layout(made, shard_above, rules)
    state, shardings = layout.put_state(state), layout.state(state)
    batch = jax.device_put(batch, layout.batch)
    with layout.known():
        program = jax.jit(trainer.step, out_shardings=(shardings, None)).lower(state, batch)
    program = program.compile()
    state, metrics = program(state, batch)
    return state, float(metrics["loss"].compute()), program.as_text()


TWO_AXES = (
    ("embed/embedding", ("model", None)),
    ("kernel_hh", (None, "model")),
    ("kernel_ih", (None, "model")),
    ("head/kernel", ("data", "model")),
)


@pytest.mark.parametrize(
    "problem, rules",
    [
        (lstm_problem, TWO_AXES),
        (lstm_problem, "by name"),
        (resnet_problem, (("head/kernel", (None, "model")),)),
        (transformer_problem, "by name"),
    ],
    ids=["lstm", "lstm-named", "resnet", "transformer"],
)
def test_sharded_states_take_the_step_of_one_device(problem, rules):
    """Fully sharded, and over two axes by named rules, moments with their parameters."""
    alone, loss, _ = problem()
    both = {"rules": rules, "data": 4, "model": 2}
    for layout in ({"shard_above": 32, "data": 8}, both, {**both, "shard_above": 32}):
        state, got, text = problem(**layout)
        np.testing.assert_allclose(got, loss, atol=1e-6)
        chex.assert_trees_all_close(state.model_state, alone.model_state, atol=1e-6)
        chex.assert_trees_all_close(state.params, alone.params, atol=1e-6)
        assert "all-gather" in text
        head = state.params["head"]["kernel"]
        assert not head.sharding.is_fully_replicated
        moments = jax.tree.leaves(state.opt_state)
        assert any(m.shape == head.shape and m.sharding == head.sharding for m in moments)


def test_an_axis_that_does_not_divide_leaves_its_place_to_the_other():
    mesh = parallel.make_mesh(data=2, model=4)
    shapes = {"odd": (7, 16), "small": (7, 4), "none": (7, 9), "fits": (8, 6)}
    params = {name: {"embedding": np.zeros(shape)} for name, shape in shapes.items()}
    params = {f"{name}_embed": one for name, one in params.items()}
    made = dict(parallel.model_rules(params, mesh))
    assert made["odd_embed/embedding"] == (None, ("model", "data"))
    assert made["small_embed/embedding"] == (None, "model")
    assert made["none_embed/embedding"] == (None, None)
    assert made["fits_embed/embedding"] == ("model", "data")
    of_stack = {"block": {"out": {"kernel": np.zeros((3, 8, 8))}}}
    (rule,) = parallel.model_rules(of_stack, mesh, fully_sharded=False)
    assert rule == ("block/out/kernel", (None, "model", None))
    parallel.Layout(mesh, rules=[rule]).state(of_stack)
    with pytest.raises(ValueError, match="no parameter is a matrix of"):
        parallel.model_rules({"kernel": np.zeros((2, 2))}, mesh)


def test_rules_that_cannot_be_followed_are_named():
    mesh = parallel.make_mesh(data=4, model=2)
    state = {"params": {"head": {"kernel": np.zeros((6, 8))}}}

    def lay(pattern, *axes):
        return parallel.Layout(mesh, rules=((pattern, axes),)).state(state)

    with pytest.raises(ValueError, match="rule 'tail/kernel' names no parameter"):
        lay("tail/kernel", "model")
    with pytest.raises(ValueError, match="cuts axis 0 of params/head/kernel, 6 long, into 4 parts"):
        lay("head/*", "data")
    with pytest.raises(ValueError, match="names the axis 'modle', the mesh has replica, data"):
        lay("head/*", "modle")
    with pytest.raises(ValueError, match="has 3 axes, params/head/kernel has shape"):
        lay("kernel", None, None, "model")
    first = (("head/kernel", (None, "model")), ("*", ("data",)))
    spec = parallel.Layout(mesh, rules=first[:1]).state(state)["params"]["head"]["kernel"].spec
    assert spec == P(None, "model")


def test_gradients_are_added_up_in_float32():
    """In half precision too: 256 on one device and 1 on seven others is 256 in bfloat16."""
    layer, layout = (
        nn.Dense(1, use_bias=False, dtype=jnp.bfloat16),
        parallel.Layout(parallel.make_mesh()),
    )
    x = jax.device_put(jnp.array([[256.0]] + [[1.0]] * 7), layout.batch)
    params = jax.device_put({"kernel": jnp.ones((1, 1))}, layout.copied)

    def loss(params, x):
        return jnp.sum(layer.apply({"params": params}, x).astype(jnp.float32))

    with layout.known():
        program = jax.jit(jax.grad(loss)).lower(params, x).compile()
    assert re.search(r"f32\[[\d,]*\]\S* all-reduce", program.as_text())
    assert float(program(params, x)["kernel"][0, 0]) in (263.0, 264.0)  # bfloat16 holds even ones
