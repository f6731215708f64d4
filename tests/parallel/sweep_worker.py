"""One process of a search: `sweep_worker.py --out FOLDER --search NAME + launch options`."""

import dataclasses
import pathlib
import time
from typing import Literal

import jax
import numpy as np
import optax

from jaxdl import cli, runs, train
from tests.train.problems import Net, blobs, problem


@dataclasses.dataclass(frozen=True)
class Config:
    out: pathlib.Path
    search: Literal["sweep", "rounds", "halving", "population"] = "sweep"
    pause: float = 0.0  # seconds of sleep after each epoch, which is saved then, to be killed in


def member(hyper):
    return problem(optax.sgd(hyper["rate"]), net=Net(batch_norm=True, dropout=0.3))[0]


class Slow:
    """A run that sleeps after every save, and so do its parts."""

    def __init__(self, run, seconds):
        self.run, self.seconds = run, seconds

    def __getattr__(self, name):
        return getattr(self.run, name)

    def part(self, name):
        return Slow(self.run.part(name), self.seconds)

    def progress(self, *args):
        time.sleep(self.seconds)
        self.run.progress(*args)


def main(config: Config) -> None:
    rates = np.geomspace(0.01, 1.0, 6).astype(np.float32)
    if config.search == "sweep":
        rates = rates[:5]  # no multiple of two
    options = {
        "epochs": 4,
        "batch_size": 16,
        "held_out": {"validation": blobs(50, seed=1)},
        "vectorize": "map",
    }
    how = {"choose_by": "validation/loss", "mode": "min"}
    same = dataclasses.replace(config, pause=0.0)
    often = 0.0 if config.pause else 60.0
    with runs.open(same, name="sweep", out=config.out, save_seconds=often) as run:
        slow = Slow(run, config.pause)
        columns = {"rate": rates, "seed": np.arange(len(rates))}
        if config.search == "halving":
            result = train.successive_halving(
                member, columns, blobs(), factor=2, run=slow, **options, **how
            ).survivors
        elif config.search == "population":
            result = train.population(member, columns, blobs(), run=slow, **options, **how).final
        else:
            at_once = 3 if config.search == "rounds" else None
            result = train.sweep(member, columns, blobs(), at_once=at_once, run=slow, **options)
        states = result.states.replace(key=None)
        leaves = jax.tree_util.tree_leaves_with_path((states, result.history, result.hypers))
        named = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
        if jax.process_index() == 0:
            np.savez(config.out / "final.npz", **named)
        run.finish({"members": len(result)})


if __name__ == "__main__":
    cli.run(main, Config)
