"""Losses for numbers. No factor 1/2 anywhere: `huber_loss` alone has the one of its definition."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks
from jaxdl.ops import absolute


def squared_error(predictions: ArrayLike, targets: ArrayLike) -> jax.Array:
    """`(y - t)^2`, element by element: the mean over a data set is the MSE.

    >>> squared_error(jnp.array([1.0, 5.0]), jnp.array([2.0, 2.0]))
    Array([1., 9.], dtype=float32)
    """
    return jnp.square(_residual(predictions, targets))


def absolute_error(predictions: ArrayLike, targets: ArrayLike) -> jax.Array:
    """`|y - t|`, element by element: the mean over a data set is the MAE; slope 0 at 0.

    >>> absolute_error(jnp.array([1.0, 5.0]), jnp.array([2.0, 2.0]))
    Array([1., 3.], dtype=float32)
    """
    return absolute(_residual(predictions, targets))


def mean_squared_error(predictions: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Mean of `(y - t)^2` over all axes but the first, `[B, ...]` to `[B]`.

    >>> mean_squared_error(jnp.array([[1.0, 3.0]]), jnp.array([[0.0, 0.0]]))
    Array([5.], dtype=float32)
    """
    error = squared_error(predictions, targets)
    return jnp.mean(error, axis=tuple(range(1, error.ndim)))


def sum_squared_error(predictions: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Sum of `(y - t)^2` over all axes but the first, `[B, ...]` to `[B]` (SSE).

    >>> sum_squared_error(jnp.array([[1.0, 3.0]]), jnp.array([[0.0, 0.0]]))
    Array([10.], dtype=float32)
    """
    error = squared_error(predictions, targets)
    return jnp.sum(error, axis=tuple(range(1, error.ndim)))


def huber_loss(predictions: ArrayLike, targets: ArrayLike, *, delta: float = 1.0) -> jax.Array:
    """Huber's loss, `r^2 / 2` where `|r| <= delta`, `delta (|r| - delta / 2)` beyond.

    >>> huber_loss(jnp.array([0.5, 3.0]), jnp.array([0.0, 0.0]))
    Array([0.125, 2.5], dtype=float32)

    Raises: ValueError if the shapes differ or delta is not positive.
    """
    if not delta > 0:
        raise ValueError(f"delta must be positive, got {delta}")
    size = jnp.abs(_residual(predictions, targets))
    inner = jnp.minimum(size, delta)  # quadratic up to delta, linear from there
    return inner * (size - 0.5 * inner)


def smooth_l1_loss(predictions: ArrayLike, targets: ArrayLike, *, beta: float = 1.0) -> jax.Array:
    """Smooth L1 of Fast R-CNN, `r^2 / (2 beta)` where `|r| < beta`, `|r| - beta / 2` beyond.

    It is `huber_loss(delta=beta) / beta`, and tends to `|r|` as beta goes to 0, which is allowed.
    SSD's `smooth_l1_loss` with scalar s, `(s r)^2 / 2`, has `beta = 1 / s^2`.

    >>> smooth_l1_loss(jnp.array([0.5, 3.0]), jnp.array([0.0, 0.0]))
    Array([0.125, 2.5], dtype=float32)

    Raises: ValueError if the shapes differ or beta is negative.
    """
    if beta < 0:
        raise ValueError(f"beta must not be negative, got {beta}")
    if beta == 0:
        return absolute_error(predictions, targets)
    return huber_loss(predictions, targets, delta=beta) / beta


def _residual(predictions: ArrayLike, targets: ArrayLike) -> jax.Array:
    predictions, targets = _checks.wide(predictions), _checks.wide(targets)
    _checks.same_shape(predictions=predictions, targets=targets)
    return predictions - targets
