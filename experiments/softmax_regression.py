"""Softmax regression: to its optimum by Newton steps, and by mini-batch descent in `train.fit`.

    python -m experiments.softmax_regression                        # digits
    python -m experiments.softmax_regression --data mnist --data-dir DIR

The rate of the descent is the one that is best on a part of the training set that is held out for
it; all of the training set is learned from then. Published: test accuracy .925 on MNIST, .9694 on
digits (scikit-learn, five folds of a penalized fit).
"""

import dataclasses
import pathlib
from typing import Literal

import jax
import numpy as np
import optax

from jaxdl import classical, cli, data, losses, metrics, models, objectives, plots, runs, train

PUBLISHED = {"digits": 0.9694, "mnist": 0.925, "fashion_mnist": 0.823}


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files (MNIST, Fashion-MNIST)
    epochs: int = 30  # passes of the mini-batch descent
    batch_size: int = 256  # examples per step
    learning_rates: tuple[float, ...] = (0.1, 0.3, 1.0)  # to choose from: of plain descent, at the
    # start of a cosine to zero
    validation: float = 1 / 6  # share of the training set that chooses
    penalty: float = 1.0  # of the squares, in the exact fit
    newton_steps: int = 12  # limit of the exact fit; 0 leaves it out
    seed: int = 0  # of the order of the data
    smoke: bool = False  # a few seconds: little data, two epochs
    out: pathlib.Path | None = None  # run folder; runs/softmax_regression/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    limit = 512 if config.smoke else None
    splits = data.load(config.data, config.data_dir, limit=limit)
    parts = data.load(config.data, config.data_dir, limit=limit, validation=config.validation)
    epochs = min(config.epochs, 2) if config.smoke else config.epochs
    num_classes = len(splits.info.class_names)

    # Mini-batch descent: the same program for any size of data.
    model = models.MLP(features=(num_classes,), kernel_init=jax.nn.initializers.zeros)
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={
            "accuracy": metrics.Accuracy.from_batch,
            "confusion": metrics.ConfusionMatrix.from_batch,
        },
        preprocess=data.images.to_unit,
    )

    def descent(rate: float, split: data.Dataset) -> train.Trainer:
        steps = epochs * data.num_batches(len(split), config.batch_size)
        return train.make(objective, optax.sgd(optax.cosine_decay_schedule(rate, steps)))

    def validated(rate: float, run: train.Recorder) -> float:
        trainer = descent(rate, parts["train"])
        state = train.fit(trainer, parts["train"], epochs=epochs, run=run,
                          batch_size=config.batch_size, seed=config.seed).state  # fmt: skip
        held_out = train.evaluate(trainer, state, parts["validation"])
        return float(held_out["accuracy"].compute())

    with runs.open(config, name="softmax_regression", out=config.out, resume=config.resume) as run:
        run.note(f"published test accuracy {PUBLISHED[config.data]}")
        accuracies = {
            rate: validated(rate, run.part(f"rate_{rate:g}")) for rate in config.learning_rates
        }
        rate = max(accuracies, key=lambda rate: accuracies[rate])
        found = ", ".join(f"{value:.4f} at {r:g}" for r, value in accuracies.items())
        run.note(f"rate {rate:g}, chosen by validation accuracy: {found}")
        trainer = descent(rate, splits["train"])
        result = train.fit(
            trainer,
            splits["train"],
            epochs=epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": splits["test"]},
            run=run,
        )
        final = train.evaluate(trainer, result.state, splits["test"])
        confusion = np.asarray(final["confusion"].compute())
        results = train.scalars(final, "test/")
        results |= {"learning_rate": rate, "validation/accuracy": accuracies[rate]}

        # The optimum itself, all examples in every step.
        if config.newton_steps:
            x, x_test = (
                splits[part]["image"].reshape(len(splits[part]), -1).astype(np.float32) / 255
                for part in ("train", "test")
            )
            exact, report = classical.fit_softmax(
                x,
                splits["train"]["label"],
                config.penalty,
                num_classes=num_classes,
                max_steps=min(config.newton_steps, 3) if config.smoke else config.newton_steps,
            )
            decided = np.argmax(classical.linear(exact, x_test), axis=1)
            results["exact/accuracy"] = float((decided == splits["test"]["label"]).mean())
            results["exact/converged"] = float(report.converged)
        for true, wrong, count in classical.confused_pairs(confusion, 3):
            run.note(f"{true} taken for {wrong}: {count} times")
        run.figure("curves", plots.curves(result.history))
        run.figure("confusion", plots.confusion(confusion, splits.info.class_names))
        labels = (splits[part]["label"] for part in ("train", "test"))
        return run.finish({**results, "majority/accuracy": data.majority_share(*labels)})


if __name__ == "__main__":
    cli.run(main, Config)
