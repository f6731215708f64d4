"""Convex losses of linear models under L2 and L1 penalties, columns in any units.

Every column is brought to one scale inside (penalties keep their meaning: they are scaled along),
and the answer is brought back. Smooth problems are solved by damped Newton steps, which in float32
end at the rounding of the gradient (a line search on values, as quasi-Newton methods need, stalls
at its square root); an L1 penalty by accelerated proximal gradient, which finds the zeros, and
Newton on the rest. Convergence is judged by Newton's decrement, the value that is still to be
gained, which no change of units moves.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.classical._linear import PRECISE, Linear, Report, linear, weighted_mean
from jaxdl.classical._sparse import soft_threshold

Loss = Callable[[jax.Array], jax.Array]  # logits [N] or [N, K] to one number per example [N]


class Problem(NamedTuple):
    """`sum_i weights_i loss(a w + b)_i + sum penalty w^2 / 2 + sum l1 |w|`, columns scaled."""

    a: jax.Array  # [N, D]
    loss: Loss
    weights: jax.Array  # [N]
    penalty: jax.Array  # [D] or [D, 1], of each column's squares
    l1: jax.Array  # the same, of the absolute values
    bound: float  # greatest second derivative of the loss
    intercept: bool

    def slope(self, z: jax.Array) -> jax.Array:
        return jax.grad(lambda z: jnp.sum(self.weights * self.loss(z)))(z)


# From a problem and its free coefficients to `(gradient, curvature) -> step`.
Direction = Callable[[Problem, jax.Array], Callable[..., Linear]]


def minimize(
    x: jax.Array,
    loss: Loss,
    bias: jax.Array,
    penalty: ArrayLike,
    weights: jax.Array,
    *,
    bound: float,
    direction: Direction,
    l1: ArrayLike = 0.0,
    intercept: bool = True,
    max_steps: int | None = None,
) -> tuple[Linear, Report]:
    """Minimizes `sum_i weights_i loss(z)_i + penalty/2 |w|^2 + l1 |w|_1`, `z = x w + b`.

    `bias` is where b starts, `bound` the greatest second derivative of the convex loss. A Python 0
    as `l1` leaves the proximal gradient out.
    """
    may_be_endless = not (isinstance(penalty, (int, float)) and penalty > 0)
    penalty = jnp.asarray(penalty).astype(x.dtype)
    mean = weighted_mean(x, weights) if intercept else jnp.zeros(x.shape[1], x.dtype)
    a, scale = _scaled(x - mean[None], mean, weights, penalty / bound)
    column = scale.reshape((-1,) + (1,) * bias.ndim)
    sparse = not (isinstance(l1, (int, float)) and l1 == 0)
    problem = Problem(
        a,
        loss,
        weights,
        penalty / column / column,
        jnp.asarray(l1).astype(x.dtype) / column,
        bound,
        intercept,
    )
    start = Linear(jnp.zeros((x.shape[1], *bias.shape), x.dtype), bias)
    if not sparse:
        params, report = newton(problem, start, direction, 50 if max_steps is None else max_steps)
        if may_be_endless:  # a penalty bends every direction, and the look costs a step or two
            endless = jax.lax.cond(
                jnp.all(penalty == 0),  # as given: under vmap over data alone it stays a branch
                lambda params: _endless(problem, params),
                lambda params: jnp.array(False),
                params,
            )
            report = Report(report.steps, report.converged & ~endless)
    else:
        rough = _proximal(problem, start, 5_000 if max_steps is None else max_steps)
        params, report = _polished(problem, rough, direction)
    w = params.coefficients / column
    return Linear(w, params.intercept - jnp.dot(mean, w, precision=PRECISE)), report


def _scaled(
    x: jax.Array, mean: jax.Array, weights: jax.Array, penalty: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Columns over their scale, at which squares and penalty add up to the weights; the scale.

    Left out are columns that are constant up to the rounding of their mean.
    """
    x = jnp.where(weights[:, None] > 0, x, 0)
    total = jnp.maximum(jnp.sum(weights), jnp.finfo(x.dtype).tiny)
    largest = jnp.max(jnp.abs(x), axis=0)
    unit = x / jnp.where(largest > 0, largest, 1)[None]  # squares neither over- nor underflow
    root = jnp.sqrt(jnp.sum(weights[:, None] * unit**2, axis=0) / total) * largest
    real = ~(root <= jnp.finfo(x.dtype).eps * jnp.abs(mean))  # NaN is to be seen
    scale = jnp.hypot(jnp.where(real, root, 0), jnp.sqrt(penalty / total))
    scale = jnp.where(scale == 0, 1, scale)
    return jnp.where(real, x, 0) / scale[None], scale


def newton(
    problem: Problem,
    start: Linear,
    direction: Direction,
    max_steps: int,
    *,
    keep_signs: bool = False,
) -> tuple[Linear, Report]:
    """Newton steps, halved until the objective falls, to the rounding of the gradient.

    With `keep_signs` the zeros of the start stay and `l1 |w|_1` is linear; without, there is none.
    """
    a, weights, penalty, intercept = problem.a, problem.weights, problem.penalty, problem.intercept
    sign = jnp.sign(start.coefficients)
    free = jnp.abs(sign) if keep_signs else jnp.ones_like(sign)
    tilt = problem.l1 * sign if keep_signs else jnp.zeros_like(sign)
    eps = jnp.finfo(a.dtype).eps
    solve = direction(problem, free)

    def objective(params: Linear, z: jax.Array) -> jax.Array:
        w = params.coefficients
        return jnp.sum(weights * problem.loss(z)) + jnp.sum(penalty / 2 * w**2 + tilt * w)

    def step(state: Any) -> Any:
        params, count, _, _ = state
        z = linear(params, a)
        g_z, curvature = jax.linearize(problem.slope, z)
        gradient = Linear(
            free * (jnp.dot(a.T, g_z, precision=PRECISE) + penalty * params.coefficients + tilt),
            intercept * jnp.sum(g_z, axis=0),
        )
        d = solve(gradient, curvature)
        dz = linear(d, a)
        here = objective(params, z)

        def moved(t: jax.Array) -> Linear:
            return jax.tree.map(lambda leaf, d: leaf - t * d, params, d)

        def too_far(t: jax.Array) -> jax.Array:
            falls = objective(moved(t), z - t * dz) <= here + 8 * eps * jnp.abs(here)
            return ~falls & (t > 1e-4)

        t = jax.lax.while_loop(too_far, lambda t: t / 2, jnp.ones((), a.dtype))
        new = moved(t)
        # What the quadratic model promises, of what there is; and the step, in columns of one
        # scale, for where the optimum is at infinity every step is as long as the last.
        gain = jnp.sqrt(jnp.abs(_dot(gradient, d)) / jnp.maximum(here, jnp.finfo(a.dtype).tiny))
        return new, count + 1, gain, _largest(d) / jnp.maximum(_largest(new), 1e-3)

    enough = 100 * eps
    inf = jnp.asarray(jnp.inf, a.dtype)
    params, count, gain, size = jax.lax.while_loop(
        lambda state: ~((state[2] <= enough) & (state[3] <= enough)) & (state[1] < max_steps),
        step,
        (start, jnp.zeros((), jnp.int32), inf, inf),
    )
    return params, Report(count, (gain <= enough) & (size <= 1e-3))


def _endless(problem: Problem, params: Linear) -> jax.Array:
    """Whether the loss is flat along a direction in which the examples differ.

    So it is where a plane parts the classes but for examples on it (quasi-complete separation,
    Albert & Anderson 1984): the loss goes on falling, more slowly than float32 can tell. Of several
    logits each is looked at by itself.
    """
    a, weights, eps = problem.a, problem.weights, jnp.finfo(problem.a.dtype).eps
    ones = jnp.full((len(a), 1), float(problem.intercept), a.dtype)
    design = jnp.concatenate([a, ones], axis=1)
    _, curvature = jax.linearize(problem.slope, linear(params, a))
    if params.intercept.ndim:  # [K, N]: the curvature of each logit
        each = jnp.eye(len(params.intercept), dtype=a.dtype)
        bends = jax.vmap(
            lambda one: jnp.sum(curvature(jnp.tile(one, (len(a), 1))) * one[None], axis=1)
        )(each)
    else:
        bends = curvature(jnp.ones(len(a), a.dtype))[None]

    def product(h: jax.Array) -> jax.Array:
        return jnp.dot(design.T * h[None], design, precision=PRECISE)

    sizes, axes = jnp.linalg.eigh(product(problem.bound * weights))
    real = sizes > len(sizes) * eps * jnp.max(sizes)
    axes = jnp.where(real[None], axes / jnp.sqrt(jnp.where(real, sizes, 1))[None], 0)

    def flat(h: jax.Array) -> jax.Array:
        whitened = jnp.dot(axes.T, jnp.dot(product(h), axes, precision=PRECISE), precision=PRECISE)
        return jnp.min(jnp.linalg.eigvalsh(whitened + jnp.diag(1.0 - real))) <= 64 * eps

    return jnp.any(jax.vmap(flat)(bends))


def _largest(params: Linear) -> jax.Array:
    return jnp.maximum(jnp.max(jnp.abs(params.coefficients)), jnp.max(jnp.abs(params.intercept)))


def _dot(one: Linear, other: Linear) -> jax.Array:
    parts = jax.tree.map(lambda a, b: jnp.sum(a * b), one, other)
    return parts.coefficients + parts.intercept


def direct(problem: Problem, free: jax.Array) -> Callable[..., Linear]:
    """Newton's direction for one logit, by the Cholesky factor of the second derivatives."""
    a, size = problem.a, problem.a.shape[1] + 1
    ones = jnp.full(a.shape[0], float(problem.intercept), a.dtype)
    design = jnp.concatenate([a * free[None], ones[:, None]], axis=1)

    def solve(gradient: Linear, curvature: Callable[[jax.Array], jax.Array]) -> Linear:
        second = jnp.dot(design.T * curvature(jnp.ones_like(ones))[None], design, precision=PRECISE)
        second = second + jnp.diag(jnp.append(problem.penalty, 0))
        # The smallest addition that keeps a singular matrix factorizable; the optimum stays.
        eps, tiny = jnp.finfo(a.dtype).eps, jnp.finfo(a.dtype).tiny
        jitter = 4 * eps * jnp.max(jnp.diagonal(second)) + tiny
        factor = jax.scipy.linalg.cho_factor(second + jitter * jnp.eye(size, dtype=a.dtype))
        right = jnp.append(gradient.coefficients, gradient.intercept)
        d = jax.scipy.linalg.cho_solve(factor, right)
        return Linear(d[:-1], d[-1])

    return solve


def conjugate_gradients(problem: Problem, free: jax.Array) -> Callable[..., Linear]:
    """Newton's direction for many logits, to a thousandth of the gradient.

    Preconditioned by `X^T diag(h) X + penalty` for every logit, h the mean curvature of an example
    over its logits: columns that depend on each other cost no iterations.
    """
    a, penalty = problem.a, problem.penalty
    total = jnp.sum(problem.weights)
    whole = jnp.all(free > 0, axis=1, keepdims=True)
    still = whole * jnp.where(jnp.all(whole), 1, 1e-3) * total
    eps, tiny = jnp.finfo(a.dtype).eps, jnp.finfo(a.dtype).tiny

    def conditioner(curvature: Callable[[jax.Array], jax.Array]) -> Callable[[Linear], Linear]:
        K = free.shape[1]
        bends = [curvature(jnp.zeros((len(a), K), a.dtype).at[:, k].set(1))[:, k] for k in range(K)]
        h = jnp.maximum(sum(bends) / K, 0)
        second = jnp.dot(a.T * h[None], a, precision=PRECISE) + jnp.diag(penalty.reshape(-1))
        jitter = 4 * eps * jnp.max(jnp.diagonal(second)) + tiny
        factor = jax.scipy.linalg.cho_factor(second + jitter * jnp.eye(len(second), dtype=a.dtype))

        def conditioned(r: Linear) -> Linear:
            d = free * jax.scipy.linalg.cho_solve(factor, r.coefficients)
            return Linear(d, r.intercept / (jnp.sum(h) + tiny))

        return conditioned

    def solve(gradient: Linear, curvature: Callable[[jax.Array], jax.Array]) -> Linear:
        conditioned = conditioner(curvature)

        def product(d: Linear) -> Linear:
            h_z = curvature(linear(d, a))
            h_w = jnp.dot(a.T, h_z, precision=PRECISE) + penalty * d.coefficients
            # A constant added to the same weight of every logit changes no loss (and at the
            # optimum no penalty): give that direction a curvature.
            h_w = h_w + still * jnp.mean(d.coefficients, axis=1, keepdims=True)
            h_b = problem.intercept * jnp.sum(h_z, axis=0) + total * jnp.mean(d.intercept)
            return Linear(free * h_w, h_b)

        def step(state: Any) -> Any:
            d, r, p, height, count = state
            product_p = product(p)
            rate = height / jnp.maximum(_dot(p, product_p), tiny)
            d = jax.tree.map(lambda d, p: d + rate * p, d, p)
            r = jax.tree.map(lambda r, q: r - rate * q, r, product_p)
            y = conditioned(r)
            left = _dot(r, y)
            p = jax.tree.map(lambda y, p: y + left / height * p, y, p)
            return d, r, p, left, count + 1

        first = conditioned(gradient)
        height = _dot(gradient, first)
        zero = jax.tree.map(jnp.zeros_like, gradient)
        d, *_ = jax.lax.while_loop(
            lambda state: (state[3] > 1e-6 * height) & (state[4] < 300),
            step,
            (zero, gradient, first, height, jnp.zeros((), jnp.int32)),
        )
        return d

    return solve


def _polished(problem: Problem, rough: Linear, direction: Direction) -> tuple[Linear, Report]:
    """Newton steps among the signs that the proximal gradient found, if they are the optimum's."""
    params, report = newton(problem, rough, direction, 50, keep_signs=True)
    w = params.coefficients
    same = jnp.all(jnp.sign(w) == jnp.sign(rough.coefficients))
    params = jax.tree.map(lambda exact, rough: jnp.where(same, exact, rough), params, rough)
    # The optimum's own condition: a coefficient is 0 only where the slope is no steeper than l1.
    g_z = problem.slope(linear(params, problem.a))
    steep = jnp.abs(jnp.dot(problem.a.T, g_z, precision=PRECISE)) > 1.001 * problem.l1
    wrong = jnp.any(steep & (params.coefficients == 0) & (problem.l1 > 0))
    return params, Report(report.steps, report.converged & same & ~wrong)


def _proximal(problem: Problem, start: Linear, max_steps: int) -> Linear:
    """Accelerated proximal gradient (Beck & Teboulle 2009), momentum dropped when it overshoots."""
    a, weights, penalty, l1 = problem.a, problem.weights, problem.penalty, problem.l1
    rows = jnp.sqrt(weights)[:, None] * a
    gram = problem.bound * jnp.dot(rows.T, rows, precision=PRECISE)
    rate_w = 1 / (jnp.linalg.norm(gram + jnp.diag(penalty.reshape(-1)), 2) * 1.01)
    rate_b = 1 / (problem.bound * jnp.sum(weights))

    def step(state):
        old, at, momentum, count, _ = state
        g_z = problem.slope(linear(at, a))
        g_w = jnp.dot(a.T, g_z, precision=PRECISE) + penalty * at.coefficients
        new = Linear(
            soft_threshold(at.coefficients - rate_w * g_w, rate_w * l1),
            at.intercept - problem.intercept * rate_b * jnp.sum(g_z, axis=0),
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
