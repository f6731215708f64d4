"""Layers as objects with a forward and a backward pass, and the networks that they make up.

    python -m experiments.layers_by_hand

No automatic differentiation: every gradient is the formula in `backward`, and stands beside that of
`jax.grad`. The networks: a regression with a penalty on its squares, which has to find the closed
form; a hidden layer of ReLUs under a sigmoid, with the squared error's delta and the cross
entropy's; softmax over digits; three examples small enough to check on paper; and a roaster of
coffee. The last lines show what a cross entropy of probabilities says where one of logits is right.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments._layers import (
    Dense,
    Params,
    ReLU,
    Sigmoid,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    backward,
    descend,
    forward,
    weights,
)
from jaxdl import classical, cli, data, losses, ops, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 1000  # of gradient descent, on all rows
    hidden: int = 16  # units of the hidden layers
    seed: int = 0  # of the weights
    smoke: bool = False  # a second or two: few steps
    out: pathlib.Path | None = None  # run folder; runs/layers_by_hand/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    steps = 20 if config.smoke else config.steps
    key = jax.random.key(config.seed)
    with runs.open(config, name="layers_by_hand", out=config.out) as run:
        results = {**on_paper(run), **coffee(run, key, steps)}
        apart = []

        # A regression without hidden layer finds the ridge regression of the normal equation.
        x, y = table("diabetes", "target")
        y = (y - y.mean()) / y.std()
        params, _, difference = descend(
            [Dense()],
            SquaredError(),
            weights(key, 10, 1),
            x,
            y[:, None],
            rate=0.1,
            steps=10 * steps,
            l2=10.0,
        )
        closed, _ = classical.fit_ridge(x, y, 10.0)
        gap = jnp.abs(params[0]["W"][:, 0] - closed.coefficients).max()
        results["regression/distance from the closed form"] = float(gap)
        apart.append(difference)

        # ReLUs under a sigmoid: which delta of the output learns faster?
        x, y = table("breast_cancer", "label")
        t = y[:, None].astype(jnp.float32)
        start: list[dict[str, jax.Array]] = weights(key, x.shape[1], config.hidden, 1, scale=0.01)
        curves: dict[str, list] = {}
        rows: list[dict[str, float]]
        hidden = [Dense(), ReLU(), Dense()]
        errors: dict[str, tuple] = {"squared error": ([*hidden, Sigmoid()], SquaredError(), 0.5)}
        errors["cross entropy"] = (hidden, SigmoidCrossEntropy(), 0.0)
        for name, (layers, loss, threshold) in errors.items():

            def right(outputs: jax.Array, at: float = threshold) -> jax.Array:
                return jnp.mean((outputs > at) == (t > 0.5))

            _, accuracy, difference = descend(
                layers,
                loss,
                [*start, {}][: len(layers)],
                x,
                t,
                rate=0.1,
                steps=steps,
                score=right,
            )
            every = max(1, steps // 50)
            rows = [
                {"step": float(n), "accuracy": float(accuracy[n - 1])}
                for n in range(every, steps + 1, every)
            ]
            curves[name] = [rows]
            results[f"binary/{name}/accuracy"] = rows[-1]["accuracy"]
            apart.append(difference)
        run.figure("deltas", plots.compare(curves, x="step"))

        # Softmax over ten digits.
        digits = data.load("digits")
        labels = digits["train"]["label"]
        x = jnp.asarray(digits["train"]["image"].reshape(-1, 64) / 16, jnp.float32)
        layers = [Dense(), ReLU(), Dense()]
        params, history, difference = descend(
            layers,
            SoftmaxCrossEntropy(),
            weights(key, 64, config.hidden, 10),
            x,
            jax.nn.one_hot(labels, 10),
            rate=0.1,
            steps=steps,
        )
        test = jnp.asarray(digits["test"]["image"].reshape(-1, 64) / 16)
        found = forward(layers, params, test)[-1].argmax(axis=1)
        results["softmax/test_accuracy"] = float((found == digits["test"]["label"]).mean())
        results["softmax/loss"] = float(history[-1])
        apart.append(difference)
        results["largest difference from jax.grad"] = max(apart)

        # A cross entropy given probabilities where it expects logits, and one that is.
        u, no = jnp.array([40.0]), jnp.array([0.0])
        p = ops.sigmoid(u)
        run.note(
            f"logit 40, label 0: from the logit {losses.sigmoid_cross_entropy(u, no)[0]:g}, "
            f"-log(1 - p) {-jnp.log(1 - p)[0]:g}, p taken for a logit "
            f"{losses.sigmoid_cross_entropy(p, no)[0]:.3f}"
        )
        return run.finish(results)


def table(name: str, target: str) -> tuple[jax.Array, jax.Array]:
    """All rows of an embedded table, its columns standardized."""
    split = data.tabular.whole(data.load(name))
    x = data.tabular.fit_standard(split["features"]).apply(split["features"])
    return x, jnp.asarray(split[target])


def on_paper(run: runs.Run) -> dict[str, float]:
    """Networks small enough to be followed with a pencil."""
    # Two neurons in a row, weights and biases .5 and 1, for the input 1.
    layers = [Dense(), Sigmoid(), Dense(), ReLU()]
    half, one = ({"W": jnp.full((1, 1), w), "b": jnp.full(1, w)} for w in (0.5, 1.0))
    output = forward(layers, [half, {}, one, {}], jnp.ones((1, 1)))[-1][0, 0]
    results = {"two neurons/output": float(output)}  # relu(sigmoid(1) + 1)

    # Inputs .1 and .3, one hidden sigmoid and one at the output, target 1, rate .5.
    layers = [Dense(), Sigmoid(), Dense(), Sigmoid()]
    params: Params = [{"W": jnp.array([[0.4], [-0.2]]), "b": jnp.zeros(1)}, {}]
    params = [*params, {"W": jnp.array([[0.1]]), "b": jnp.zeros(1)}, {}]
    x, t = jnp.array([[0.1, 0.3]]), jnp.array([[1.0]])
    _, h, _, _, output = forward(layers, params, x)
    first, _, last, _ = backward(layers, SquaredError(), params, x, t, 0.0)
    results |= {"by hand/h": float(h[0, 0]), "by hand/output": float(output[0, 0])}
    results["by hand/delta of the output"] = -float(last["b"][0])
    results["by hand/delta of the hidden unit"] = -float(first["b"][0])
    results["by hand/step of the last weight"] = -0.5 * float(last["W"][0, 0])

    # Three rows of two features through two sigmoids and a ReLU; biases stay 0.
    rng = np.random.RandomState(0)
    layers = [Dense(), Sigmoid(), Dense(), ReLU()]
    with jax.enable_x64(True):
        params = [{"W": jnp.asarray(rng.randn(2, 2)), "b": jnp.zeros(2)}, {}]
        params = [*params, {"W": jnp.asarray(rng.randn(2, 1)), "b": jnp.zeros(1)}, {}]
        x, t = jnp.array([[1.0, 2], [2, 3], [4, 6]]), jnp.array([[10.0], [11], [15]])
        # At this rate it ends in jumping between two points, and rounding decides which is when.
        turns = []
        for steps in (999, 1):
            params, history, _ = descend(
                layers, SquaredError(), params, x, t, rate=0.1, steps=steps, fixed="b"
            )
            turns.append((float(history[-1]), np.asarray(forward(layers, params, x)[-1][:, 0])))
        (_, outputs), (_, worse) = sorted(turns, key=lambda turn: turn[0])
    run.note(f"three rows after 1000 steps: {outputs.round(4)} and {worse.round(4)} for 10, 11, 15")
    return results | {f"three rows/{i + 1}": float(value) for i, value in enumerate(outputs)}


def coffee(run: runs.Run, key: jax.Array, steps: int) -> dict[str, float]:
    """Roasts of so many degrees and minutes, good inside a triangle: 2-3-1, trained by hand."""
    W = jnp.array([[2.0, 5.0, 1.0], [3.6, 4.6, 5.6]])
    given = [{"W": W, "b": jnp.array([-4.0, 2, 3])}, {}]
    given = [*given, {"W": jnp.array([[1.14], [5.14], [1.9]]), "b": jnp.array([6.0])}, {}]
    layers = [Dense(), Sigmoid(), Dense(), Sigmoid()]
    _, _, hidden, _, output = forward(layers, given, jnp.array([[200.0, 17.0]]))
    run.note(f"weights written down: 200 degrees, 17 minutes -> {hidden[0]}, p {output[0, 0]:.4f}")
    rng = np.random.default_rng(0)
    x = rng.uniform((150, 11), (290, 16), (400, 2)).astype(np.float32)
    good = (x[:, 0] > 175) & (x[:, 1] > 12) & (x[:, 0] / 85 + x[:, 1] < 16.8)
    z = data.tabular.fit_standard(x).apply(x)
    t = jnp.asarray(good[:, None], jnp.float32)
    params, history, _ = descend(
        layers[:-1],
        SigmoidCrossEntropy(),
        weights(key, 2, 3, 1, scale=1.0),
        z,
        t,
        rate=1.0,
        steps=5 * steps,
    )
    right = (forward(layers[:-1], params, z)[-1] > 0) == (t > 0.5)
    return {
        "coffee/given": float(output[0, 0]),
        "coffee/accuracy": float(right.mean()),
        "coffee/majority": float(max(good.mean(), 1 - good.mean())),
        "coffee/loss": float(history[-1]),
    }


if __name__ == "__main__":
    cli.run(main, Config)
