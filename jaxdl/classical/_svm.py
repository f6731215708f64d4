"""Support vector machines: the kernel machine in the dual, the linear one in either form."""

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxdl.classical._linear import PRECISE, Linear, Report, checked
from jaxdl.classical._newton import direct, minimize
from jaxdl.ops import Kernel, gram, linear_kernel


@struct.dataclass
class KernelMachine:
    """The function `sum_i coefficients_i k(points_i, x) + intercept`."""

    points: jax.Array  # [N, D], the training examples
    coefficients: jax.Array  # [N], alpha_i y_i; not 0 at support vectors
    intercept: jax.Array  # []
    kernel: Kernel = struct.field(pytree_node=False)


def kernel_machine(params: KernelMachine, x: ArrayLike) -> jax.Array:
    """Decision values `[M]` of points `[M, D]`: above 0 for class 1.

    >>> x, y = jnp.array([[-1.0], [1.0], [3.0]]), jnp.array([0, 1, 1])
    >>> machine, _ = fit_kernel_svm(x, y, c=10.0)
    >>> kernel_machine(machine, x)
    Array([-1.,  1.,  3.], dtype=float32)
    """
    similarity = gram(params.kernel, x, params.points)
    return jnp.dot(similarity, params.coefficients, precision=PRECISE) + params.intercept


def fit_kernel_svm(
    x: ArrayLike,
    y: ArrayLike,
    kernel: Kernel = linear_kernel,
    weights: ArrayLike | None = None,
    *,
    c: ArrayLike = 1.0,
    tolerance: float = 1e-4,
    max_steps: int = 100_000,
) -> tuple[KernelMachine, Report]:
    """Soft-margin support vector machine for any kernel, solved in the dual.

    Minimizes `|w|^2 / 2 + c sum_i weights_i max(0, 1 - s_i (w . phi(x_i) + b))`, `s = 2 y - 1`,
    by moving the most violating pair of multipliers, chosen with second derivatives, until no pair
    violates the optimality conditions by more than `tolerance`. Holds the matrix `[N, N]`.

    >>> x, y = jnp.array([[-1.0], [1.0], [3.0]]), jnp.array([0, 1, 1])
    >>> machine, report = fit_kernel_svm(x, y, c=10.0)
    >>> machine.coefficients, bool(report.converged)  # the last point supports nothing
    (Array([-0.5,  0.5,  0. ], dtype=float32), True)

    Args:
        x: `[N, D]`.
        y: `[N]`, 0 or 1.
        kernel: of two points; calls with the same function object share a compilation.
        weights: `[N]`, >= 0, each scaling its example's `c`; 0 leaves it out.
        c: price of a unit of slack.
        tolerance: in units of the decision value (scikit-learn's `SVC` stops at 1e-3), which
            float32 can tell apart up to `c k(x, x)` of about 1e3: scale columns first.
        max_steps: limit; `converged=False` beyond it.
    Returns: `KernelMachine` and `Report`. With one class only: that class everywhere.
    Raises: ValueError on shapes that do not belong together.
    Reference: Fan, Chen & Lin, Working set selection using second order information, JMLR 2005.
    """
    x, y, weights = checked(x, y, weights)
    if y.ndim != 1:
        raise ValueError(f"y needs shape [N], got {y.shape}; use one_vs_rest for more classes")
    sign = jnp.where(y > 0, 1, -1).astype(x.dtype)
    similarity = gram(kernel, x)
    diagonal = jnp.diagonal(similarity)
    # beta = alpha s lies in [low, high]; `error` = s - K beta falls on one level at the optimum.
    edge = jnp.asarray(c).astype(x.dtype) * weights * sign
    low, high = jnp.minimum(edge, 0), jnp.maximum(edge, 0)
    inf = jnp.asarray(jnp.inf, x.dtype)
    flat = 4 * jnp.finfo(x.dtype).eps * jnp.max(diagonal) + jnp.finfo(x.dtype).tiny

    def limits(beta, error):
        return jnp.where(beta < high, error, -inf), jnp.where(beta > low, error, inf)

    def gap(beta, error):
        can_rise, can_fall = limits(beta, error)
        return jnp.max(can_rise) - jnp.min(can_fall)

    def violated(state):
        beta, error, count = state
        return (gap(beta, error) > tolerance) & (count < max_steps)

    def step(state):
        beta, error, count = state
        can_rise, can_fall = limits(beta, error)
        i = _first(can_rise, jnp.max(can_rise))
        slope = error[i] - can_fall  # gain of moving along (i, j); only positive ones help
        bend = jnp.maximum(diagonal[i] + diagonal - 2 * similarity[i], flat)
        gain = jnp.where(slope > 0, slope**2 / bend, -inf)
        j = _first(gain, jnp.max(gain))
        room_i, room_j = high[i] - beta[i], beta[j] - low[j]
        size = jnp.minimum(slope[j] / bend[j], jnp.minimum(room_i, room_j))
        beta_i = jnp.where(size >= room_i, high[i], beta[i] + size)
        beta_j = jnp.where(size >= room_j, low[j], beta[j] - size)
        error = error - size * (similarity[i] - similarity[j])
        return beta.at[i].set(beta_i).at[j].set(beta_j), error, count + 1

    def again(state):
        """Steps to the optimum as they see it, then the errors without the steps' rounding."""
        *moving, rounds = state
        beta, _, count = jax.lax.while_loop(violated, step, tuple(moving))
        return beta, sign - jnp.dot(similarity, beta, precision=PRECISE), count, rounds + 1

    zero = jnp.zeros((), jnp.int32)
    beta, error, count, _ = jax.lax.while_loop(
        lambda state: violated(state[:3]) & (state[3] < 20),
        again,
        (jnp.zeros_like(sign), sign, zero, zero),
    )
    can_rise, can_fall = limits(beta, error)
    free = (beta > low) & (beta < high)
    bias = _level(error, free, jnp.max(can_rise), jnp.min(can_fall))
    converged = (gap(beta, error) <= tolerance) & ~jnp.isnan(bias)
    return KernelMachine(x, beta, bias, kernel), Report(count, converged)


def _level(error: jax.Array, free: jax.Array, top: jax.Array, bottom: jax.Array) -> jax.Array:
    """The bias: the mean error of free multipliers, or the middle of what the others allow."""
    middle = jnp.sum(jnp.where(free, error, 0)) / jnp.maximum(jnp.sum(free), 1)
    middle = jnp.where(jnp.any(free), middle, (top + bottom) / 2)
    both = jnp.isfinite(top) & jnp.isfinite(bottom)  # one is not where there is one class only
    return jnp.where(both, middle, jnp.where(jnp.isfinite(top), top, bottom))


def _first(values: jax.Array, value: jax.Array) -> jax.Array:
    """First index of a value; on a CPU two reductions are faster than one argmax."""
    index = jnp.arange(values.shape[0])
    return jnp.min(jnp.where(values == value, index, values.shape[0] - 1))


def fit_linear_svm(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    c: ArrayLike = 1.0,
    loss: str = "squared_hinge",
    intercept: bool = True,
    max_steps: int | None = None,
) -> tuple[Linear, Report]:
    """Linear support vector machine, `|w|^2 / 2 + c sum_i weights_i loss(s_i (x_i w + b))`.

    >>> params, _ = fit_linear_svm(jnp.array([[-1.0], [1.0]]), jnp.array([0, 1]), c=1.0)
    >>> params.coefficients  # w of the least w^2 / 2 + 2 (1 - w)^2
    Array([0.8], dtype=float32)

    Args:
        x: `[N, D]`.
        y: `[N]`, 0 or 1; `s = 2 y - 1`.
        weights: `[N]`, >= 0.
        c: price of a unit of loss.
        loss: "squared_hinge", `max(0, 1 - m)^2`, by Newton steps in the primal; or "hinge",
            `max(0, 1 - m)`, by `fit_kernel_svm` (for which N^2 numbers must fit).
        intercept: False keeps the plane through the origin; only "squared_hinge" can.
        max_steps: limit of either solver; None is its default.
    Returns: `Linear` and `Report`. The intercept is not penalized; scikit-learn's `LinearSVC` does
        penalize it, so compare with `fit_intercept=False`, and `SVC(kernel="linear")` for "hinge".
    Raises: ValueError on an unknown loss, or shapes that do not belong together.
    """
    if loss == "hinge":
        if not intercept:
            raise ValueError("the hinge loss is solved in the dual, which needs intercept=True")
        steps = 100_000 if max_steps is None else max_steps
        machine, report = fit_kernel_svm(x, y, linear_kernel, weights, c=c, max_steps=steps)
        w = jnp.dot(machine.points.T, machine.coefficients, precision=PRECISE)
        return Linear(w, machine.intercept), report
    if loss != "squared_hinge":
        raise ValueError(f'loss must be "squared_hinge" or "hinge", got {loss!r}')
    x, y, weights = checked(x, y, weights)
    if y.ndim != 1:
        raise ValueError(f"y needs shape [N], got {y.shape}; use one_vs_rest for more classes")
    sign = jnp.where(y > 0, 1, -1).astype(x.dtype)
    return minimize(
        x,
        lambda z: jnp.maximum(1 - sign * z, 0) ** 2,
        jnp.zeros((), x.dtype),
        jnp.ones((), x.dtype),
        jnp.asarray(c) * weights,
        bound=2.0,
        direction=direct,
        intercept=intercept,
        max_steps=max_steps,
    )
