"""A small training run as a process of its own, to be killed: `killable.py FOLDER [SECONDS]`.

Dropout, batch norm, a moving average and early stopping are on, so that everything that a
checkpoint has to hold is in play. It leaves its numbers in FOLDER/final.npz.
"""

import dataclasses
import pathlib
import sys
import time

import jax
import numpy as np
import optax

from jaxdl import runs, train
from tests.train.problems import Net, blobs, problem


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 60


def main(folder: pathlib.Path, pause: float) -> None:
    tx = optax.adam(0.03)
    objective, state = problem(tx, net=Net(batch_norm=True, dropout=0.3), ema=True)
    step = train.make_step(objective, tx, ema=0.9)
    eval_step = jax.jit(train.make_eval(objective))
    held_out = blobs(50, seed=1)

    def test(state):
        time.sleep(pause)  # so that there is time to be killed in
        return train.scalars(train.evaluate(eval_step, state, held_out, 16), "test/")

    with (
        runs.open(Config(), name="killable", out=folder) as run,
        train.Checkpoints(folder / "checkpoints") as checkpoints,
    ):
        result = train.fit(
            step,
            state,
            blobs(),
            epochs=Config.epochs,
            batch_size=8,
            seed=5,
            evaluate=test,
            run=run,
            driver="loop",
            checkpoints=checkpoints,
            save_seconds=0.05,
            stopping=train.EarlyStopping("test/loss", patience=45),
        )
    state = dataclasses.replace(result.state, key=jax.random.key_data(result.state.key))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    np.savez(folder / "final.npz", **{jax.tree_util.keystr(path): leaf for path, leaf in leaves})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
