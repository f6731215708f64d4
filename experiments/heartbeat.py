"""Heart beats: a 1-D convolutional network on ECG5000.

    python -m experiments.heartbeat --data ecg5000 --data-dir DIR    # the UCR archive's files
    python -m experiments.heartbeat                                  # digits read as signals

Without the recordings the rows of an 8x8 digit, one after another, are a signal of 64 samples. The
classes of ECG5000 are very unequal, so the share of the largest stands beside the accuracy.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import numpy as np
import optax

from experiments import _errors
from jaxdl import cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "ecg5000"] = "digits"  # which signals
    data_dir: pathlib.Path | None = None  # folder of ECG5000_TRAIN*.txt (and ECG5000_TEST*.txt)
    epochs: int = 30  # passes over the training set
    batch_size: int = 32  # examples per step
    learning_rate: float = 3e-3  # of Adam, at the start of a cosine to zero
    noise: float = 0.05  # standard deviation of what is added to a training signal
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: little data, two epochs
    out: pathlib.Path | None = None  # run folder; runs/heartbeat/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    splits = data.load(config.data, config.data_dir, limit=128 if config.smoke else None)
    train_set, test_set = (signals(splits[part]) for part in ("train", "test"))
    epochs = min(config.epochs, 2) if config.smoke else config.epochs
    num_classes = int(max(train_set["label"].max(), test_set["label"].max())) + 1

    def augment(key: jax.Array, batch: dict) -> dict:
        noise = config.noise * jax.random.normal(key, batch["signal"].shape)
        return {**batch, "signal": batch["signal"] + noise}

    model = models.SignalCNN(num_classes=num_classes)
    steps = epochs * data.num_batches(len(train_set), config.batch_size)
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        inputs="signal",
        metrics={
            "accuracy": metrics.Accuracy.from_batch,
            "confusion": metrics.ConfusionMatrix.from_batch,
        },
        augment=augment,
    )
    trainer = train.make(objective, optax.adam(schedule))
    with runs.open(config, name="heartbeat", out=config.out, resume=config.resume) as run:
        result = train.fit(
            trainer,
            train_set,
            epochs=epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": test_set},
            run=run,
        )
        final = train.evaluate(trainer, result.state, test_set)
        run.figure("curves", plots.curves(result.history))
        run.figure("confusion", plots.confusion(final["confusion"].compute()))

        def predict(variables: Any, batch: Any) -> Any:
            return model.apply(variables, batch["signal"], train=False)

        variables = {"params": result.state.params, **result.state.model_state}
        _errors.show(run, predict, variables, test_set, [f"class {k}" for k in range(num_classes)])
        largest = np.bincount(test_set["label"]).max() / len(test_set)
        return run.finish({**train.scalars(final, "test/"), "largest_class": float(largest)})


def signals(split: data.Dataset) -> data.Dataset:
    """Columns "signal" `[N, T, 1]` and "label" of the split."""
    if "signal" in split.columns:
        return split
    signal = split["image"].reshape(len(split), -1, 1).astype(np.float32) / 255
    return data.Dataset({"signal": signal, "label": split["label"]})


if __name__ == "__main__":
    cli.run(main, Config)
