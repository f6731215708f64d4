"""Every activation function with its derivative, in one figure.

    python -m experiments.activations

The table says where each saturates: how much of its slope is left at +-5.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdl import cli, ops, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    slope: float = 0.25  # of the parametric ReLU
    low: float = -5.0  # left end of the figure
    high: float = 5.0  # right end
    smoke: bool = False  # nothing to shorten: it takes seconds
    out: pathlib.Path | None = None  # run folder; runs/activations/DATE-TIME if not given


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
    with runs.open(config, name="activations", out=config.out) as run:
        figure = plots.with_derivatives(functions, low=config.low, high=config.high)
        run.figure("activations", figure)
        run.note(f"{'':27}{'slope at -5':>12}{'at 0':>12}{'at 5':>12}")
        ends = jnp.array([-5.0, 0.0, 5.0])
        slopes = jax.jit(lambda x: {k: jax.vmap(jax.grad(f))(x) for k, f in functions.items()})(
            ends
        )
        for name in functions:
            run.note(f"{name:27}" + "".join(f"{slope:12.4f}" for slope in slopes[name]))
        return run.finish({f"slope at 5/{name}": slopes[name][2] for name in ("sigmoid", "ReLU")})


if __name__ == "__main__":
    cli.run(main, Config)
