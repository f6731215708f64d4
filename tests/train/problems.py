"""A small problem that the tests of training share."""

import flax.linen as linen
import jax
import numpy as np

from jaxdl import data, losses, metrics, objectives, train


class Net(linen.Module):
    """Two dense layers; batch norm and dropout where asked for."""

    batch_norm: bool = False
    dropout: float = 0.0

    @linen.compact
    def __call__(self, x, *, train: bool):
        x = linen.Dense(8)(x.reshape(len(x), -1))
        if self.batch_norm:
            x = linen.BatchNorm(use_running_average=not train)(x)
        x = linen.Dropout(self.dropout, deterministic=not train)(linen.tanh(x))
        return linen.Dense(3)(x)


def blobs(n: int = 37, seed: int = 0) -> data.Dataset:
    """Three clouds of points in the plane, in a size that no batch divides."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n).astype(np.int32)
    center = np.array([[0, 2], [2, -1], [-2, -1]], np.float32)[label]
    return data.Dataset(
        {"x": (center + rng.normal(size=(n, 2))).astype(np.float32), "label": label}
    )


def problem(tx, *, net=Net(), seed=0, **options):
    """The trainer of a network on `blobs` and its first state."""
    trainer = train.make(objective(net), tx, **options)
    return trainer, trainer.init(jax.random.key(seed), {**blobs(1).columns, "mask": np.ones(1)})


def objective(net=Net()):
    return objectives.supervised(
        net,
        losses.softmax_cross_entropy,
        inputs="x",
        metrics={"accuracy": metrics.Accuracy.from_batch},
    )


class Log:
    """A recorder that keeps everything."""

    def __init__(self, checkpoints=None):
        self.checkpoints = checkpoints
        self.rows, self.notes, self.seen = [], [], []

    def write(self, step, values):
        self.rows.append((step, dict(values)))

    def rewind(self, step, history=()):
        self.rows = [row for row in self.rows if row[0] <= step]

    def progress(self, done, total, text):
        self.seen.append((done, total))

    def note(self, text):
        self.notes.append(text)
