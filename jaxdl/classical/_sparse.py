"""Lasso and elastic net by coordinate descent with exact zeros."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.classical._linear import PRECISE, Linear, Report, checked, weighted_mean


def soft_threshold(x: ArrayLike, threshold: ArrayLike) -> jax.Array:
    """`sign(x) max(|x| - threshold, 0)`, the proximal map of `threshold |x|`; exactly 0 inside.

    >>> soft_threshold([-3.0, 0.5, 2.0], 1.0)
    Array([-2.,  0.,  1.], dtype=float32)
    """
    x = jnp.asarray(x)
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - threshold, 0)


def elastic_net_path(
    x: ArrayLike,
    y: ArrayLike,
    penalties: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    l1_ratio: ArrayLike = 1.0,
    intercept: bool = True,
    tolerance: float = 2e-7,
    max_sweeps: int = 10_000,
) -> tuple[Linear, Report]:
    """Elastic net for many penalties, each started from the solution before it.

    Minimizes `sum_i v_i (y_i - x_i w - b)^2 / 2 + penalty (r |w|_1 + (1 - r)/2 |w|^2)` with
    `v = weights / sum(weights)` and `r = l1_ratio`, scikit-learn's objective, by cyclic coordinate
    descent on the covariance. Give penalties from the largest down: warm starts then pay.

    >>> x, y = jnp.array([[-1.0], [1.0]]), jnp.array([-2.0, 2.0])
    >>> path, _ = elastic_net_path(x, y, [2.0, 1.0, 0.0], l1_ratio=0.5)
    >>> path.coefficients  # (2 - penalty / 2) / (1 + penalty / 2)
    Array([[0.5],
           [1. ],
           [2. ]], dtype=float32)

    Args:
        x: `[N, D]`.
        y: `[N]`.
        penalties: `[P]`, >= 0 (`alpha` in scikit-learn).
        weights: `[N]`, >= 0.
        l1_ratio: 1 is the lasso, 0 ridge.
        intercept: False keeps the plane through the origin.
        tolerance: a sweep that moves the prediction by no more than `tolerance` standard
            deviations of y through any one column ends the descent.
        max_sweeps: limit for each penalty.
    Returns: `Linear` and `Report`, each with a leading axis P.
    Raises: ValueError on shapes that do not belong together.
    Reference: Friedman, Hastie & Tibshirani, Regularization paths..., 2010, sec. 2.
    """
    x, y, weights = checked(x, y, weights)
    penalties = jnp.asarray(penalties).astype(x.dtype)
    if y.ndim != 1 or penalties.ndim != 1:
        raise ValueError(f"need y [N] and penalties [P], got {y.shape} and {penalties.shape}")
    share = weights / jnp.maximum(jnp.sum(weights), jnp.finfo(x.dtype).tiny)
    mean_x = weighted_mean(x, weights) if intercept else jnp.zeros(x.shape[1], x.dtype)
    mean_y = weighted_mean(y, weights) if intercept else jnp.zeros((), x.dtype)
    root = jnp.sqrt(share)
    a, t = root[:, None] * (x - mean_x[None]), root * (y - mean_y)
    covariance = jnp.dot(a.T, a, precision=PRECISE)
    target = jnp.dot(a.T, t, precision=PRECISE)
    variance = jnp.diagonal(covariance)
    spread = jnp.sqrt(variance)
    enough = tolerance * jnp.linalg.norm(t)

    def solve(w: jax.Array, penalty: jax.Array) -> tuple[jax.Array, tuple[jax.Array, Report]]:
        l1, l2 = penalty * l1_ratio, penalty * (1 - l1_ratio)

        def update(j: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            w, left = state  # left = target - covariance @ w
            size = variance[j] + l2
            new = soft_threshold(left[j] + variance[j] * w[j], l1) / jnp.where(size > 0, size, 1)
            new = jnp.where(size > 0, new, 0)
            return w.at[j].set(new), left - covariance[j] * (new - w[j])

        def sweep(state):
            w, _, count = state
            left = target - jnp.dot(covariance, w, precision=PRECISE)
            new, _ = jax.lax.fori_loop(0, w.shape[0], update, (w, left))
            return new, jnp.max(jnp.abs(new - w) * spread), count + 1

        start = (w, jnp.asarray(jnp.inf, w.dtype), jnp.zeros((), jnp.int32))
        w, moved, count = jax.lax.while_loop(
            lambda state: (state[1] > enough) & (state[2] < max_sweeps), sweep, start
        )
        return w, (w, Report(count, moved <= enough))

    _, (w_PD, report) = jax.lax.scan(solve, jnp.zeros(x.shape[1], x.dtype), penalties)
    bias = mean_y - jnp.dot(w_PD, mean_x, precision=PRECISE)
    return Linear(w_PD, bias), report


def fit_elastic_net(
    x: ArrayLike, y: ArrayLike, penalty: ArrayLike, weights: ArrayLike | None = None, **options
) -> tuple[Linear, Report]:
    """Elastic net for one penalty; objective and options as in `elastic_net_path`.

    >>> x, y = jnp.array([[-1.0], [1.0]]), jnp.array([-2.0, 2.0])
    >>> fit_elastic_net(x, y, 1.0, l1_ratio=0.5)[0].coefficients  # (2 - 1/2) / (1 + 1/2)
    Array([1.], dtype=float32)
    """
    path = elastic_net_path(x, y, jnp.asarray(penalty).reshape(1), weights, **options)
    return jax.tree.map(lambda leaf: leaf[0], path)


def fit_lasso(
    x: ArrayLike, y: ArrayLike, penalty: ArrayLike, weights: ArrayLike | None = None, **options
) -> tuple[Linear, Report]:
    """Lasso for one penalty: `fit_elastic_net` with `l1_ratio=1`, coefficients exactly 0 included.

    >>> x, y = jnp.array([[-1.0, 1.0], [1.0, 1.0]]), jnp.array([-2.0, 2.0])
    >>> fit_lasso(x, y, 0.5)[0].coefficients
    Array([1.5, 0. ], dtype=float32)
    """
    return fit_elastic_net(x, y, penalty, weights, l1_ratio=1.0, **options)
