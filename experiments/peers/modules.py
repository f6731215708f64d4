"""A training step of one network as a module of Flax Linen, of Flax NNX and of Equinox."""

import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.peers._side import Row, Side
from jaxdl import losses, objectives, train

SIZES, BATCH = (784, 256, 256, 10), 256


class OfLinen(linen.Module):
    """Two hidden layers with ReLU."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for size in SIZES[1:-1]:
            x = jax.nn.relu(linen.Dense(size)(x))
        return linen.Dense(SIZES[-1])(x)


class OfNNX(nnx.Module):
    """The same."""

    def __init__(self, rngs: nnx.Rngs):
        pairs = itertools.pairwise(SIZES)
        self.layers = nnx.List([nnx.Linear(i, o, rngs=rngs) for i, o in pairs])

    def __call__(self, x: jax.Array) -> jax.Array:
        *hidden, last = self.layers
        for layer in hidden:
            x = jax.nn.relu(layer(x))
        return last(x)


def of_equinox() -> Any:
    import equinox

    class OfEquinox(equinox.Module):
        layers: list

        def __call__(self, x: jax.Array) -> jax.Array:
            for layer in self.layers[:-1]:
                x = jax.nn.relu(layer(x))
            return self.layers[-1](x)

    keys = jax.random.split(jax.random.key(0), len(SIZES) - 1)
    pairs = zip(itertools.pairwise(SIZES), keys, strict=True)
    return OfEquinox([equinox.nn.Linear(i, o, key=key) for (i, o), key in pairs])


def side(make: Callable[[], Any]) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        rng, size = np.random.default_rng(0), 8 if smoke else BATCH
        batch = {
            "x": jnp.asarray(rng.normal(size=(size, SIZES[0])), jnp.float32),
            "label": jnp.asarray(rng.integers(0, SIZES[-1], size)),
            "mask": jnp.ones(size, bool),
        }
        objective = objectives.supervised(make(), losses.softmax_cross_entropy, inputs="x")
        trainer = train.make(objective, optax.sgd(0.01, momentum=0.9))
        state = trainer.init(jax.random.key(0), batch)
        step = jax.jit(trainer.step)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))

        def work() -> Any:
            now = state
            for _ in range(20):
                now, _ = step(now, batch)
            return now.params

        jax.block_until_ready(work())
        return Side(work, 20, parameters)

    return build


ROWS = {
    "modules": Row(
        {
            "jaxdl": side(OfLinen),
            "NNX": side(lambda: OfNNX(nnx.Rngs(0))),
            "Equinox": side(of_equinox),
        },
        "steps",
        0.0,
        ("equinox",),
    ),
}
