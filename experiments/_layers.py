"""Layers and losses with explicit forward and backward passes, and descent by them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import losses, ops

Params = Sequence[Mapping[str, jax.Array]]


class Dense:
    """`u = x W + b`."""

    def forward(self, p, x):
        return x @ p["W"] + p["b"][None]

    def backward(self, p, x, du):
        return du @ p["W"].T, {"W": x.T @ du, "b": du.sum(axis=0)}


class Sigmoid:
    """`a = 1 / (1 + e^-u)`, whose slope is `a (1 - a)`."""

    def forward(self, p, u):
        return ops.sigmoid(u)

    def backward(self, p, u, da):
        a = ops.sigmoid(u)
        return da * a * (1 - a), {}


class ReLU:
    """`a = max(u, 0)`, whose slope is 1 above zero."""

    def forward(self, p, u):
        return ops.relu(u)

    def backward(self, p, u, da):
        return da * (u > 0), {}


class SquaredError:
    """`sum (y - t)^2 / (2 N)`."""

    def value(self, y, t):
        return ((y - t) ** 2).sum() / (2 * len(t))

    def backward(self, y, t):
        return (y - t) / len(t)


class SigmoidCrossEntropy:
    """Of logits: its delta is `sigmoid(u) - t`, without the factor `a (1 - a)` that vanishes."""

    def value(self, u, t):
        return losses.sigmoid_cross_entropy(u, t).mean(axis=0).sum()

    def backward(self, u, t):
        return (ops.sigmoid(u) - t) / len(t)


class SoftmaxCrossEntropy:
    """Of logits and one-hot targets: its delta is `softmax(u) - t`."""

    def value(self, u, t):
        return -(t * jax.nn.log_softmax(u)).sum() / len(t)

    def backward(self, u, t):
        return (jax.nn.softmax(u) - t) / len(t)


def forward(layers: Sequence[Any], params: Params, x: jax.Array) -> list[jax.Array]:
    """The inputs of every layer, and the outputs of the last."""
    values = [x]
    for layer, p in zip(layers, params, strict=True):
        values.append(layer.forward(p, values[-1]))
    return values


def backward(layers: Sequence[Any], loss: Any, params: Params, x: Any, t: Any, l2: Any) -> Params:
    """The gradient of `loss + l2 sum W^2 / (2 N)`, from the last layer to the first."""
    *inputs, outputs = forward(layers, params, x)
    delta, grads = loss.backward(outputs, t), []
    for layer, p, value in reversed(list(zip(layers, params, inputs, strict=True))):
        delta, grad = layer.backward(p, value, delta)
        grads.append({k: g + l2 / len(t) * p[k] * (k == "W") for k, g in grad.items()})
    return grads[::-1]


def objective(layers: Sequence[Any], loss: Any, params: Params, x: Any, t: Any, l2: Any) -> Any:
    """The same written forward only, for `jax.grad`."""
    squares = sum((p["W"] ** 2).sum() for p in params if p)
    return loss.value(forward(layers, params, x)[-1], t) + l2 / (2 * len(t)) * squares


def descend(
    layers: Sequence[Any],
    loss: Any,
    params: Params,
    x: Any,
    t: Any,
    *,
    rate: float,
    steps: int,
    l2: float = 0.0,
    fixed: str = "",
    score: Callable[[jax.Array], jax.Array] | None = None,
) -> tuple[Params, np.ndarray, float]:
    """Gradient descent on all rows.

    Args:
        fixed: the name of a parameter that stays as it is, in every layer.
        score: of the outputs, kept after every step in place of the loss.
    Returns: parameters, losses `[steps]`, and how far from `jax.grad` the first gradient is, as a
        share of the largest entry of its leaf.
    """

    @jax.jit
    def run(params: Params) -> tuple[Params, jax.Array]:
        def step(params: Params, _: None) -> tuple[Params, jax.Array]:
            grads = backward(layers, loss, params, x, t, l2)
            new = jax.tree.map(lambda p, g: p - rate * g, params, grads)
            pairs = zip(params, new, strict=True)
            new = [{k: (old if k == fixed else new)[k] for k in new} for old, new in pairs]
            if score is not None:
                return new, score(forward(layers, new, x)[-1])
            return new, objective(layers, loss, new, x, t, l2)

        return jax.lax.scan(step, params, length=steps)

    @jax.jit
    def apart(params: Params) -> jax.Array:
        ours = backward(layers, loss, params, x, t, l2)
        theirs = jax.grad(objective, argnums=2)(layers, loss, params, x, t, l2)
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
        return jnp.max(
            jnp.array([jnp.abs(a - b).max() / (1e-6 + jnp.abs(b).max()) for a, b in pairs])
        )

    difference = float(apart(params))
    params, history = run(params)
    return params, np.asarray(history), difference


def weights(key: Any, *sizes: int, scale: float | None = None) -> list[dict[str, jax.Array]]:
    """Dense layers of those sizes, an activation without parameters after each but the last."""
    params: list[dict[str, jax.Array]] = []
    for i, (n, m) in enumerate(itertools.pairwise(sizes)):
        W = jax.random.normal(jax.random.fold_in(key, i), (n, m)) * (scale or n**-0.5)
        params += [{"W": W, "b": jnp.zeros(m)}, {}]
    return params[:-1]
