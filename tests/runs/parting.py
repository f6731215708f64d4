"""An experiment in one of whose layers a difference can be planted, from a step on."""

import dataclasses
import pathlib

import flax.linen as linen
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import data, losses, objectives, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    at: int = 10**6  # step from which the middle layer is slightly off
    steps_per_epoch: int = 8
    epochs: int = 5
    widths: tuple[int, ...] = (8, 8)
    out: pathlib.Path | None = None


class Middle(linen.Module):
    at: int

    @linen.compact
    def __call__(self, x, *, train: bool):
        count = self.variable("count", "steps", lambda: jnp.zeros((), jnp.int32))
        count.value += train
        return x * jnp.where(count.value > self.at, 1.001, 1.0)  # planted


class Net(linen.Module):
    at: int
    widths: tuple[int, ...]

    @linen.compact
    def __call__(self, x, *, train: bool):
        x = linen.tanh(linen.Dense(self.widths[0], name="first")(x))
        x = Middle(self.at, name="middle")(x, train=train)
        return linen.Dense(3, name="last")(linen.tanh(linen.Dense(self.widths[1])(x)))


def main(config: Config) -> dict[str, float]:
    rng = np.random.default_rng(0)
    size = 8 * config.steps_per_epoch
    x = rng.normal(size=(size, 4)).astype(np.float32)
    split = data.Dataset({"x": x, "label": rng.integers(0, 3, size).astype(np.int32)})
    net = Net(config.at, config.widths)
    objective = objectives.supervised(net, losses.softmax_cross_entropy, inputs="x")
    trainer = train.make(objective, optax.adam(1e-2))
    with runs.open(config, name="parting", out=config.out, quiet=True) as run:
        result = train.fit(trainer, split, epochs=config.epochs, batch_size=8, run=run)
        return run.finish({"train/loss": result.history[-1]["train/loss"]})
