"""Every optimizer on one problem, each at its best learning rate, side by side.

    python -m experiments.optimizers

A 64-128-10 perceptron on digits. For each optimizer all rates and seeds are one sweep; the rate
with the least mean training loss is shown, so that the test set chooses nothing.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, optim, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files (MNIST, Fashion-MNIST)
    hidden: int = 128  # units of the hidden layer
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # to choose from
    seeds: int = 3  # runs at each rate
    epochs: int = 30  # passes over the training set
    batch_size: int = 64  # examples per step
    smoke: bool = False  # a few seconds: little data, two epochs, two rates, three optimizers
    out: pathlib.Path | None = None  # run folder; runs/optimizers/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def optimizers(steps: int) -> dict[str, Callable[[Any], optax.GradientTransformation]]:
    """From the learning rate, for a run of so many steps."""
    return {
        "SGD": optax.sgd,
        "momentum 0.9": lambda r: optim.momentum(r, 0.9),
        "Adam": optax.adam,
        "momentum 0.5 to 0.9": lambda r: optim.momentum(
            r, optim.momentum_ramp(ramp_steps=max(1, steps // 4))
        ),
        "Nesterov": lambda r: optim.momentum(r, 0.9, nesterov=True),
        "momentum, inverse time": lambda r: optim.momentum(
            optim.inverse_time(r * steps / 5, b_steps=steps / 5), 0.9
        ),
        "momentum, cosine": lambda r: optim.momentum(optim.cosine_decay(r, decay_steps=steps), 0.9),
        "AdaGrad": optim.adagrad_from_zero,
        "RMSProp": lambda r: optax.rmsprop(r, eps_in_sqrt=False),
        "AdaDelta": optax.adadelta,
        "AdamW": lambda r: optax.adamw(r, weight_decay=0.1, mask=optim.weights_only),
        "Adam, warm-up, cosine": lambda r: optax.adam(
            optim.warmup_cosine_decay(r, warmup_steps=steps // 10, cosine_steps=steps - steps // 10)
        ),
        "Muon, cosine": lambda r: optim.muon(
            optim.cosine_decay(r, decay_steps=steps),
            adam_learning_rate=optim.cosine_decay(r / 10, decay_steps=steps),
        ),
    }


def main(config: Config) -> dict[str, float]:
    if config.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {config.seeds}")
    if not all(0 < rate < float("inf") for rate in config.learning_rates):
        raise ValueError(f"learning_rates must be positive, got {config.learning_rates}")
    splits = data.load(config.data, config.data_dir, limit=256 if config.smoke else None)
    if config.smoke:
        config = dataclasses.replace(config, learning_rates=(0.01, 0.1), seeds=2, epochs=2)
    steps = config.epochs * data.num_batches(len(splits["train"]), config.batch_size)
    chosen = list(optimizers(steps).items())[: 3 if config.smoke else None]
    model = models.MLP(features=(config.hidden, len(splits.info.class_names)))
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )
    hypers = train.grid(learning_rate=config.learning_rates, seed=range(config.seeds))
    results: dict[str, float] = {}
    shown: dict[str, list] = {}
    with runs.open(
        config, name="optimizers", out=config.out, resume=config.resume, data=splits
    ) as run:
        for number, (name, make) in enumerate(chosen, 1):

            def member(hyper: train.Hyper, make: Any = make) -> train.Trainer:
                return train.make(objective, make(hyper["learning_rate"]))

            result = train.sweep(
                member,
                hypers,
                splits["train"],
                epochs=config.epochs,
                batch_size=config.batch_size,
                held_out={"test": splits["test"]},
                run=run.part(f"sweep-{number}"),
            )
            # A rate at which a seed diverged is out: its mean is NaN, which no minimum is.
            losses_at = result.final("train/loss").reshape(-1, config.seeds).mean(axis=1)
            best = int(np.nanargmin(losses_at))
            members = range(best * config.seeds, (best + 1) * config.seeds)
            shown[f"{name}, {config.learning_rates[best]:g}"] = [result.rows(i) for i in members]
            results[f"{name}/rate"] = config.learning_rates[best]
            for what in ("train/loss", "test/accuracy"):
                results[f"{name}/{what}"] = float(result.final(what)[list(members)].mean())
            run.note(name)
            run.write(number, {k: v for k, v in results.items() if k.startswith(f"{name}/")})
        run.figure("loss", plots.side_by_side(shown, "train/loss", log=True))
        run.figure("accuracy", plots.side_by_side(shown, "test/accuracy"))
        labels = (splits[part]["label"] for part in ("train", "test"))
        return run.finish({**results, "majority/accuracy": data.majority_share(*labels)})


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # the members spread over them
    cli.run(main, Config)
