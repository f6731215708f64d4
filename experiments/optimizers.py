"""Every optimizer on several networks: at its best rate side by side, and raced to a target.

    python -m experiments.optimizers

Perceptrons on digits. For each optimizer all rates and trials are one sweep. The figures of losses
show the rate with the least mean training loss, so that the test set chooses nothing. The race is
judged as AlgoPerf judges: the time until the validation accuracy of a network reaches a target, its
compilation included, at the best of as many rates for everyone; of five trials the median counts,
one that never gets there as endless; performance profiles put the networks together.
Dahl et al., Benchmarking neural network training algorithms, 2023; Dolan & More 2002.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import numpy as np
import optax
from jax.experimental.compilation_cache import compilation_cache

from jaxdl import cli, data, losses, metrics, models, objectives, ops, optim, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files (MNIST, Fashion-MNIST)
    hidden: int = 128  # units of the hidden layer
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # to choose from
    seeds: int = 5  # trials at each rate
    epochs: int = 30  # passes over the training set, and the end of a trial
    batch_size: int = 64  # examples per step
    validation: float = 0.2  # share of the training set that targets are reached on
    most: float = 4.0  # times the best time at which a profile ends
    smoke: bool = False  # a few seconds: two epochs, rates and networks, three optimizers
    out: pathlib.Path | None = None  # run folder; runs/optimizers/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


# Validation accuracies to be reached: of softmax regression, of perceptrons with a hidden layer and
# with five.
TARGETS = {
    "digits": (0.94, 0.96, 0.96),
    "mnist": (0.91, 0.97, 0.97),
    "fashion_mnist": (0.82, 0.86, 0.86),
}


def networks(config: Config, classes: int) -> dict[str, models.MLP]:
    return {
        "softmax": models.MLP(features=(classes,)),
        "perceptron": models.MLP(features=(config.hidden, classes)),
        "deep": models.MLP(features=(config.hidden // 2,) * 5 + (classes,), activation=ops.tanh),
    }


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
    limit = 256 if config.smoke else None
    splits = data.load(config.data, config.data_dir, limit=limit, validation=config.validation)
    if config.smoke:
        config = dataclasses.replace(config, learning_rates=(0.01, 0.1), seeds=2, epochs=2)
    results: dict[str, float] = {}
    steps: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    with runs.open(
        config, name="optimizers", out=config.out, resume=config.resume, data=splits
    ) as run:
        targets = (0.3, 0.3) if config.smoke else TARGETS[config.data]  # two networks alone
        run.note("programs are compiled anew, none comes from a cache: it counts")
        models_of = list(networks(config, len(splits.info.class_names)).items())
        for (network, model), target in zip(models_of, targets, strict=False):
            shown: dict[str, list] = {}
            for name, result in sweeps(config, model, splits, run, network):
                best = best_rate(config, result)
                members = range(best * config.seeds, (best + 1) * config.seeds)
                shown[f"{name}, {config.learning_rates[best]:g}"] = list(map(result.rows, members))
                row = {f"{network}/{name}/rate": config.learning_rates[best]}
                for what in ("train/loss", "test/accuracy"):
                    mean = float(result.final(what)[list(members)].mean())
                    row[f"{network}/{name}/{what}"] = mean
                took = to_target(config, result, target, len(splits["train"]))
                for kind, numbers in (("steps", steps), ("seconds", seconds)):
                    numbers.setdefault(name, []).append(took[kind])
                    row[f"{network}/{name}/{kind}"] = took[kind]
                run.write(len(results) + 1, row)
                results |= row
            run.figure(f"{network}_loss", plots.side_by_side(shown, "train/loss", log=True))
            run.figure(f"{network}_accuracy", plots.side_by_side(shown, "test/accuracy"))
        for kind, numbers in (("steps", steps), ("seconds", seconds)):
            profile = train.performance_profile(list(numbers.values()), most=config.most)
            figure = plots.performance_profiles(
                dict(zip(numbers, profile.ratios, strict=True)),
                most=config.most,
                title=f"{kind} to the target, {len(targets)} networks, n = {config.seeds} trials",
            )
            run.figure(f"profile_{kind}", figure)
            results |= {
                f"{name}/score_{kind}": float(score)
                for name, score in zip(numbers, profile.scores, strict=True)
            }
        labels = (splits[part]["label"] for part in ("train", "test"))
        return run.finish({**results, "majority/accuracy": data.majority_share(*labels)})


def sweeps(
    config: Config, model: models.MLP, splits: data.DatasetDict, run: runs.Run, prefix: str
) -> Iterator[tuple[str, train.SweepResult]]:
    """Each optimizer by name, all its rates and trials trained."""
    steps = config.epochs * data.num_batches(len(splits["train"]), config.batch_size)
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )
    hypers = train.grid(learning_rate=config.learning_rates, seed=range(config.seeds))
    chosen = list(optimizers(steps).items())[: 3 if config.smoke else None]
    for number, (name, make) in enumerate(chosen, 1):

        def member(hyper: train.Hyper, make: Any = make) -> train.Trainer:
            return train.make(objective, make(hyper["learning_rate"]))

        result = compiled_anew(
            train.sweep,
            member,
            hypers,
            splits["train"],
            epochs=config.epochs,
            batch_size=config.batch_size,
            held_out={part: splits[part] for part in ("validation", "test")},
            run=run.part(f"{prefix}-{number}"),
        )
        yield name, result


def compiled_anew(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Calls a function while no program is read from JAX's cache on disk."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it looks at the setting once
    try:
        return function(*args, **options)
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def best_rate(config: Config, result: train.SweepResult) -> int:
    """Of the least mean training loss; one at which a trial diverged is out: its mean is NaN."""
    losses_at = result.final("train/loss").reshape(-1, config.seeds).mean(axis=1)
    return int(np.nanargmin(losses_at))


def to_target(
    config: Config, result: train.SweepResult, target: float, examples: int
) -> dict[str, float]:
    """Steps and seconds of the median trial, each trial at its best rate; endless for a miss."""
    epochs = result.epochs_to("validation/accuracy", target).reshape(-1, config.seeds)
    median = float(np.median(epochs.min(axis=0)))
    # Members take turns, spread over the devices: the share of one.
    an_epoch = result.run_seconds * jax.local_device_count() / (len(result) * config.epochs)
    return {
        "steps": median * data.num_batches(examples, config.batch_size),
        "seconds": result.compile_seconds + median * an_epoch,
    }


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # the members spread over them
    cli.run(main, Config)
