"""Every activation function with its derivative, in one figure, and networks trained with some.

    python -m experiments.activations

The table says where each saturates: how much of its slope is left at +-5. Then perceptrons with
three hidden layers learn digits by plain descent, alike but for the activation: the slopes of the
parametric ReLU are learned with the weights, and a maxout unit is the larger of two.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdl import cli, data, losses, metrics, models, nn, objectives, ops, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    slope: float = 0.25  # of the parametric ReLU
    low: float = -5.0  # left end of the figure
    high: float = 5.0  # right end
    epochs: int = 20  # passes over the digits
    learning_rate: float = 0.1  # of plain descent
    seeds: int = 5  # networks trained with each
    smoke: bool = False  # a few seconds: two networks with one of them, two epochs
    out: pathlib.Path | None = None  # run folder; runs/activations/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


# What a hidden layer of 32 units applies; maxout makes 32 out of 64.
TRAINED: dict[str, Any] = {
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "ReLU": ops.relu,
    "leaky ReLU": ops.leaky_relu,
    "absolute": ops.absolute,
    "PReLU": nn.PReLU,
    "maxout": functools.partial(ops.maxout, pieces=2),
}


def main(config: Config) -> dict[str, float]:
    if not config.low < config.high:
        raise ValueError(f"low must be below high, got {config.low} and {config.high}")
    others = jnp.array([0.0, 1.0])  # the rest of the scores, for what looks at several

    functions: dict[str, Callable[[jax.Array], jax.Array]] = {
        "step": ops.step,
        "linear": ops.linear,
        "sigmoid": ops.sigmoid,
        "tanh": ops.tanh,
        "ReLU": ops.relu,
        "leaky ReLU": ops.leaky_relu,
        f"parametric ReLU ({config.slope})": functools.partial(ops.prelu, slope=config.slope),
        "absolute": ops.absolute,
        "maxout(x, -x / 2)": lambda x: ops.maxout(jnp.stack([x, -x / 2]), 2)[0],
        "softmax([x, 0, 1])[0]": lambda x: ops.softmax(jnp.append(x, others))[0],
        "log-softmax([x, 0, 1])[0]": lambda x: ops.log_softmax(jnp.append(x, others))[0],
        "softplus": ops.softplus,
        "ELU": ops.elu,
        "SiLU": ops.silu,
        "GELU": ops.gelu,
        "log-sigmoid": ops.log_sigmoid,
    }
    with runs.open(config, name="activations", out=config.out, resume=config.resume) as run:
        figure = plots.with_derivatives(functions, low=config.low, high=config.high)
        run.figure("activations", figure)
        run.note(f"{'':27}{'slope at -5':>12}{'at 0':>12}{'at 5':>12}")
        ends = jnp.array([-5.0, 0.0, 5.0])
        slopes = jax.jit(lambda x: {k: jax.vmap(jax.grad(f))(x) for k, f in functions.items()})(
            ends
        )
        for name in functions:
            run.note(f"{name:27}" + "".join(f"{slope:12.4f}" for slope in slopes[name]))
        results = {f"slope at 5/{name}": slopes[name][2] for name in ("sigmoid", "ReLU")}
        results |= learn(config, run)
        return run.finish(results)


def learn(config: Config, run: runs.Run) -> dict[str, float]:
    """Trains a network with each activation from every seed; test accuracies and learned slopes."""
    splits = data.load("digits", limit=256 if config.smoke else None)
    epochs, seeds = (2, 2) if config.smoke else (config.epochs, config.seeds)
    results, shown = {}, {}
    trained = {"PReLU": TRAINED["PReLU"]} if config.smoke else TRAINED
    for number, (name, activation) in enumerate(trained.items(), 1):
        width = 64 if name == "maxout" else 32
        objective = objectives.supervised(
            models.MLP((width, width, width, 10), activation, kernel_init=nn.he_normal()),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.Accuracy.from_batch},
            preprocess=data.images.to_unit,
        )

        def member(hyper: train.Hyper, objective: Any = objective) -> train.Trainer:
            return train.make(objective, optax.sgd(config.learning_rate))

        result = train.sweep(
            member,
            train.grid(seed=range(seeds)),
            splits["train"],
            epochs=epochs,
            batch_size=32,
            held_out={"test": splits["test"]},
            run=run.part(f"network-{number}"),
        )
        shown[name] = [result.rows(i) for i in range(seeds)]
        accuracy = result.final("test/accuracy")
        results[f"{name}/test_accuracy"] = float(accuracy.mean())
        results[f"{name}/spread"] = float(accuracy.std(ddof=1))
        run.note(f"{name:12} test accuracy {accuracy.mean():.3f} +- {accuracy.std(ddof=1):.3f}")
        if activation is nn.PReLU:
            for layer in range(1, 4):
                slope = result.states.params[f"activation{layer}"]["slope"].mean()
                results[f"{name}/slope {layer}"] = float(slope)
    run.figure("training", plots.side_by_side(shown, "train/loss", log=True))
    results["majority/accuracy"] = data.majority_share(
        splits["train"]["label"], splits["test"]["label"]
    )
    return results


if __name__ == "__main__":
    cli.run(main, Config)
