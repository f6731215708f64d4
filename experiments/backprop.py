"""Back-propagation laid open: gradients checked, deltas printed, gradients that vanish.

    python -m experiments.backprop

The coffee-roasting network shows every delta; LeNet's gradient on real digits is held against
finite differences; the deltas of deep networks show why sigmoids do not learn there and ReLUs do.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import cli, data, inspect, losses, models, nn, ops, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    depths: tuple[int, ...] = (4, 16)  # hidden layers of the deep networks
    width: int = 64  # units in each of them
    examples: int = 128  # digits that are passed through
    samples: int = 8  # coordinates checked in each leaf
    seed: int = 0  # of the weights
    smoke: bool = False  # a few seconds: small networks, few digits
    out: pathlib.Path | None = None  # run folder; runs/backprop/DATE-TIME if not given


ACTIVATIONS = {"sigmoid": ops.sigmoid, "tanh": ops.tanh, "ReLU": ops.relu}


def main(config: Config) -> dict[str, float]:
    if min(config.depths, default=0) < 1:
        raise ValueError(f"depths must be positive, got {config.depths}")
    examples = 8 if config.smoke else config.examples
    width = 8 if config.smoke else config.width
    digits = data.load("digits", limit=examples)["train"]
    images = data.images.to_unit({"image": jnp.asarray(digits["image"])})["image"]
    labels = jnp.asarray(digits["label"])
    key = jax.random.key(config.seed)
    with runs.open(config, name="backprop", out=config.out) as run:
        coffee(key, run)

        # LeNet against finite differences, in float64.
        lenet: Any = models.LeNet(num_classes=10)
        variables = jax.jit(lambda key: lenet.init(key, images[:2], train=False))(key)

        def loss(variables):
            logits = lenet.apply(variables, images[:8], train=True)
            return jnp.mean(losses.softmax_cross_entropy(logits, labels[:8]))

        report = inspect.check_gradients(loss, variables, samples=config.samples)
        run.note(f"LeNet on 8 digits, loss against differences\n{report}")

        # Deltas of deep networks before any training, layer by layer.
        sizes: dict[str, dict[str, list[float]]] = {}
        for depth in config.depths:
            for name, activation in ACTIVATIONS.items():
                init = nn.he_normal() if name == "ReLU" else nn.xavier_uniform()
                model = models.MLP((width,) * depth + (10,), activation, kernel_init=init)
                sizes.setdefault(f"{depth} hidden layers", {})[name] = flow(
                    model, key, images, labels
                )
        run.figure("gradient_flow", plots.gradient_flow(sizes))
        results = {"gradient check passed": float(report.passed)}
        results["worst error"] = max(leaf.error for leaf in report.leaves)
        for panel, curves in sizes.items():
            for name, values in curves.items():
                results[f"first over last delta/{panel}/{name}"] = values[0] / values[-1]
        return run.finish(results)


def flow(model: models.MLP, key: jax.Array, images: jax.Array, labels: jax.Array) -> list[float]:
    """Root mean square of the deltas of each layer."""

    @jax.jit
    def sizes(variables):
        def loss(logits):
            return losses.softmax_cross_entropy(logits, labels)

        return inspect.gradient_flow(inspect.deltas(model, variables, loss, images, train=True)[1])

    variables = jax.jit(lambda key: model.init(key, images[:1], train=False))(key)
    names = [f"dense{i + 1}" for i in range(len(model.features) - 1)] + ["head"]
    found = sizes(variables)  # jit returns a dict in the order of the names
    return [float(found[name]) for name in names]


def coffee(key: jax.Array, run: runs.Run) -> None:
    """Four roasts (degrees, minutes), good or bad, through three neurons and one."""
    x = np.array([[200.0, 17.0], [120.0, 5.0], [425.0, 20.0], [212.0, 18.0]], np.float32)
    good = jnp.array([1, 0, 0, 1])
    x = (x - x.mean(0)) / x.std(0)
    model = models.MLP((3, 1), ops.sigmoid)
    variables = model.init(key, x, train=False)

    def loss(logits):
        return losses.sigmoid_cross_entropy(logits[:, 0], good)

    logits, deltas = jax.jit(lambda v: inspect.deltas(model, v, loss, x, train=True))(variables)
    run.note("coffee roasting before training: p(good), then dE/du of each neuron")
    for i in range(len(x)):
        hidden = " ".join(f"{d:8.4f}" for d in deltas["dense1"][i])
        p, out = float(ops.sigmoid(logits[i, 0])), float(deltas["head"][i, 0])
        run.note(f"  roast {i}: p {p:.3f}  output {out:8.4f}  hidden {hidden}")


if __name__ == "__main__":
    cli.run(main, Config)
