"""Logistic and softmax regression with L1 and L2 penalties.

The solvers themselves are in `_newton.py`.
"""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.classical._linear import Linear, Report, checked, linear
from jaxdl.classical._newton import conjugate_gradients, direct, minimize


def fit_logistic(
    x: ArrayLike,
    y: ArrayLike,
    penalty: ArrayLike = 1.0,
    weights: ArrayLike | None = None,
    *,
    l1: ArrayLike = 0.0,
    intercept: bool = True,
    max_steps: int | None = None,
) -> tuple[Linear, Report]:
    """Logistic regression, the Bernoulli likelihood under L2 and L1 penalties.

    Minimizes `sum_i weights_i [log(1 + exp(z_i)) - y_i z_i] + penalty/2 |w|^2 + l1 |w|_1` with
    `z = x w + b`; `penalty` is scikit-learn's `1 / C`. Probabilities are `sigmoid(linear(...))`.

    >>> x, y = jnp.array([[0.0], [1.0]]), jnp.array([0.25, 0.75])
    >>> params, report = jax.jit(fit_logistic)(x, y, penalty=0.0)
    >>> jax.nn.sigmoid(linear(params, x)), bool(report.converged)
    (Array([0.25, 0.75], dtype=float32), True)

    Args:
        x: `[N, D]`.
        y: `[N]` in [0, 1]; or `[N, L]` for L labels at once (multi-label: one model each, with
            coefficients `[D, L]`).
        penalty: of the squares, >= 0.
        weights: `[N]`, >= 0.
        l1: of the absolute values, >= 0. A Python 0 chooses Newton's method, anything else the
            proximal gradient.
        intercept: False keeps the plane through the origin.
        max_steps: limit; 50 Newton or 5,000 gradient steps by default.
    Returns: `Linear` and `Report`. Separable classes (those that a plane parts but for examples on
        it, too) or one class only, without a penalty, have no finite optimum: the report then says
        `converged=False`.
    Raises: ValueError on shapes that do not belong together.
    """
    if jnp.ndim(y) == 2:
        one = functools.partial(fit_logistic, l1=l1, intercept=intercept, max_steps=max_steps)
        return jax.vmap(one, (None, 1, None, None), -1)(x, y, penalty, weights)
    x, y, weights = checked(x, y, weights)
    return _with_finite_optimum(
        x,
        lambda z: jax.nn.softplus(z) - y * z,
        jnp.zeros((), x.dtype),
        penalty,
        weights,
        bound=0.25,
        direction=direct,
        l1=l1,
        intercept=intercept,
        max_steps=max_steps,
    )


def fit_softmax(
    x: ArrayLike,
    labels: ArrayLike,
    penalty: ArrayLike = 1.0,
    weights: ArrayLike | None = None,
    *,
    num_classes: int | None = None,
    label_smoothing: float = 0.0,
    l1: ArrayLike = 0.0,
    intercept: bool = True,
    max_steps: int | None = None,
) -> tuple[Linear, Report]:
    """Softmax regression, the multinomial likelihood under L2 and L1 penalties.

    Minimizes `-sum_i weights_i sum_k q_ik log softmax(x_i W + b)_k + penalty/2 |W|^2 + l1 |W|_1`,
    without a matrix of second derivatives (each Newton step is solved by conjugate gradients).

    >>> x, labels = jnp.array([[0.0], [0.0], [1.0], [1.0], [1.0]]), jnp.array([0, 1, 0, 1, 1])
    >>> params, report = fit_softmax(x, labels, penalty=0.0, num_classes=2)
    >>> jax.nn.softmax(linear(params, x[1:3])), bool(report.converged)
    (Array([[0.5  , 0.5  ],
           [0.333, 0.667]], dtype=float32), True)

    Args:
        x: `[N, D]`.
        labels: integers `[N]` with `num_classes`, or probabilities q `[N, K]`.
        penalty, weights, l1, intercept, max_steps: as in `fit_logistic`.
        num_classes: K for integer labels.
        label_smoothing: s in [0, 1): q becomes `(1 - s) q + s / K`.
    Returns: `Linear` with coefficients `[D, K]`, intercept `[K]` summing to 0, and `Report`.
    Raises: ValueError on shapes that do not belong together, or integers without `num_classes`.
    """
    labels = jnp.asarray(labels)
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
    if labels.ndim == 1:
        if num_classes is None:
            raise ValueError("integer labels need num_classes")
        labels = jax.nn.one_hot(labels, num_classes)
    if labels.ndim != 2:
        raise ValueError(f"labels need shape [N] or [N, K], got {labels.shape}")
    x, q, weights = checked(x, labels, weights)
    q = (1 - label_smoothing) * q + label_smoothing / q.shape[1]

    def loss(z: jax.Array) -> jax.Array:
        return -jnp.sum(q * jax.nn.log_softmax(z, axis=-1), axis=-1)

    params, report = _with_finite_optimum(
        x,
        loss,
        jnp.zeros(q.shape[1], x.dtype),
        penalty,
        weights,
        bound=0.5,
        direction=conjugate_gradients,
        l1=l1,
        intercept=intercept,
        max_steps=max_steps,
    )
    centered = params.intercept - jnp.mean(params.intercept)
    return Linear(params.coefficients, centered), report


def _with_finite_optimum(x, loss, bias, penalty, weights, **options) -> tuple[Linear, Report]:
    """`minimize`, not converged where a likelihood of 1 sends coefficients to infinity."""
    params, report = minimize(x, loss, bias, penalty, weights, **options)
    total = jnp.sum(weights * loss(linear(params, x)))
    finite = total > jnp.finfo(x.dtype).eps * jnp.sum(weights)
    return params, Report(report.steps, report.converged & finite)
