"""Over-fitting and what helps: penalties, dropout, stopping early, more data; curves side by side.

    python -m experiments.overfitting

A perceptron with two hidden layers on 200 digits, of which some carry a wrong label, so that there
is something to learn by heart. L1 and L2 are added to the loss; "decoupled" is AdamW's decay;
stopping early keeps the weights of the epoch that did best on validation data.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, optim, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    examples: int = 200  # digits to learn from
    wrong: float = 0.2  # share of them with another label
    hidden: tuple[int, ...] = (128, 64)  # hidden layers
    epochs: int = 60  # passes over the digits
    batch_size: int = 32  # examples per step
    learning_rate: float = 3e-3  # of Adam
    l1: float = 1e-3  # penalty of the absolute weights
    l2: float = 2e-2  # penalty of half their squares
    decay: float = 1.0  # decoupled decay, times the rate
    dropout: float = 0.5  # share of the hidden units dropped
    seeds: int = 5  # runs of each remedy
    smoke: bool = False  # a few seconds: two remedies, two seeds, three epochs
    out: pathlib.Path | None = None  # run folder; runs/overfitting/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if not 0 <= config.wrong < 1:
        raise ValueError(f"wrong must lie in [0, 1), got {config.wrong}")
    epochs, seeds = (3, 2) if config.smoke else (config.epochs, config.seeds)
    splits = data.load("digits", validation=0.3)
    few = spoiled(splits["train"].take(slice(config.examples)), config.wrong)
    many = spoiled(splits["train"].take(slice(4 * config.examples)), config.wrong)
    adam = optax.adam(config.learning_rate)
    # An optimizer, a share of dropout, and what to learn from.
    remedies: dict[str, tuple[optax.GradientTransformation, float, data.Dataset]] = {
        "none": (adam, 0.0, few),
        "L1": (
            optax.chain(optim.l1_subgradient(config.l1, mask=optim.weights_only), adam), 0.0, few
        ),
        "L2": (
            optax.chain(optax.add_decayed_weights(config.l2, optim.weights_only), adam), 0.0, few
        ),
        "decoupled decay": (
            optax.adamw(
                config.learning_rate, weight_decay=config.decay, mask=optim.weights_only
            ), 0.0, few,
        ),
        "dropout": (adam, config.dropout, few),
        "four times the data": (adam, 0.0, many),
    }  # fmt: skip
    if config.smoke:
        remedies = {name: remedies[name] for name in ("none", "L1", "four times the data")}
    results: dict[str, float] = {}
    shown: dict[str, list] = {}
    with runs.open(config, name="overfitting", out=config.out, resume=config.resume) as run:
        for number, (name, (tx, dropout, digits)) in enumerate(remedies.items(), 1):

            def member(hyper: train.Hyper, tx: Any = tx, dropout: float = dropout) -> train.Trainer:
                return train.make(objective(config, dropout), tx)

            result = train.sweep(
                member,
                train.grid(seed=range(seeds)),
                digits,
                epochs=epochs,
                batch_size=config.batch_size,
                held_out={name: splits[name] for name in ("validation", "test")},
                run=run.part(f"remedy-{number}"),
            )
            shown[name] = [result.rows(i) for i in range(seeds)]
            report(run, results, name, result.final("test/accuracy"))
            results[f"{name}/train_loss"] = float(result.final("train/loss").mean())
            results[f"{name}/test_loss"] = float(result.final("test/loss").mean())
            results[f"{name}/zeros"] = zeros(result.states.params)
            if name == "none":  # the same runs, stopped where validation was best
                best = result.history["validation/loss"].argmin(axis=1)
                at_best = result.history["test/accuracy"][np.arange(seeds), best]
                report(run, results, "stopped early", at_best)
                results["stopped early/epoch"] = float(best.mean() + 1)
        results["exact zeros by the proximal step"] = sparse(config, few, epochs)
        run.figure("test_loss", plots.side_by_side(shown, "test/loss"))
        run.figure("train_loss", plots.side_by_side(shown, "train/loss", log=True))
        results["majority/accuracy"] = data.majority_share(few["label"], splits["test"]["label"])
        return run.finish(results)


def objective(config: Config, dropout: float) -> objectives.Objective:
    """Softmax cross entropy of a perceptron."""
    return objectives.supervised(
        models.MLP((*config.hidden, 10), dropout=dropout),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )


def spoiled(split: data.Dataset, share: float) -> data.Dataset:
    """The examples, a share of them with one of the other nine labels."""
    rng = np.random.default_rng(0)
    label = split["label"].copy()
    wrong = rng.random(len(label)) < share
    label[wrong] = (label[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    return data.Dataset({**split.columns, "label": label})


def report(run: runs.Run, results: dict[str, float], name: str, accuracy: np.ndarray) -> None:
    """Mean and standard deviation over the seeds."""
    results[f"{name}/test_accuracy"] = float(accuracy.mean())
    results[f"{name}/spread"] = float(accuracy.std(ddof=1)) if len(accuracy) > 1 else 0.0
    run.note(f"{name:20} test accuracy {accuracy.mean():.3f} +- {accuracy.std():.3f}")


def zeros(params: Any) -> float:
    """Share of the weights below a thousandth."""
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 2]  # members lead
    return float(np.mean([jnp.mean(jnp.abs(leaf) < 1e-3) for leaf in kernels]))


def sparse(config: Config, digits: data.Dataset, epochs: int) -> float:
    """Softmax regression by proximal steps: the share of weights that are exactly zero."""
    rate = 0.1
    model = objectives.supervised(
        models.MLP((10,)), losses.softmax_cross_entropy, preprocess=data.images.to_unit
    )
    tx = optax.chain(optax.sgd(rate), optim.l1_proximal(0.01, rate, mask=optim.weights_only))
    result = train.fit(train.make(model, tx), digits, epochs=epochs, batch_size=config.batch_size)
    return float(jnp.mean(result.state.params["head"]["kernel"] == 0))


if __name__ == "__main__":
    cli.run(main, Config)
