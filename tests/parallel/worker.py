"""One process of a small training run: `worker.py --out FOLDER [--pause S] + launch options`."""

import dataclasses
import pathlib
import time

import jax
import numpy as np
import optax

from jaxdl import cli, parallel, runs, train
from tests.train.problems import Net, blobs, problem


@dataclasses.dataclass(frozen=True)
class Config:
    out: pathlib.Path
    epochs: int = 4
    learning_rate: float = 0.2
    pause: float = 0.0  # seconds of sleep after each epoch, to be killed in


def main(config: Config) -> None:
    tx = optax.sgd(config.learning_rate)
    trainer, state = problem(tx, net=Net(batch_norm=True, dropout=0.3))

    def pause(state, row):
        time.sleep(config.pause)

    with runs.open(dataclasses.replace(config, pause=0.0), name="worker", out=config.out) as run:
        result = train.fit(
            trainer,
            blobs(),
            state,
            epochs=config.epochs,
            batch_size=8,
            seed=5,
            held_out={"test": blobs(50, seed=1)},
            after_epoch=pause,
            run=run,
            driver="stream",
            layout=parallel.Layout(parallel.make_mesh()),
        )
        if jax.process_index() == 0:
            leaves = jax.tree_util.tree_leaves_with_path(result.state.params)
            named = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
            np.savez(config.out / "final.npz", **named)
        run.finish({"test/loss": result.history[-1]["test/loss"]})


if __name__ == "__main__":
    cli.run(main, Config)
