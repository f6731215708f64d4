"""Tricks of training: how weights begin, when the rate falls, in which order data come, momentum.

    python -m experiments.training_tricks                                   # digits
    python -m experiments.training_tricks --data mnist --data-dir DIR --epochs 5

Four small studies with stochastic gradient descent, each a figure: a fixed Gaussian, Xavier's and
MSRA's weights in nets of growing depth; a constant rate against three ways to let it fall; examples
in a fixed order, shuffled in every epoch, and drawn with replacement; momentum that rises.
"""

import dataclasses
import os
import pathlib
from typing import Any, Literal

import jax
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, nn, objectives, optim, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist"] = "digits"  # which handwritten digits
    data_dir: pathlib.Path | None = None  # the files of mnist
    depths: tuple[int, ...] = (2, 6, 12)  # hidden layers
    width: int = 32  # units in each
    epochs: int = 20  # passes over the training set
    batch_size: int = 32  # examples per step
    learning_rate: float = 0.1  # at the start
    seeds: int = 3  # runs of each
    smoke: bool = False  # a few seconds: shallow nets, two epochs
    out: pathlib.Path | None = None  # run folder; runs/training_tricks/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


BEGINNINGS = {
    "Gaussian .01": nn.normal(0.01),
    "Xavier": nn.xavier_normal(fan="in"),
    "MSRA": nn.he_normal(),
}


def main(config: Config) -> dict[str, float]:
    splits = data.load(
        config.data, config.data_dir, limit=256 if config.smoke else None, validation=0.2
    )
    if config.smoke:
        config = dataclasses.replace(config, depths=(2,), epochs=2, seeds=1, width=8)
    steps = config.epochs * data.num_batches(len(splits["train"]), config.batch_size)
    half = steps // 2
    rate = config.learning_rate
    high = 8 * rate  # where steps are so long that they jump about the least loss
    rates: dict[str, Any] = {
        "constant": high,
        "halved thrice": optim.step_decay(high, every_steps=max(1, steps // 4), factor=0.5),
        "a / (b + t)": optim.inverse_time(high * steps / 10, b_steps=steps / 10),
        "halved when slow": None,
    }
    results: dict[str, float] = {}
    with runs.open(
        config, name="training_tricks", out=config.out, resume=config.resume, data=splits
    ) as run:
        study = Study(config, splits, run, results)
        for depth in config.depths:
            for name, init in BEGINNINGS.items():
                study.add("weights", f"{depth} layers, {name}", optax.sgd(rate), depth, init)
        for name, schedule in rates.items():
            slow = optim.halve_when_slow(absolute=0.01)
            tx = optax.sgd(schedule) if schedule is not None else optax.chain(optax.sgd(high), slow)
            study.add("rates", name, tx, report=schedule is None)
        for name in ("fixed order", "shuffled", "with replacement"):
            study.add("order", name, optax.sgd(rate), order=name)
        for name, beta in (
            ("no momentum", 0.0),
            ("momentum .9", 0.9),
            ("momentum .5 to .9", optim.momentum_ramp(ramp_steps=half)),
        ):
            study.add("momentum", name, optim.momentum(rate / 4, beta))
        for group, shown in study.shown.items():
            run.figure(group, plots.side_by_side(shown, "train/loss", log=True))
        results["majority/accuracy"] = data.majority_share(
            splits["train"]["label"], splits["test"]["label"]
        )
        return run.finish(results)


@dataclasses.dataclass
class Study:
    """Runs one way to train from every seed, and keeps its numbers by group and name."""

    config: Config
    splits: data.DatasetDict
    run: runs.Run
    results: dict[str, float]
    shown: dict[str, dict[str, list]] = dataclasses.field(default_factory=dict)

    def add(
        self, group: str, name: str, tx: optax.GradientTransformation, depth: int = 2,
        init: Any = None, *, order: str = "shuffled", report: bool = False,
    ) -> None:  # fmt: skip
        config, digits = self.config, self.splits["train"]
        objective = objectives.supervised(
            models.MLP((config.width,) * depth + (10,), kernel_init=init or nn.he_normal()),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.Accuracy.from_batch},
            preprocess=data.images.to_unit,
        )
        trainer = train.make(objective, tx)

        def tell(state: train.TrainState, row: dict[str, float]) -> train.TrainState | None:
            if not report:
                return None
            return state.replace(
                opt_state=optim.report_plateau(state.opt_state, row["validation/loss"])
            )

        histories = []
        for seed in range(config.seeds):
            rows = digits
            if order == "fixed order":  # sorted by class, as many files are
                rows = digits.take(np.argsort(digits["label"], kind="stable"))
            example = data.host_batch(rows, 0, batch_size=config.batch_size)
            state = trainer.init(jax.random.key(seed), example)
            options: dict[str, Any] = {
                "batch_size": config.batch_size,
                "held_out": {name: self.splits[name] for name in ("validation", "test")},
            }
            if order == "with replacement":  # as many draws an epoch as there are examples
                rng, history = np.random.default_rng(seed), []
                for epoch in range(1, config.epochs + 1):
                    rows = digits.take(rng.integers(len(digits), size=len(digits)))
                    result = train.fit(trainer, rows, state, epochs=epoch, seed=None, **options)
                    state = result.state
                    history += result.history[-1:]
            else:
                number = len(self.shown.get(group, {}))
                history = train.fit(
                    trainer,
                    rows,
                    state,
                    epochs=config.epochs,
                    seed=None if order == "fixed order" else seed,
                    after_epoch=tell,
                    run=self.run.part(f"{group}-{number}-s{seed}"),
                    **options,
                ).history
            histories.append(history)
        self.shown.setdefault(group, {})[name] = histories
        accuracy = np.array([rows[-1]["test/accuracy"] for rows in histories])
        self.results[f"{group}/{name}/test_accuracy"] = float(accuracy.mean())
        last = [rows[-1]["train/loss"] for rows in histories]
        self.results[f"{group}/{name}/train_loss"] = float(np.mean(last))
        self.run.note(
            f"{name:26} train loss {np.mean(last):.4f}  "
            f"test accuracy {accuracy.mean():.3f} ({accuracy.min():.3f}-{accuracy.max():.3f})"
        )


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    cli.run(main, Config)
