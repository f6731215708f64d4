"""A small plain network, a large plain one, and a large regularized one, on few examples.

    python -m experiments.network_size

A large network with regularization does as well as a small one, or better. 200 digits to
learn from, hidden layers 25-15 against 256-128-64, mean and range over seeds. (The note's own data,
random labels for random inputs, has nothing to learn, so real digits stand in.)
"""

import dataclasses
import pathlib

import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    examples: int = 200  # digits to train on
    epochs: int = 150  # passes over them
    batch_size: int = 32  # examples per step
    learning_rate: float = 3e-3  # of Adam, at the start of a cosine to zero
    weight_decay: float = 1.0  # decoupled, of the regularized network
    seeds: int = 5  # runs of each network, seeds 0, 1, ...
    smoke: bool = False  # a few seconds: one seed, two epochs
    out: pathlib.Path | None = None  # run folder; runs/network_size/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    splits = data.load("digits")
    epochs = min(config.epochs, 2) if config.smoke else config.epochs
    seeds = 1 if config.smoke else config.seeds
    networks = {  # hidden layers, weight decay
        "small": ((25, 15), 0.0),
        "large": ((256, 128, 64), 0.0),
        "large regularized": ((256, 128, 64), config.weight_decay),
    }
    results, curves = {}, {}
    with runs.open(config, name="network_size", out=config.out, resume=config.resume) as run:
        for name, (layers, decay) in networks.items():
            label = name.replace(" ", "_")
            histories = [
                one(config, splits, layers, decay, epochs, seed, run.part(f"{label}-{seed}"))
                for seed in range(seeds)
            ]
            train_loss, test_loss = (
                np.array([[row[f"{part}/loss"] for row in rows] for rows in histories])
                for part in ("train", "test")
            )
            curves[name] = (np.arange(epochs) + 1, train_loss, test_loss)
            accuracy = np.array([rows[-1]["test/accuracy"] for rows in histories])
            results[f"{label}/test_accuracy"] = float(accuracy.mean())
            results[f"{label}/spread"] = float(np.ptp(accuracy))
            results[f"{label}/test_loss"] = float(test_loss[:, -1].mean())
            results[f"{label}/train_loss"] = float(train_loss[:, -1].mean())
            run.note(f"{name}: test accuracy {accuracy.mean():.4f}, {accuracy.round(4)}")
        run.figure("curves", plots.score_curves(curves, x="epoch", y="loss"))
        labels = (splits[part]["label"] for part in ("train", "test"))
        return run.finish({**results, "majority/accuracy": data.majority_share(*labels)})


def one(
    config: Config,
    splits: data.DatasetDict,
    layers: tuple[int, ...],
    decay: float,
    epochs: int,
    seed: int,
    run: train.Recorder,
) -> list[dict[str, float]]:
    """Rows of numbers, one an epoch, of one network trained from one seed."""
    rows = np.random.default_rng(seed).permutation(len(splits["train"]))[: config.examples]
    train_set = splits["train"].take(rows)
    steps = epochs * data.num_batches(len(train_set), config.batch_size)
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    objective = objectives.supervised(
        models.MLP(features=(*layers, 10)),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )
    result = train.fit(
        train.make(objective, optax.adamw(schedule, weight_decay=decay)),
        train_set,
        epochs=epochs,
        batch_size=config.batch_size,
        seed=seed,
        held_out={"test": splits["test"]},
        run=run,
    )
    return result.history


if __name__ == "__main__":
    cli.run(main, Config)
