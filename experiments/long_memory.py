"""How long a recurrent network remembers: the adding problem at growing lengths.

    python -m experiments.long_memory --lengths 20 50 100

A sequence of numbers between 0 and 1, two of them marked, one in each half; the target is the sum
of the two. Who always answers 1 has a mean squared error of 1/6, and only a network that keeps the
first marked number to the end does better. New sequences in every epoch, so nothing is memorized.
Hochreiter & Schmidhuber, Long short-term memory, 1997, sec. 5.4.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, models, nn, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    lengths: tuple[int, ...] = (20, 50, 100)  # of the sequences
    hidden: int = 64  # units
    examples: int = 5000  # sequences an epoch
    epochs: int = 30  # epochs
    batch_size: int = 50  # sequences per step
    learning_rate: float = 2e-3  # of Adam
    seed: int = 0  # of weights and sequences
    smoke: bool = False  # a few seconds: one short length, few sequences
    out: pathlib.Path | None = None  # run folder; runs/long_memory/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


CELLS: dict[str, nn.Cell] = {"RNN": nn.RNNCell(), "GRU": nn.GRUCell(), "LSTM": nn.LSTMCell()}


def main(config: Config) -> dict[str, float]:
    if config.smoke:
        config = dataclasses.replace(config, lengths=(8,), examples=200, epochs=2, hidden=8)
    if min(config.lengths, default=0) < 2:
        raise ValueError(f"lengths must be at least 2, got {config.lengths}")
    results = {"always 1/mse": 1 / 6}
    shown: dict[str, list] = {}
    with runs.open(config, name="long_memory", out=config.out, resume=config.resume) as run:
        for length in config.lengths:
            test = sequences(jax.random.key(config.seed + 1), 1000, length)
            # Only the shape of these is used: every batch is drawn anew from the key of its step.
            shapes = sequences(jax.random.key(config.seed), config.examples, length)
            for name, cell in CELLS.items():
                objective = objectives.supervised(
                    models.SignalRNN(1, cell, config.hidden),
                    lambda outputs, y: losses.squared_error(outputs[:, 0], y),
                    inputs="x",
                    targets="sum",
                    augment=lambda key, batch: {**batch, **draw(key, *batch["x"].shape[:2])},
                )
                result = train.fit(
                    train.make(objective, optax.adam(config.learning_rate), clip_norm=1.0),
                    data.Dataset(jax.tree.map(np.asarray, shapes)),
                    epochs=config.epochs,
                    batch_size=config.batch_size,
                    seed=config.seed,
                    held_out={"test": data.Dataset(jax.tree.map(np.asarray, test))},
                    run=run.part(f"{name.lower()}-{length}"),
                )
                shown[f"{name}, length {length}"] = [result.history]
                results[f"{length}/{name}/mse"] = result.history[-1]["test/loss"]
                run.note(f"length {length:4} {name:5} mse {result.history[-1]['test/loss']:.4f}")
        run.figure("loss", plots.side_by_side(shown, "test/loss", log=True))
        return run.finish(results)


def draw(key: jax.Array, count: int, length: int) -> dict[str, jax.Array]:
    """Values and marks `[N, T, 2]`, and the sum of the two marked values `[N]`."""
    of_values, of_first, of_second = jax.random.split(key, 3)
    values = jax.random.uniform(of_values, (count, length))
    first = jax.random.randint(of_first, (count, 1), 0, length // 2)
    second = jax.random.randint(of_second, (count, 1), length // 2, length)
    step = jnp.arange(length)[None]
    marks = ((step == first) | (step == second)).astype(values.dtype)
    return {"x": jnp.stack([values, marks], axis=-1), "sum": jnp.sum(values * marks, axis=1)}


def sequences(key: jax.Array, count: int, length: int) -> dict[str, jax.Array]:
    """As `draw`, compiled once a length."""
    return jax.jit(draw, static_argnums=(1, 2))(key, count, length)


if __name__ == "__main__":
    cli.run(main, Config)
