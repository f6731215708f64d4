"""Gradient descent for linear models: batch, mini-batch and stochastic."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.classical._linear import Linear, checked, linear


def gradient_descent(
    loss: Callable[[jax.Array, jax.Array], jax.Array],
    params: Linear,
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    learning_rate: ArrayLike,
    epochs: int,
    batch_size: int | None = None,
    penalty: ArrayLike = 0.0,
    key: jax.Array | None = None,
) -> tuple[Linear, jax.Array]:
    """Plain gradient descent, `theta -= rate * gradient`, on a linear model.

    The objective is `(sum_i weights_i loss(z_i, y_i) + penalty/2 |w|^2) / sum_i weights_i`: the
    optimum is that of `fit_ridge` (with half the squared error), `fit_logistic` and `fit_softmax`.
    A batch takes the first sum over its own examples, and no example is left out of an epoch.

    >>> x, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0])
    >>> half_square = lambda outputs, targets: (outputs - targets) ** 2 / 2
    >>> start = Linear(jnp.zeros(1), jnp.zeros(()))
    >>> gradient_descent(half_square, start, x, y, learning_rate=0.4, epochs=200)[0]
    Linear(coefficients=Array([2.], dtype=float32), intercept=Array(1., dtype=float32))

    Args:
        loss: `(outputs, targets) -> [B]`, one number per example; half the squared error, say.
        params: where to start; zeros are fine.
        x: `[N, D]`.
        y: `[N]` or `[N, K]`, as `loss` takes them (integers stay integers).
        weights: `[N]`, >= 0.
        learning_rate: step length; too large a one diverges, and the history shows it.
        epochs: passes over the data.
        batch_size: None takes all examples at once, 1 one at a time (stochastic descent).
        penalty: of the squared coefficients, >= 0; the intercept goes free.
        key: shuffles every epoch anew; None keeps the order.
    Returns: `Linear`, and the mean loss of each epoch `[epochs]`, measured before each step.
    Raises: ValueError on shapes that do not belong together or `batch_size < 1`.
    """
    y = jnp.asarray(y)
    x, _, weights = checked(x, y, weights)
    y = jnp.where((weights > 0).reshape((-1,) + (1,) * (y.ndim - 1)), y, 0)
    size = x.shape[0]
    batch = size if batch_size is None else batch_size
    if not 1 <= batch <= size:
        raise ValueError(f"batch_size must lie in 1..{size}, got {batch}")
    num_batches = -(-size // batch)
    shrink = penalty / jnp.sum(weights)

    def objective(params: Linear, rows: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        real = jnp.where(rows < size, weights.at[rows].get(mode="clip"), 0)
        each = loss(linear(params, x.at[rows].get(mode="clip")), y.at[rows].get(mode="clip"))
        total, weight = jnp.sum(real * each), jnp.sum(real)
        mean = total / jnp.maximum(weight, jnp.finfo(x.dtype).tiny)
        return mean + shrink / 2 * jnp.sum(params.coefficients**2), (total, weight)

    def step(params: Linear, rows: jax.Array) -> tuple[Linear, tuple[jax.Array, jax.Array]]:
        gradient, sums = jax.grad(objective, has_aux=True)(params, rows)
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient), sums

    def epoch(params: Linear, number: jax.Array) -> tuple[Linear, jax.Array]:
        order = jnp.arange(size)
        if key is not None:
            order = jax.random.permutation(jax.random.fold_in(key, number), size)
        order = jnp.pad(order, (0, num_batches * batch - size), constant_values=size)
        params, (total, weight) = jax.lax.scan(step, params, order.reshape(num_batches, batch))
        return params, jnp.sum(total) / jnp.sum(weight)

    return jax.lax.scan(epoch, params, jnp.arange(epochs))
