"""A small training run as a process of its own, to be killed: `killable.py FOLDER SECONDS EPOCHS`.

Dropout, batch norm, a moving average and early stopping are on, so that everything that a
checkpoint has to hold is in play. SECONDS pass after each epoch. It leaves its numbers in
FOLDER/final.npz.
"""

import dataclasses
import pathlib
import signal
import sys
import time

import jax
import numpy as np
import optax

from jaxdl import runs, train
from tests.train.problems import Net, blobs, problem


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int


def main(folder: pathlib.Path, pause: float, epochs: int) -> None:
    trainer, state = problem(optax.adam(0.03), net=Net(batch_norm=True, dropout=0.3), ema=0.9)

    def wait(state, row):
        time.sleep(pause)  # so that there is time to be killed in

    with runs.open(Config(epochs), name="killable", out=folder, save_seconds=0.05) as run:
        result = train.fit(
            trainer,
            blobs(),
            state,
            epochs=epochs,
            batch_size=8,
            seed=5,
            held_out={"test": blobs(50, seed=1)},
            after_epoch=wait,
            run=run,
            driver="loop",
            stopping=train.EarlyStopping("test/loss", patience=15 * epochs // 20),
        )
    state = dataclasses.replace(result.state, key=jax.random.key_data(result.state.key))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    np.savez(folder / "final.npz", **{jax.tree_util.keystr(path): leaf for path, leaf in leaves})


if __name__ == "__main__":
    # A shell that starts the tests behind `&` has them ignore Ctrl-C, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
