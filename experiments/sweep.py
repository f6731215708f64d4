"""Momentum x learning rate x batch size of softmax regression, all trained by one program.

    python -m experiments.sweep                                       # digits
    python -m experiments.sweep --data mnist --data-dir DIR --epochs 5
    python -m experiments.sweep --halve 3           # few epochs for all, more for the best third
    python -m experiments.sweep --population 24     # the worst go on from the best, at other rates

With and without momentum, and how rate and batch size act on accuracy and
on the time to get there. A part of the training set is held out to choose by; the test set is read
at the choice alone.
"""

import dataclasses
import os
import pathlib
from typing import Any, Literal

import jax
import numpy as np

from jaxdl import cli, data, losses, metrics, models, objectives, ops, optim, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files (MNIST, Fashion-MNIST)
    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of plain descent
    momenta: tuple[float, ...] = (0.0, 0.5, 0.9, 0.99)  # share of the velocity kept per step
    batch_sizes: tuple[int, ...] = (16, 64, 256)  # examples per step
    seeds: int = 3  # runs of each combination
    epochs: int = 20  # passes over the training set
    validation: float = 0.2  # share of the training set that is held out to choose by
    target: float = 0.95  # validation accuracy of the second figure
    halve: int | None = None  # successive halving: the best 1 / HALVE go on, so much longer
    population: int | None = None  # so many members, drawn at random, that learn from each other
    at_once: int | None = None  # members of the grid held in memory, the others in later rounds
    vectorize: ops.Vectorize = "auto"  # one member after the other, or all in step
    smoke: bool = False  # a few seconds: little data, two epochs, eight members
    out: pathlib.Path | None = None  # run folder; runs/sweep/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if config.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {config.seeds}")
    if not all(0 < rate < float("inf") for rate in config.learning_rates):
        raise ValueError(f"learning_rates must be positive, got {config.learning_rates}")
    splits = data.load(
        config.data,
        config.data_dir,
        limit=400 if config.smoke else None,
        validation=config.validation,
    )
    if config.smoke:
        small: Any = {"learning_rates": (0.1, 1.0), "momenta": (0.0, 0.9), "batch_sizes": (64, 256)}
        config = dataclasses.replace(config, **small, seeds=1, epochs=2, target=0.5)
    model = models.MLP(features=(len(splits.info.class_names),))
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )

    def member(hyper: train.Hyper) -> train.Trainer:
        return train.make(objective, optim.momentum(hyper["learning_rate"], hyper["momentum"]))

    axes = {
        "batch_size": config.batch_sizes,
        "momentum": config.momenta,
        "learning_rate": config.learning_rates,
        "seed": range(config.seeds),
    }
    with runs.open(config, name="sweep", out=config.out, resume=config.resume, data=splits) as run:
        if config.halve is not None:
            return halved(config, member, axes, splits, run)
        if config.population is not None:
            return bred(config, member, axes, splits, run)
        result = train.sweep(
            member,
            train.grid(**axes),
            splits["train"],
            epochs=config.epochs,
            held_out={name: splits[name] for name in ("validation", "test")},
            vectorize=config.vectorize,
            at_once=config.at_once,
            run=run,
        )
        run.rewind(0)
        for number, row in enumerate(result.summary("validation/accuracy", by=list(axes)[:-1]), 1):
            run.write(number, row)  # mean and spread over the seeds
        panels = tuple(len(values) for values in axes.values())
        accuracy = result.final("validation/accuracy").reshape(panels).mean(axis=-1)
        reached = result.epochs_to("validation/accuracy", config.target).reshape(panels)
        labels: Any = {
            "rows": config.momenta,
            "columns": config.learning_rates,
            "row_label": "momentum",
            "column_label": "learning rate",
        }
        for name, values, title, form, better in (
            (
                "accuracy",
                accuracy,
                f"validation accuracy after {config.epochs} epochs",
                ".3f",
                "high",
            ),
            (
                "epochs_to_target",
                np.median(reached, axis=-1),
                f"epochs to validation accuracy {config.target}",
                ".0f",
                "low",
            ),
        ):
            by_size = {f"batch {b}": v for b, v in zip(config.batch_sizes, values, strict=True)}
            figure = plots.heat_maps(by_size, title=title, form=form, better=better, **labels)
            run.figure(name, figure)
        # A combination at which a seed diverged is out: its mean is NaN.
        best = tuple(map(int, np.unravel_index(np.nanargmax(accuracy), accuracy.shape)))
        chosen = {name: axes[name][i] for name, i in zip(list(axes)[:-1], best, strict=True)}
        run.note(f"best by the mean validation accuracy of {config.seeds} seeds: {chosen}")
        return run.finish(
            {
                **chosen,
                "validation/accuracy": float(accuracy[best]),
                "test/accuracy": float(result.final("test/accuracy").reshape(panels)[best].mean()),
                "majority/accuracy": majority_of(splits),
                "epochs_to_target": float(np.median(reached[best])),
                "members": len(result),
                "diverged": int(result.diverged.sum()),
                "time/compile": result.compile_seconds,
                "time/run": result.run_seconds,
            }
        )


def halved(
    config: Config,
    member: train.Member,
    axes: dict[str, Any],
    splits: data.DatasetDict,
    run: runs.Run,
) -> dict[str, float]:
    """The same search without training to the end what is behind."""
    result = train.successive_halving(
        member,
        train.grid(**axes),
        splits["train"],
        epochs=config.epochs,
        held_out={name: splits[name] for name in ("validation", "test")},
        factor=config.halve or 2,
        by=list(axes)[:-1],
        vectorize=config.vectorize,
        run=run,
    )
    run.note(str(result))
    last = result.survivors
    chosen = np.all([last.hypers[n] == value for n, value in result.best.items()], axis=0)
    numbers = {
        **result.best,
        "validation/accuracy": result.score,
        "test/accuracy": float(last.final("test/accuracy")[chosen].mean()),
        "majority/accuracy": majority_of(splits),
        "member_epochs": result.cost,
        "member_epochs_of_the_grid": result.grid_cost,
        "time/compile": result.compile_seconds,
        "time/run": result.run_seconds,
    }
    return run.finish(numbers)


def bred(
    config: Config,
    member: train.Member,
    axes: dict[str, Any],
    splits: data.DatasetDict,
    run: runs.Run,
) -> dict[str, float]:
    """Members drawn between the ends of the grid, which change their rates as they train."""
    from scipy import stats

    ends = min(config.learning_rates), max(config.learning_rates)
    drawn = {name: values for name, values in axes.items() if name != "seed"}
    drawn["learning_rate"] = stats.loguniform(*ends) if ends[0] < ends[1] else ends[:1]
    hypers = train.random_grid(config.population or 2, **drawn)
    hypers["seed"] = np.arange(len(hypers["momentum"]))
    result = train.population(
        member,
        hypers,
        splits["train"],
        epochs=config.epochs,
        held_out={name: splits[name] for name in ("validation", "test")},
        limits={"momentum": (0.0, 0.99)},
        vectorize=config.vectorize,
        run=run,
    )
    run.note(str(result))
    for name, values in result.schedule().items():
        run.note(f"{name}: " + ", ".join(f"{value:.3g}" for value in values))
    numbers = {
        **{name: values[result.best].item() for name, values in result.final.hypers.items()},
        "validation/accuracy": result.score,
        "test/accuracy": float(result.final.final("test/accuracy")[result.best]),
        "majority/accuracy": majority_of(splits),
        "member_epochs": result.cost,
        "member_epochs_of_the_grid": result.grid_cost,
        "time/compile": result.final.compile_seconds,
        "time/run": result.final.run_seconds,
    }
    return run.finish(numbers)


def majority_of(splits: data.DatasetDict) -> float:
    return data.majority_share(splits["train"]["label"], splits["test"]["label"])


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # the members spread over them
    cli.run(main, Config)
