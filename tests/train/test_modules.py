"""One engine for every module: the same weights give the same training, whatever library built it.

The three networks are a perceptron 2-8-3 with tanh, given the weights of the Linen one.
"""

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxdl import data, losses, metrics, objectives, parallel, train
from tests.train.problems import blobs

KEY = jax.random.key(0)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(3, name="out")(jnp.tanh(linen.Dense(8, name="hidden")(x)))


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.hidden, self.out = nnx.Linear(2, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(jnp.tanh(self.hidden(x)))


class Equinox(eqx.Module):
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, key):
        self.hidden, self.out = eqx.nn.Linear(2, 8, key=key), eqx.nn.Linear(8, 3, key=key)

    def __call__(self, x):
        return self.out(jnp.tanh(self.hidden(x)))


class Haiku(tuple):
    """What `hk.transform` gives: a named pair of functions, told apart by its type's name."""


Transformed = type("Transformed", (Haiku,), {})


def apply_plain(params, x):
    hidden = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])
    return hidden @ params["out"]["kernel"] + params["out"]["bias"][None]


WEIGHTS = Linen().init(KEY, jnp.zeros((1, 2)))["params"]


def nnx_module():
    module = Nnx(nnx.Rngs(0))
    for name in ("hidden", "out"):
        layer = getattr(module, name)
        layer.kernel[...], layer.bias[...] = WEIGHTS[name]["kernel"], WEIGHTS[name]["bias"]
    return module


def equinox_module():
    def weights(m):
        return m.hidden.weight, m.hidden.bias, m.out.weight, m.out.bias

    new = [(WEIGHTS[n]["kernel"].T, WEIGHTS[n]["bias"]) for n in ("hidden", "out")]
    return eqx.tree_at(weights, Equinox(KEY), [leaf for pair in new for leaf in pair])


def own_pair():
    def init(key, inputs):
        return jax.tree.map(jnp.array, WEIGHTS), {}

    def apply(params, state, inputs, key, train):
        return apply_plain(params, *inputs), state

    return init, apply


MODULES = {
    "linen": Linen,
    "nnx": nnx_module,
    "equinox": equinox_module,
    "pair": own_pair,
    "function": lambda: apply_plain,
}


def trainer_of(kind, **options):
    objective = objectives.supervised(
        MODULES[kind](),
        losses.softmax_cross_entropy,
        inputs="x",
        metrics={"accuracy": metrics.Accuracy.from_batch},
    )
    return train.make(objective, optax.adam(0.03), **options)


def first_state(trainer, kind):
    """Linen draws its weights and a function has none: they are given those of the others."""
    params = jax.tree.map(jnp.array, WEIGHTS) if kind in ("linen", "function") else None
    return trainer.init(KEY, data.host_batch(blobs(), 0, batch_size=8), params=params)


def losses_of(kind, **options):
    trainer = trainer_of(kind)
    result = train.fit(
        trainer, blobs(), first_state(trainer, kind), epochs=20, batch_size=37, **options
    )
    return [row["train/loss"] for row in result.history]


@pytest.mark.parametrize("kind", list(MODULES)[1:])
def test_twenty_steps_are_those_of_linen(kind):
    np.testing.assert_allclose(losses_of(kind), losses_of("linen"), rtol=1e-6)


@pytest.mark.parametrize("kind", list(MODULES)[1:3])
def test_over_eight_devices_as_well(kind):
    layout = parallel.Layout(parallel.make_mesh(), shard_above=8)
    trainer = trainer_of(kind)
    result = train.fit(
        trainer, blobs(40), first_state(trainer, kind), epochs=20, batch_size=40, layout=layout
    )
    want = train.fit(
        trainer_of("linen"), blobs(40), first_state(trainer_of("linen"), "linen"),
        epochs=20, batch_size=40, layout=parallel.Layout(parallel.make_mesh(data=1)),
    )  # fmt: skip
    got, want = ([row["train/loss"] for row in r.history] for r in (result, want))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("kind", ["nnx", "equinox"])
def test_in_a_sweep_as_well(kind):
    """Built modules begin with their own weights in every member."""
    objective = objectives.supervised(MODULES[kind](), losses.softmax_cross_entropy, inputs="x")
    result = train.sweep(
        lambda hyper: train.make(objective, optax.adam(hyper["rate"])),
        train.grid(rate=[0.03, 0.1]),
        blobs(),
        epochs=20,
        batch_size=37,
    )
    np.testing.assert_allclose(result.history["train/loss"][0], losses_of("linen"), rtol=1e-6)


@pytest.mark.parametrize("kind", ["nnx", "equinox"])
def test_they_are_saved_and_continued(kind, tmp_path):
    from tests.train.problems import Log

    trainer = trainer_of(kind, ema=0.9)
    with train.Checkpoints(tmp_path) as checkpoints:
        for epochs in (2, 4):
            parts = train.fit(trainer, blobs(), epochs=epochs, batch_size=8, run=Log(checkpoints))
    whole = train.fit(trainer, blobs(), epochs=4, batch_size=8)
    jax.tree.map(np.testing.assert_array_equal, parts.state.params, whole.state.params)


@pytest.mark.parametrize("kind", ["nnx", "equinox"])
def test_example_gradients_and_transfer_know_them(kind):
    trainer = trainer_of(kind)
    state = first_state(trainer, kind)
    objective = objectives.supervised(MODULES[kind](), losses.softmax_cross_entropy, inputs="x")
    batch = data.host_batch(blobs(), 0, batch_size=4)
    grads = train.per_example_gradients(objective, state.params, {}, batch, KEY)
    assert all(leaf.shape[0] == 4 and np.any(leaf) for leaf in jax.tree.leaves(grads))
    new, report = train.load_pretrained(state.params, {"hidden": state.params["hidden"]})
    assert len(report.matched) == 2
    assert set(new) == {"hidden", "out"}


class NnxState(nnx.Module):
    """Batch norm and dropout."""

    def __init__(self, rngs):
        self.hidden, self.norm = nnx.Linear(2, 8, rngs=rngs), nnx.BatchNorm(8, rngs=rngs)
        self.drop, self.out = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.drop(jnp.tanh(self.norm(self.hidden(x)))))


class EquinoxState(eqx.Module):
    hidden: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    drop: eqx.nn.Dropout
    out: eqx.nn.Linear

    def __init__(self, key):
        self.hidden, self.out = eqx.nn.Linear(2, 8, key=key), eqx.nn.Linear(8, 3, key=key)
        self.norm = eqx.nn.BatchNorm(8, "batch", mode="batch")
        self.drop = eqx.nn.Dropout(0.5)

    def __call__(self, x, state, *, key=None):
        x, state = self.norm(self.hidden(x), state)
        return self.out(self.drop(jnp.tanh(x), key=key)), state


STATEFUL = {
    "nnx": lambda: NnxState(nnx.Rngs(0)),
    "equinox": lambda: eqx.nn.make_with_state(EquinoxState)(KEY),
}


@pytest.mark.parametrize("kind", list(STATEFUL))
def test_statistics_move_in_training_only_and_masks_follow_the_key(kind):
    network = objectives.as_network(STATEFUL[kind]())
    x = jnp.asarray(blobs()["x"])
    params, state = network.init(KEY, (x,))
    first, moved = network.apply(params, state, (x,), jax.random.key(1), True)
    again, _ = network.apply(params, state, (x,), jax.random.key(1), True)
    other, _ = network.apply(params, state, (x,), jax.random.key(2), True)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    changed = [np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (state, moved)), strict=True)]
    assert all(changed)
    assert jax.tree.structure(state) == jax.tree.structure(moved)
    for key in (jax.random.key(1), jax.random.key(2)):
        calm, kept = network.apply(params, moved, (x,), key, False)
        np.testing.assert_array_equal(calm, network.apply(params, moved, (x,), None, False)[0])
        jax.tree.map(np.testing.assert_array_equal, kept, moved)


def test_a_haiku_pair_is_known_by_its_names():
    pair = Transformed((lambda key, x: WEIGHTS, lambda params, key, x: apply_plain(params, x)))
    pair.__dict__.update(init=pair[0], apply=pair[1])
    network = objectives.as_network(pair)
    x = jnp.ones((1, 2))
    params, state = network.init(KEY, (x,))
    outputs, _ = network.apply(params, state, (x,), KEY, True)
    np.testing.assert_array_equal(outputs, apply_plain(WEIGHTS, x))


def test_an_unknown_module_is_refused_in_one_sentence():
    with pytest.raises(
        TypeError, match=r"a network has to be a Flax Linen.*Network\(init.*got int"
    ):
        objectives.as_network(3)
    with pytest.raises(ValueError, match="apply_plain is a function and makes no parameters"):
        trainer_of("function").init(KEY, data.host_batch(blobs(), 0, batch_size=8))
