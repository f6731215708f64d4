"""The perceptron and its average."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.classical._linear import PRECISE, Linear, Report, checked


def fit_perceptron(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    learning_rate: float = 1.0,
    average: bool = False,
    max_epochs: int = 1000,
) -> tuple[Linear, Report]:
    """Rosenblatt's perceptron: `theta += rate (y - h(x)) x`, `h = 1` above 0 and 0 elsewhere.

    One example after the other, in order, until an epoch passes without a mistake.

    >>> x, y = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1]]), jnp.array([0, 0, 0, 1])
    >>> params, report = fit_perceptron(x, y)  # learns AND
    >>> params.coefficients, params.intercept, bool(report.converged)
    (Array([2., 1.], dtype=float32), Array(-2., dtype=float32), True)

    Args:
        x: `[N, D]`; shuffle it first where its order means something.
        y: `[N]`, 0 or 1.
        weights: `[N]`; examples of weight 0 are passed over, others scale the step.
        learning_rate: scales the answer, and moves no decision from a start at zero.
        average: returns the mean of the weights after every example (Freund & Schapire 1999),
            which on data that cannot be separated errs less than the last ones.
        max_epochs: where data that cannot be separated (XOR) stop, with `converged=False`.
    Returns: `Linear` and `Report`; `steps` counts epochs, the one without mistakes included.
    Raises: ValueError on shapes that do not belong together.
    """
    x, y, weights = checked(x, y, weights)
    if y.ndim != 1:
        raise ValueError(f"y needs shape [N], got {y.shape}; use one_vs_rest for more classes")

    def example(state, row):
        w, b, sum_w, sum_b, mistakes = state
        x, y, weight = row
        fires = (jnp.dot(w, x, precision=PRECISE) + b > 0).astype(w.dtype)
        error = jnp.where(weight > 0, y - fires, 0)
        w, b = w + learning_rate * weight * error * x, b + learning_rate * weight * error
        return (w, b, sum_w + w, sum_b + b, mistakes + (error != 0)), None

    def epoch(state):
        *moving, _, count = state
        none = jnp.zeros((), jnp.int32)
        return *jax.lax.scan(example, (*moving, none), (x, y, weights))[0], count + 1

    w, zero = jnp.zeros(x.shape[1], x.dtype), jnp.zeros((), x.dtype)
    start = (w, zero, w, zero, jnp.ones((), jnp.int32), jnp.zeros((), jnp.int32))
    w, b, sum_w, sum_b, mistakes, count = jax.lax.while_loop(
        lambda state: (state[4] > 0) & (state[5] < max_epochs), epoch, start
    )
    updates = jnp.maximum(count, 1) * x.shape[0]
    params = Linear(sum_w / updates, sum_b / updates) if average else Linear(w, b)
    return params, Report(count, mistakes == 0)
