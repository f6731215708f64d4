"""Logistic and softmax regression with L1 and L2 penalties.

Smooth problems are solved by damped Newton steps, which in float32 end at the rounding of the
gradient (a line search on values, as quasi-Newton methods need, stalls at its square root);
an L1 penalty by accelerated proximal gradient, which finds the zeros, and Newton on the rest.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.classical._linear import PRECISE, Linear, Report, checked, linear, weighted_mean
from jaxdl.classical._sparse import soft_threshold

Loss = Callable[[jax.Array], jax.Array]  # logits [N] or [N, K] to one number per example [N]


def logistic(
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

    Minimises `sum_i weights_i [log(1 + exp(z_i)) - y_i z_i] + penalty/2 |w|^2 + l1 |w|_1` with
    `z = x w + b`; `penalty` is scikit-learn's `1 / C`. Probabilities are `sigmoid(linear(...))`.

    >>> x, y = jnp.array([[0.0], [1.0]]), jnp.array([0.25, 0.75])
    >>> params, report = jax.jit(logistic)(x, y, penalty=0.0)
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
    Returns: `Linear` and `Report`. Separable classes or one class only, without a penalty, have no
        finite optimum: the report then says `converged=False`.
    Raises: ValueError on shapes that do not belong together.
    """
    if jnp.ndim(y) == 2:
        one = functools.partial(logistic, l1=l1, intercept=intercept, max_steps=max_steps)
        return jax.vmap(one, (None, 1, None, None), -1)(x, y, penalty, weights)
    x, y, weights = checked(x, y, weights)
    return _fit(
        x,
        lambda z: jax.nn.softplus(z) - y * z,
        jnp.zeros((), x.dtype),
        penalty,
        weights,
        l1,
        intercept,
        max_steps,
        direct,
    )


def softmax(
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

    Minimises `-sum_i weights_i sum_k q_ik log softmax(x_i W + b)_k + penalty/2 |W|^2 + l1 |W|_1`,
    without a matrix of second derivatives (each Newton step is solved by conjugate gradients).

    >>> x, labels = jnp.array([[0.0], [0.0], [1.0], [1.0], [1.0]]), jnp.array([0, 1, 0, 1, 1])
    >>> params, report = softmax(x, labels, penalty=0.0, num_classes=2)
    >>> jax.nn.softmax(linear(params, x[1:3])), bool(report.converged)
    (Array([[0.5  , 0.5  ],
           [0.333, 0.667]], dtype=float32), True)

    Args:
        x: `[N, D]`.
        labels: integers `[N]` with `num_classes`, or probabilities q `[N, K]`.
        penalty, weights, l1, intercept, max_steps: as in `logistic`.
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

    bias = jnp.zeros(q.shape[1], x.dtype)
    params, report = _fit(
        x, loss, bias, penalty, weights, l1, intercept, max_steps, conjugate_gradients
    )
    centred = params.intercept - jnp.mean(params.intercept)
    return Linear(params.coefficients, centred), report


def _fit(
    x: jax.Array,
    loss: Loss,
    bias: jax.Array,
    penalty: ArrayLike,
    weights: jax.Array,
    l1: ArrayLike,
    intercept: bool,
    max_steps: int | None,
    direction: Callable[..., Linear],
) -> tuple[Linear, Report]:
    penalty = jnp.asarray(penalty).astype(x.dtype)
    mean = weighted_mean(x, weights) if intercept else jnp.zeros(x.shape[1], x.dtype)
    a = jnp.where(weights[:, None] > 0, x - mean[None], 0)
    start = Linear(jnp.zeros((x.shape[1], *bias.shape), x.dtype), bias)
    if isinstance(l1, (int, float)) and l1 == 0:
        steps = 50 if max_steps is None else max_steps
        params, report = newton(a, loss, start, penalty, weights, intercept, steps, direction)
    else:
        steps = 5_000 if max_steps is None else max_steps
        l1 = jnp.asarray(l1).astype(x.dtype)
        rough = _proximal(a, loss, start, penalty, weights, l1, intercept, steps)
        params, report = newton(a, loss, rough, penalty, weights, intercept, 50, direction, l1)
        same = jnp.all(jnp.sign(params.coefficients) == jnp.sign(rough.coefficients))
        params = jax.tree.map(lambda exact, rough: jnp.where(same, exact, rough), params, rough)
        report = Report(report.steps, report.converged & same)
    # A likelihood of 1 means coefficients on their way to infinity.
    total = jnp.sum(weights * loss(linear(params, a)))
    finite = total > jnp.finfo(x.dtype).eps * jnp.sum(weights)
    shift = jnp.dot(mean, params.coefficients, precision=PRECISE)
    params = Linear(params.coefficients, params.intercept - shift)
    return params, Report(report.steps, report.converged & finite)


def newton(
    a: jax.Array,
    loss: Loss,
    start: Linear,
    penalty: jax.Array,
    weights: jax.Array,
    intercept: bool,
    max_steps: int,
    direction: Callable[..., Linear],
    l1: ArrayLike = 0.0,
) -> tuple[Linear, Report]:
    """Minimises `sum_i weights_i loss(z)_i + penalty/2 |w|^2` over `z = a w + b` for a convex loss.

    Newton steps, halved until the objective falls; they end when they no longer move. With `l1`
    the signs of the start are kept: its zeros stay, and `l1 |w|_1` is linear.
    """
    smooth = isinstance(l1, float) and l1 == 0
    free = jnp.where(smooth | (start.coefficients != 0), 1, 0).astype(a.dtype)
    tilt = l1 * jnp.sign(start.coefficients)
    eps = jnp.finfo(a.dtype).eps
    slope = jax.grad(lambda z: jnp.sum(weights * loss(z)))

    def objective(params: Linear, z: jax.Array) -> jax.Array:
        w = params.coefficients
        return jnp.sum(weights * loss(z)) + jnp.sum(penalty / 2 * w**2 + tilt * w)

    def step(state: tuple[Linear, jax.Array, jax.Array]) -> tuple[Linear, jax.Array, jax.Array]:
        params, count, _ = state
        z = linear(params, a)
        g_z, curvature = jax.linearize(slope, z)
        gradient = Linear(
            free * (jnp.dot(a.T, g_z, precision=PRECISE) + penalty * params.coefficients + tilt),
            intercept * jnp.sum(g_z, axis=0),
        )
        d = direction(a, gradient, curvature, penalty, free, intercept)
        dz = linear(d, a)
        here = objective(params, z)

        def moved(t: jax.Array) -> Linear:
            return jax.tree.map(lambda leaf, d: leaf - t * d, params, d)

        def too_far(t: jax.Array) -> jax.Array:
            falls = objective(moved(t), z - t * dz) <= here + 8 * eps * jnp.abs(here)
            return ~falls & (t > 1e-4)

        t = jax.lax.while_loop(too_far, lambda t: t / 2, jnp.ones((), a.dtype))
        new = moved(t)
        return new, count + 1, _largest(d) / jnp.maximum(_largest(new), 1e-3)

    enough = 100 * eps
    params, count, size = jax.lax.while_loop(
        lambda state: (state[2] > enough) & (state[1] < max_steps),
        step,
        (start, jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf, a.dtype)),
    )
    return params, Report(count, size <= enough)


def _largest(params: Linear) -> jax.Array:
    return jnp.maximum(jnp.max(jnp.abs(params.coefficients)), jnp.max(jnp.abs(params.intercept)))


def direct(
    a: jax.Array,
    gradient: Linear,
    curvature: Callable[[jax.Array], jax.Array],
    penalty: jax.Array,
    free: jax.Array,
    intercept: bool,
) -> Linear:
    """Newton's direction for one logit, by the Cholesky factor of the second derivatives."""
    ones = jnp.full(a.shape[0], float(intercept), a.dtype)
    design = jnp.concatenate([a * free[None], ones[:, None]], axis=1)
    second = jnp.dot(design.T * curvature(jnp.ones_like(ones))[None], design, precision=PRECISE)
    diagonal = jnp.diagonal(second) + penalty
    second = second + jnp.diag(jnp.full(a.shape[1] + 1, penalty).at[-1].set(0))
    # The smallest addition that keeps a singular matrix factorisable; the optimum does not move.
    jitter = 4 * jnp.finfo(a.dtype).eps * jnp.max(diagonal) + jnp.finfo(a.dtype).tiny
    factor = jax.scipy.linalg.cho_factor(second + jitter * jnp.eye(a.shape[1] + 1, dtype=a.dtype))
    d = jax.scipy.linalg.cho_solve(factor, jnp.append(gradient.coefficients, gradient.intercept))
    return Linear(d[:-1], d[-1])


def conjugate_gradients(
    a: jax.Array,
    gradient: Linear,
    curvature: Callable[[jax.Array], jax.Array],
    penalty: jax.Array,
    free: jax.Array,
    intercept: bool,
) -> Linear:
    """Newton's direction for many logits, to a thousandth of the gradient."""

    def product(d: Linear) -> Linear:
        h_z = curvature(linear(d, a))
        h_w = jnp.dot(a.T, h_z, precision=PRECISE) + penalty * d.coefficients
        # A constant added to every bias changes no loss: give that direction a curvature.
        h_b = intercept * jnp.sum(h_z, axis=0) + a.shape[0] * jnp.mean(d.intercept)
        return Linear(free * h_w, h_b)

    return jax.scipy.sparse.linalg.cg(product, gradient, tol=1e-3, maxiter=300)[0]


def _proximal(
    a: jax.Array,
    loss: Loss,
    start: Linear,
    penalty: jax.Array,
    weights: jax.Array,
    l1: jax.Array,
    intercept: bool,
    max_steps: int,
) -> Linear:
    """Accelerated proximal gradient (Beck & Teboulle 2009), momentum dropped when it overshoots."""
    slope = jax.grad(lambda z: jnp.sum(weights * loss(z)))
    # The second derivative of a logistic loss is at most 1/4, of a softmax loss 1/2.
    bound = 0.25 if start.intercept.ndim == 0 else 0.5
    rows = jnp.sqrt(weights)[:, None] * a
    gram = jnp.dot(rows.T, rows, precision=PRECISE)
    rate_w = 1 / (bound * jnp.linalg.norm(gram, 2) * 1.01 + penalty)
    rate_b = 1 / (bound * jnp.sum(weights))

    def step(state):
        old, at, momentum, count, _ = state
        g_z = slope(linear(at, a))
        g_w = jnp.dot(a.T, g_z, precision=PRECISE) + penalty * at.coefficients
        new = Linear(
            soft_threshold(at.coefficients - rate_w * g_w, rate_w * l1),
            at.intercept - intercept * rate_b * jnp.sum(g_z, axis=0),
        )
        forward = jax.tree.map(jnp.subtract, new, old)
        uphill = jnp.sum((at.coefficients - new.coefficients) * forward.coefficients) > 0
        momentum = jnp.where(uphill, 1.0, momentum)
        following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        push = jnp.where(uphill, 0.0, (momentum - 1) / following)
        ahead = jax.tree.map(lambda new, forward: new + push * forward, new, forward)
        size = _largest(jax.tree.map(jnp.subtract, new, at)) / jnp.maximum(_largest(new), 1e-3)
        return new, ahead, following.astype(a.dtype), count + 1, size

    enough = 8 * jnp.finfo(a.dtype).eps
    zero = jnp.zeros((), jnp.int32)
    one, inf = jnp.ones((), a.dtype), jnp.asarray(jnp.inf, a.dtype)
    params, *_ = jax.lax.while_loop(
        lambda state: (state[4] > enough) & (state[3] < max_steps),
        step,
        (start, start, one, zero, inf),
    )
    return params
