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
    objective, state = problem(tx, net=Net(batch_norm=True, dropout=0.3))
    eval_step = jax.jit(train.make_eval(objective))

    def test(state):
        time.sleep(config.pause)
        return train.scalars(train.evaluate(eval_step, state, blobs(50, seed=1), 16), "test/")

    with (
        runs.open(dataclasses.replace(config, pause=0.0), name="worker", out=config.out) as run,
        train.Checkpoints(config.out / "checkpoints") as checkpoints,
    ):
        result = train.fit(
            train.make_step(objective, tx),
            state,
            blobs(),
            epochs=config.epochs,
            batch_size=8,
            seed=5,
            evaluate=test,
            run=run,
            driver="stream",
            layout=parallel.Layout(parallel.make_mesh()),
            checkpoints=checkpoints,
        )
        if jax.process_index() == 0:
            leaves = jax.tree_util.tree_leaves_with_path(result.state.params)
            named = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
            np.savez(config.out / "final.npz", **named)
        run.finish({"test/loss": result.history[-1]["test/loss"]})


if __name__ == "__main__":
    cli.run(main, Config)
