"""Linear models: least squares and ridge in closed form, and the single-point tricks.

Legend: N examples, D features, K targets, P penalties. Every learner takes example weights `[N]`:
a weight of 0 leaves the example out (whatever its values), so folds and training sizes are masks
and many fits are one `vmap`. The intercept is never penalized. Products run at full float32
precision, also where an accelerator would round their inputs.

NaN or infinity in an example of positive weight raises where the values are known (NumPy arrays),
and gives NaN coefficients where they are not (under `jit`), never a plausible number.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

PRECISE = jax.lax.Precision.HIGHEST


@struct.dataclass
class Linear:
    """The function `x @ coefficients + intercept`: `[..., D]` to `[...]`, or to `[..., K]`.

    >>> line = Linear(coefficients=jnp.array([2.0]), intercept=jnp.array(1.0))
    >>> linear(line, jnp.array([[0.0], [3.0]]))
    Array([1., 7.], dtype=float32)
    """

    coefficients: jax.Array  # [D] or [D, K]
    intercept: jax.Array  # [] or [K]


@struct.dataclass
class Report:
    """How a learner ended; every learner here returns `(params, report)`.

    >>> _, report = fit_least_squares(jnp.array([[0.0], [1.0]]), jnp.array([1.0, 3.0]))
    >>> int(report.steps), bool(report.converged)
    (1, True)
    """

    steps: jax.Array  # iterations taken, 1 in closed form
    converged: jax.Array  # False short of the optimum, or on values that are not finite


def linear(params: Linear, x: ArrayLike) -> jax.Array:
    """Predictions, decision values or logits `x @ coefficients + intercept`.

    >>> plane = Linear(jnp.array([1.0, -2.0]), jnp.array(0.5))
    >>> linear(plane, jnp.array([[3.0, 1.0], [0.0, 0.0]]))
    Array([1.5, 0.5], dtype=float32)

    Args:
        params: of one model; for a stack of models use `jax.vmap(linear, (0, None))`.
        x: `[..., D]`.
    Returns: `[...]` or `[..., K]`.
    """
    x = jnp.asarray(x)
    product = jnp.dot(x.astype(params.coefficients.dtype), params.coefficients, precision=PRECISE)
    bias = params.intercept
    return product + bias.reshape((1,) * (product.ndim - bias.ndim) + bias.shape)


def checked(
    x: ArrayLike, y: ArrayLike, weights: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Examples `[N, D]`, targets `[N]` or `[N, K]`, weights `[N]`, in one floating dtype.

    Examples of weight 0 become zeros, so that whatever they hold cannot spread.

    Raises: ValueError if the shapes do not belong together, or on values on the host that are not
        finite in an example of positive weight.
    """
    _finite("x", x, weights)
    _finite("y", y, weights)
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x needs shape [N, D] with at least one of each, got {x.shape}")
    if y.ndim not in (1, 2) or y.shape[0] != x.shape[0]:
        raise ValueError(f"y needs shape [N] or [N, K] with N={x.shape[0]}, got {y.shape}")
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    if weights is None:
        return x.astype(dtype), y.astype(dtype), jnp.ones(x.shape[0], dtype)
    weights = jnp.asarray(weights).astype(dtype)
    if weights.shape != x.shape[:1]:
        raise ValueError(f"weights need shape {x.shape[:1]}, got {weights.shape}")
    kept = weights > 0
    x = jnp.where(kept[:, None], x, 0).astype(dtype)
    y = jnp.where(kept.reshape(kept.shape + (1,) * (y.ndim - 1)), y, 0).astype(dtype)
    return x, y, weights


def _finite(name: str, values: ArrayLike, weights: ArrayLike | None) -> None:
    if isinstance(values, jax.Array) or isinstance(weights, jax.Array):
        return
    bad = ~np.isfinite(np.asarray(values, np.float64)).reshape(len(np.asarray(values)), -1).all(1)
    if weights is not None and np.shape(weights) == bad.shape:
        bad &= np.asarray(weights) > 0
    if bad.any():
        raise ValueError(
            f"{name} has {bad.sum()} examples with NaN or infinity, the first in row "
            f"{int(np.argmax(bad))}: fill or drop them first"
        )


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean over the first axis; a second pass takes off what rounding left in the first."""
    total = jnp.maximum(jnp.sum(weights), jnp.finfo(weights.dtype).tiny)
    mean = jnp.tensordot(weights, values, 1, precision=PRECISE) / total
    rest = jnp.tensordot(weights, values - mean[None], 1, precision=PRECISE) / total
    return mean + rest


def _centered(
    x: jax.Array, y: jax.Array, weights: jax.Array, intercept: bool
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Rows scaled by the root of their weight, as matrices, with the means that were taken off."""
    y = y.reshape(y.shape[0], -1)
    zero_x, zero_y = jnp.zeros(x.shape[1], x.dtype), jnp.zeros(y.shape[1], y.dtype)
    mean_x, mean_y = (
        (weighted_mean(x, weights), weighted_mean(y, weights)) if intercept else (zero_x, zero_y)
    )
    root = jnp.sqrt(weights)[:, None]
    return root * (x - mean_x[None]), root * (y - mean_y[None]), mean_x, mean_y


def _finish(w: jax.Array, mean_x: jax.Array, mean_y: jax.Array, ndim: int) -> Linear:
    bias = mean_y - jnp.dot(mean_x, w, precision=PRECISE)
    return Linear(w, bias) if ndim == 2 else Linear(w[:, 0], bias[0])


def _judge(
    a: jax.Array, t: jax.Array, w: jax.Array, noise: ArrayLike = 0.0, penalty: ArrayLike = 0.0
) -> Report:
    """Whether the slope of every column vanishes, beside the length of the column and of t.

    Columns up to the length `noise` are constant, and no slope of theirs means anything.
    """
    left = t - jnp.dot(a, w, precision=PRECISE)
    slope = jnp.abs(jnp.dot(a.T, left, precision=PRECISE) - penalty * w)
    length = jnp.linalg.norm(a, axis=0)[:, None]
    flat = (length <= jnp.reshape(noise, (-1, 1))) & jnp.isfinite(w)
    small = slope <= 1e-4 * length * jnp.linalg.norm(t, axis=0)[None]  # False for NaN
    return Report(jnp.ones((), jnp.int32), jnp.all(small | flat))


def fit_least_squares(
    x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None, *, intercept: bool = True
) -> tuple[Linear, Report]:
    """Least squares, `argmin_w sum_i weights_i |y_i - x_i w - b|^2`, by singular values.

    Columns are centered and brought to one length before the factorization, so units do not matter;
    one step of refinement follows. Where columns depend on each other the answer is the one of
    least norm, as `numpy.linalg.lstsq` gives for the centered problem.

    Args:
        x: `[N, D]`; N may be less than D.
        y: `[N]` or `[N, K]`.
        weights: `[N]`, >= 0; None weighs all alike.
        intercept: False keeps the plane through the origin.
    Returns: `Linear` and `Report`.
    Raises: ValueError on shapes that do not belong together.

    >>> params, _ = fit_least_squares(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0]))
    >>> params.coefficients
    Array([2.], dtype=float32)
    """
    x, y, weights = checked(x, y, weights)
    a, t, mean_x, mean_y = _centered(x, y, weights, intercept)
    noise = _noise(mean_x, weights)
    w = _shortest_solution(a, t, noise)
    return _finish(w, mean_x, mean_y, y.ndim), _judge(a, t, w, noise)


def _noise(mean_x: jax.Array, weights: jax.Array) -> jax.Array:
    """The length up to which a centered column is constant but for rounding; it carries nothing."""
    return jnp.finfo(mean_x.dtype).eps * jnp.sqrt(jnp.sum(weights)) * jnp.abs(mean_x)


def _shortest_solution(a: jax.Array, t: jax.Array, noise: jax.Array) -> jax.Array:
    """The w of least norm among those minimizing |t - a w|, column norms up to `noise` being 0."""
    eps = jnp.finfo(a.dtype).eps
    length = jnp.linalg.norm(a, axis=0)
    scale = jnp.where(length > noise, length, jnp.inf)
    u, s, vt = jnp.linalg.svd(a / scale[None], full_matrices=False)
    real = s > eps * max(a.shape) * s[0]
    inverse = jnp.where(real, 1 / jnp.where(real, s, 1), 0)

    def solve(t: jax.Array) -> jax.Array:
        projected = inverse[:, None] * jnp.dot(u.T, t, precision=PRECISE)
        return jnp.dot(vt.T, projected, precision=PRECISE) / scale[:, None]

    w = solve(t)
    w = w + solve(t - jnp.dot(a, w, precision=PRECISE))

    def shortest(w: jax.Array) -> jax.Array:
        # The row space of `a` is spanned by the scaled right vectors; the rest of w is not needed.
        units = jnp.where(jnp.isinf(scale), 0, scale)[:, None]
        basis, size, _ = jnp.linalg.svd(vt.T * jnp.where(real, units, 0), full_matrices=False)
        basis = jnp.where((size > eps * size[0])[None], basis, 0)
        return jnp.dot(basis, jnp.dot(basis.T, w, precision=PRECISE), precision=PRECISE)

    w = jax.lax.cond(jnp.sum(real) < a.shape[1], shortest, lambda w: w, w)
    return jnp.where(jnp.isnan(s[0]), jnp.nan, w)


def ridge_path(
    x: ArrayLike,
    y: ArrayLike,
    penalties: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    intercept: bool = True,
) -> tuple[Linear, Report]:
    """Ridge for many penalties, `argmin_w sum_i weights_i |y_i - x_i w - b|^2 + penalty |w|^2`.

    One eigendecomposition (of the smaller of `X^T X` and `X X^T`) serves the whole path; a step
    of refinement against the data brings back what forming the product lost. The penalty is that
    of scikit-learn's `Ridge(alpha)`. Bring columns to one scale first: the penalty sees units,
    and in float32 one eigendecomposition cannot resolve columns 100 times apart (`fit_ridge` can):
    the report then says `converged=False`.

    >>> x, y = jnp.array([[-1.0], [0.0], [1.0]]), jnp.array([-2.0, 0.0, 2.0])
    >>> path, _ = jax.jit(ridge_path)(x, y, jnp.array([0.0, 2.0, 6.0]))
    >>> path.coefficients  # 4 / (2 + penalty)
    Array([[2. ],
           [1. ],
           [0.5]], dtype=float32)

    Args:
        x: `[N, D]`.
        y: `[N]` or `[N, K]`.
        penalties: `[P]`, >= 0; 0 is least squares of least norm.
        weights: `[N]`, >= 0.
        intercept: False keeps the plane through the origin.
    Returns: `Linear` and `Report`, each with a leading axis P.
    Raises: ValueError on shapes that do not belong together.
    """
    x, y, weights = checked(x, y, weights)
    penalties = jnp.asarray(penalties).astype(x.dtype)
    if penalties.ndim != 1:
        raise ValueError(f"penalties need shape [P], got {penalties.shape}")
    a, t, mean_x, mean_y = _centered(x, y, weights, intercept)
    tall = a.shape[0] >= a.shape[1]
    gram = jnp.dot(a.T, a, precision=PRECISE) if tall else jnp.dot(a, a.T, precision=PRECISE)
    values, vectors = jnp.linalg.eigh(gram)
    noise = jnp.finfo(a.dtype).eps * values[-1]  # eigenvalues below are rounding

    def solve(right: jax.Array, penalty: jax.Array) -> jax.Array:
        shifted = jnp.maximum(values, 0) + penalty
        floor = jnp.where(penalty > 0, noise, max(a.shape) * noise)
        inverse = jnp.where(shifted > floor, 1 / jnp.where(shifted > floor, shifted, 1), 0)
        projected = inverse[:, None] * jnp.dot(vectors.T, right, precision=PRECISE)
        return jnp.dot(vectors, projected, precision=PRECISE)

    def primal(penalty: jax.Array) -> jax.Array:
        w = solve(target, penalty)
        left = t - jnp.dot(a, w, precision=PRECISE)
        return w + solve(jnp.dot(a.T, left, precision=PRECISE) - penalty * w, penalty)

    def dual(penalty: jax.Array) -> jax.Array:
        c = solve(t, penalty)
        w = jnp.dot(a.T, c, precision=PRECISE)
        c = c + solve(t - jnp.dot(a, w, precision=PRECISE) - penalty * c, penalty)
        return jnp.dot(a.T, c, precision=PRECISE)

    target = jnp.dot(a.T, t, precision=PRECISE) if tall else t
    w_PDK = jax.vmap(primal if tall else dual)(penalties)
    params = jax.vmap(lambda w: _finish(w, mean_x, mean_y, y.ndim))(w_PDK)
    noise = _noise(mean_x, weights)
    return params, jax.vmap(_judge, (None, None, 0, None, 0))(a, t, w_PDK, noise, penalties)


def fit_ridge(
    x: ArrayLike,
    y: ArrayLike,
    penalty: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    intercept: bool = True,
) -> tuple[Linear, Report]:
    """Ridge for one penalty, columns in any units: least squares with D rows `sqrt(penalty) I`.

    >>> x, y = jnp.array([[-1.0], [0.0], [1.0]]), jnp.array([-2.0, 0.0, 2.0])
    >>> jax.jit(fit_ridge)(x, y, 2.0)[0].coefficients  # 4 / (2 + penalty)
    Array([1.], dtype=float32)

    Args: as in `ridge_path`; the penalty is a scalar.
    Returns: `Linear` and `Report`.
    Raises: ValueError on shapes that do not belong together, or a penalty that is no scalar.
    """
    if jnp.ndim(penalty) != 0:
        raise ValueError(f"penalty must be a scalar, got shape {jnp.shape(penalty)}")
    if jnp.ndim(x) == 2 and jnp.shape(x)[0] < jnp.shape(x)[1]:
        path = ridge_path(x, y, jnp.asarray(penalty).reshape(1), weights, intercept=intercept)
        return jax.tree.map(lambda leaf: leaf[0], path)
    x, y, weights = checked(x, y, weights)
    a, t, mean_x, mean_y = _centered(x, y, weights, intercept)
    size = x.shape[1]
    a = jnp.concatenate([a, jnp.sqrt(jnp.asarray(penalty, x.dtype)) * jnp.eye(size, dtype=x.dtype)])
    t = jnp.concatenate([t, jnp.zeros((size, t.shape[1]), t.dtype)])
    w = _shortest_solution(a, t, jnp.zeros(size, x.dtype))
    return _finish(w, mean_x, mean_y, y.ndim), _judge(a, t, w)


def absolute_trick(params: Linear, x: ArrayLike, y: ArrayLike, learning_rate: ArrayLike) -> Linear:
    """Moves the plane toward one point by a fixed amount: `w += rate sign(y - y^) x`, same for b.

    It is one step down the absolute error. A point on the plane moves nothing.

    >>> line = Linear(jnp.array([2.0]), jnp.array(3.0))
    >>> line = absolute_trick(line, jnp.array([5.0]), 15.0, 0.1)  # the line is at 13, below
    >>> line.coefficients, line.intercept
    (Array([2.5], dtype=float32), Array(3.1, dtype=float32))

    Args: params of one target, x `[D]`, y a scalar.
    Raises: ValueError for any other shape.
    """
    return _toward(params, x, y, learning_rate, jnp.sign)


def square_trick(params: Linear, x: ArrayLike, y: ArrayLike, learning_rate: ArrayLike) -> Linear:
    """Moves the plane toward one point by its error: `w += rate (y - y^) x`, same for b.

    It is one step down half the squared error.

    >>> line = Linear(jnp.array([2.0]), jnp.array(3.0))
    >>> line = square_trick(line, jnp.array([5.0]), 15.0, 0.01)  # 2 too low
    >>> line.coefficients, line.intercept
    (Array([2.1], dtype=float32), Array(3.02, dtype=float32))

    Args: params of one target, x `[D]`, y a scalar.
    Raises: ValueError for any other shape.
    """
    return _toward(params, x, y, learning_rate, lambda error: error)


def _toward(params, x, y, learning_rate, pull) -> Linear:
    x = jnp.asarray(x)
    if x.ndim != 1 or jnp.ndim(y) != 0:
        raise ValueError(f"one point needs x [D] and a scalar y, got {x.shape}, {jnp.shape(y)}")
    step = learning_rate * pull(y - linear(params, x))
    return Linear(params.coefficients + step * x, params.intercept + step)
