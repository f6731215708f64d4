"""Back-propagation through time laid open: explicit gradients, and how far back they reach.

    python -m experiments.bptt

First the written-out sums of a plain RNN against `jax.grad`. Then, for fresh networks that read
text, the norm of the gradient of the last state with respect to the input k steps before it, and
beside it the closed form rho^k of a linear network with W = rho times an orthogonal matrix.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import cli, data, inspect, losses, nn, plots, runs

CELLS: dict[str, nn.Cell] = {
    "RNN tanh": nn.RNNCell(),
    "RNN relu": nn.RNNCell("relu"),
    "GRU": nn.GRUCell(),
    "LSTM": nn.LSTMCell(),
    "LSTM, forget bias 1": nn.LSTMCell(forget_bias=1.0),
}


@dataclasses.dataclass(frozen=True)
class Config:
    hidden_size: int = 128  # of every network
    num_steps: int = 100  # characters of a window
    batch_size: int = 16  # windows the norm is averaged over
    radius: float = 0.9  # rho of the linear network
    seed: int = 0  # of the weights
    smoke: bool = False  # a few seconds: short windows, narrow networks
    out: pathlib.Path | None = None  # run folder; runs/bptt/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    H, T, B = config.hidden_size, config.num_steps, config.batch_size
    if config.smoke:
        H, T, B = 8, 12, 2
    text = data.text.joined(data.load("manual"))["train"]
    text = data.text.letters(text[: 50 * B * T])
    vocabulary = data.text.Vocabulary.build(data.text.characters(text), reserved=("<unk>",))
    windows = data.text.windows(vocabulary.encode(data.text.characters(text)), T).take(slice(B))
    x = jax.nn.one_hot(windows["tokens"], len(vocabulary))  # [B, T, V]

    with runs.open(config, name="bptt", out=config.out) as run:
        results = {"largest_difference": explicit_against_automatic(x[0], windows["targets"][0], H)}
        norms = {}
        for name, cell in CELLS.items():
            layer = nn.Recurrent(cell, H)
            variables = layer.init(jax.random.key(config.seed), x, train=False)
            norms[name] = gradient_norms(layer, variables, x)
            results[f"left_after_{T - 1}/{name}"] = float(norms[name][-1] / norms[name][0])
        rho = f"linear, W = {config.radius} Q"
        norms[rho] = linear_norms(config.radius, H, T, jax.random.key(config.seed))
        closed = config.radius ** jnp.arange(T)
        results["linear_error"] = float(jnp.max(jnp.abs(norms[rho] / closed - 1)))
        run.figure("gradient_by_distance", plots.gradient_by_distance(norms))
        return run.finish(results)


def explicit_against_automatic(x: jax.Array, targets: jax.Array, hidden_size: int) -> float:
    """The greatest difference between the explicit sums and `jax.grad`, in any entry."""
    keys = jax.random.split(jax.random.key(0), 3)
    D, H = x.shape[-1], hidden_size
    params = {
        "U": jax.random.normal(keys[0], (H, D)) * D**-0.5,
        "W": jax.random.normal(keys[1], (H, H)) * H**-0.5,
        "V": jax.random.normal(keys[2], (D, H)) * H**-0.5,
        "b": jnp.zeros(H),
        "c": jnp.zeros(D),
    }
    h0 = jnp.zeros(H)

    def loss(outputs: jax.Array) -> jax.Array:  # L = (1/T) sum_t l(o_t, y_t)
        return jnp.mean(losses.softmax_cross_entropy(outputs, targets))

    outputs, _ = inspect.rnn_outputs(params, x, h0)
    explicit = inspect.rnn_gradients(params, x, h0, jax.grad(loss)(outputs))
    automatic = jax.grad(lambda p: loss(inspect.rnn_outputs(p, x, h0)[0]))(params)
    differences = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), explicit, automatic)
    return float(max(jax.tree.leaves(differences)))


def gradient_norms(layer: nn.Recurrent, variables: Any, x: jax.Array) -> jax.Array:
    """Norm of d(v . h_T) / d x_{T-k} for k = 0, 1, ..., averaged over windows; v is random."""
    v = jax.random.normal(jax.random.key(1), (layer.hidden_size,)) * layer.hidden_size**-0.5

    def last(x: jax.Array) -> jax.Array:
        outputs, _ = layer.apply(variables, x, train=False)
        return jnp.sum(outputs[:, -1] @ v)

    gradient = jax.jit(jax.grad(last))(x)
    greatest = jnp.max(jnp.abs(gradient), axis=(0, 2))  # squares of what vanishes would underflow
    scaled = gradient / jnp.where(greatest > 0, greatest, 1)[None, :, None]
    return (greatest * jnp.mean(jnp.linalg.norm(scaled, axis=-1), axis=0))[::-1]


def linear_norms(radius: float, hidden_size: int, num_steps: int, key: jax.Array) -> jax.Array:
    """Norm of dL/dh_{T-k} without phi, by the sum over powers of W, for a loss at the last step."""
    W = radius * jax.random.orthogonal(key, hidden_size)
    direction = jnp.ones((1, hidden_size)) * hidden_size**-0.5
    d_outputs = jnp.zeros((num_steps, 1)).at[-1].set(1.0)
    return jnp.linalg.norm(inspect.linear_state_gradients(W, direction, d_outputs), axis=-1)[::-1]


if __name__ == "__main__":
    cli.run(main, Config)
