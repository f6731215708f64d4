"""The curvature of a loss: products with its Hessian, its eigenvalues and trace, gradient noise."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from jaxdl import objectives, train

Loss = Callable[[Any], jax.Array]


def loss_at(
    objective: Callable[..., Any], state: train.TrainState, batch: objectives.Batch
) -> Loss:
    """The loss of one step as a function of the parameters alone, for the others of this page.

    The key and the batch are those of the step, so that dropout and noise stay what they are.

    >>> from jaxdl.metrics import Mean
    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), {}
    >>> state = train.TrainState(jnp.int32(0), jnp.array(0.0), {}, None, jax.random.key(0))
    >>> batch = {"x": jnp.array([1.0, 3.0]), "mask": jnp.array([True, True])}
    >>> loss_at(objective, state, batch)(jnp.array(2.0))
    Array(1., dtype=float32)
    """
    key = jax.random.fold_in(state.key, state.step)

    def loss(params: Any) -> jax.Array:
        return objective(params, state.model_state, batch, key, train=True)[0].compute()

    return loss


def hvp(loss: Loss, params: Any, vector: Any) -> Any:
    """The product `H v` of the Hessian of a loss and a vector, shaped as the parameters.

    >>> hvp(lambda w: w[0] ** 2 * w[1], jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0]))
    Array([4., 2.], dtype=float32)

    Reference: Pearlmutter 1994, Fast exact multiplication by the Hessian (forward over reverse).
    """
    return jax.jvp(jax.grad(loss), (params,), (vector,))[1]


class Spectrum(NamedTuple):
    """What `lanczos` found: eigenvalues, and the vector of the largest."""

    values: np.ndarray  # Ritz values, ascending; both ends are eigenvalues soonest
    weights: np.ndarray  # of the values in the density of eigenvalues; they add up to 1
    top: Any  # unit vector of the last value, shaped as the parameters
    residual: float  # |H v - lambda v| of it: an eigenvalue is no further away than that


def lanczos(loss: Loss, params: Any, *, steps: int = 20, seed: int = 0) -> Spectrum:
    """Eigenvalues of the Hessian of a loss by the method of Lanczos, every vector kept orthogonal.

    It ends early where the start vector lies in an invariant subspace. `steps` vectors of the size
    of the parameters are kept.

    >>> found = lanczos(lambda w: w[0] ** 2 + 3 * w[1] ** 2, jnp.zeros(2))
    >>> found.values
    array([2., 6.], dtype=float32)

    Args:
        loss: parameters to one number, twice differentiable; `loss_at` makes one.
        params: any pytree of floating arrays.
        steps: products with the Hessian.
        seed: of the start vector.
    Raises: ValueError if `steps` is below 1 or there are no parameters.
    Reference: Golub & Van Loan, Matrix Computations, 4th ed., sec. 10.1; the weights: Ghorbani et
    al. 2019, arXiv:1901.10159.
    """
    flat, unravel = ravel_pytree(params)
    if steps < 1 or not flat.size:
        raise ValueError(f"need steps >= 1 and parameters, got {steps} and {flat.size}")

    @jax.jit
    def advance(vectors: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array]:
        product = ravel_pytree(hvp(loss, params, unravel(q)))[0]
        rest = product - vectors.T @ (vectors @ product)
        return jnp.dot(q, product), rest - vectors.T @ (vectors @ rest)  # twice is enough

    start = jax.random.normal(jax.random.key(seed), flat.shape, flat.dtype)
    steps = min(steps, flat.size)
    vectors = jnp.zeros((steps, flat.size), flat.dtype)
    q, alphas, betas = start / jnp.linalg.norm(start), [], []
    for i in range(steps):
        vectors = vectors.at[i].set(q)
        alpha, rest = advance(vectors, q)
        beta = float(jnp.linalg.norm(rest))
        alphas.append(float(alpha))
        betas.append(beta)
        if beta <= 10 * float(jnp.finfo(flat.dtype).eps) * max(np.abs(alphas).max(), max(betas)):
            break
        q = rest / beta
    inner = betas[: len(alphas) - 1]
    values, columns = np.linalg.eigh(np.diag(alphas) + np.diag(inner, 1) + np.diag(inner, -1))
    top = vectors[: len(alphas)].T @ jnp.asarray(columns[:, -1], flat.dtype)
    residual = abs(betas[-1] * columns[-1, -1])
    weights = columns[0] ** 2
    dtype = np.asarray(flat).dtype
    return Spectrum(values.astype(dtype), weights.astype(dtype), unravel(top), float(residual))


class Estimate(NamedTuple):
    """A mean of random samples and its standard error."""

    value: jax.Array
    error: jax.Array


def hessian_trace(loss: Loss, params: Any, *, samples: int = 32, seed: int = 0) -> Estimate:
    """The trace of the Hessian by Hutchinson's method, `E[v' H v]` over random signs v.

    >>> hessian_trace(lambda w: w[0] ** 2 + 3 * w[1] ** 2, jnp.zeros(2)).value  # diagonal: exact
    Array(8., dtype=float32)

    Args:
        loss, params: as for `lanczos`.
        samples: at least 2.
        seed: of the signs.
    Returns: the mean and its standard error.
    Reference: Hutchinson 1990, doi:10.1080/03610919008812866.
    """
    if samples < 2:
        raise ValueError(f"samples must be at least 2, got {samples}")
    flat, unravel = ravel_pytree(params)

    def one(key: jax.Array) -> jax.Array:
        signs = jax.random.rademacher(key, flat.shape, flat.dtype)
        return jnp.dot(signs, ravel_pytree(hvp(loss, params, unravel(signs)))[0])

    found = jax.lax.map(one, jax.random.split(jax.random.key(seed), samples))
    return Estimate(jnp.mean(found), jnp.std(found, ddof=1) / samples**0.5)


def sharpness(loss: Loss, params: Any, *, radius: float = 0.05) -> jax.Array:
    """How much the loss rises by a step of length `radius` along its gradient.

    To first order that is the greatest rise within the radius, which sharpness-aware minimization
    keeps small. 0 where the gradient is.

    >>> sharpness(lambda w: jnp.sum(w**2), jnp.array([1.0, 0.0]), radius=0.5)  # 1.5^2 - 1
    Array(1.25, dtype=float32)

    Reference: Foret et al. 2021, arXiv:2010.01412, eq. 2.
    """
    value, grads = jax.value_and_grad(loss)(params)
    norm = optax.tree.norm(grads)
    scale = jnp.where(norm > 0, radius / jnp.where(norm > 0, norm, 1.0), 0.0)
    moved = jax.tree.map(lambda w, g: w + (scale * g).astype(w.dtype), params, grads)
    return loss(moved) - value


class NoiseScale(NamedTuple):
    """How noisy gradients of single examples are; `scale` is a batch size."""

    scale: jax.Array  # variance / square: larger batches than this gain little
    variance: jax.Array  # trace of the covariance of the examples' gradients
    square: jax.Array  # of the norm of the true gradient, without bias; noise can make it negative


def gradient_noise_scale(
    objective: Callable[..., Any], state: train.TrainState, batch: objectives.Batch
) -> NoiseScale:
    """The simple noise scale `tr(cov) / |G|^2` from the gradients of the examples of a batch.

    Both estimates are unbiased; their ratio is not and needs a batch whose gradient stands out from
    its noise. Masked rows do not count. Example i gets the key `fold_in(key, i)`; one example's
    gradient is kept at a time.

    >>> from jaxdl.metrics import Mean
    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2 / 2, batch["mask"]), {}
    >>> state = train.TrainState(jnp.int32(0), jnp.array(0.0), {}, None, jax.random.key(0))
    >>> batch = {"x": jnp.array([1.0, 3.0]), "mask": jnp.array([True, True])}
    >>> gradient_noise_scale(objective, state, batch)  # gradients -1 and -3: variance 2, 4 - 2 / 2
    NoiseScale(scale=Array(0.667, dtype=float32), variance=Array(2., dtype=float32), square=Array(3., dtype=float32))

    Raises: ValueError for a batch of fewer than two rows.
    Reference: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
    """  # noqa: E501
    mask = jnp.asarray(batch["mask"])
    if len(mask) < 2:
        raise ValueError(f"the noise scale needs two examples or more, got {len(mask)}")
    key = jax.random.fold_in(state.key, state.step)
    count = jnp.sum(mask).astype(jnp.float32)

    def total(params: Any, example: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        one = jax.tree.map(lambda x: jnp.asarray(x)[None], example)
        mean = objective(params, state.model_state, one, key, train=True)[0]
        return mean.total, mean.weight

    def add(carry: Any, row: Any) -> tuple[Any, None]:
        example, i = row
        grads, weight = jax.grad(total, has_aux=True)(
            state.params, example, jax.random.fold_in(key, i)
        )
        sums, squares, weights = carry
        sums = jax.tree.map(jnp.add, sums, grads)
        return (sums, squares + optax.tree.norm(grads) ** 2, weights + weight), None

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    rows = (jax.tree.map(jnp.asarray, dict(batch)), jnp.arange(len(mask)))
    (sums, squares, weights), _ = jax.lax.scan(add, (zeros, jnp.zeros(()), jnp.zeros(())), rows)
    # Of gradients g_i = count / weights times those of the totals, the mean is that of the batch.
    mean_square = optax.tree.norm(sums) ** 2 / weights**2
    squares = squares * (count / weights) ** 2
    variance = (squares - count * mean_square) / (count - 1)
    square = mean_square - variance / count
    return NoiseScale(variance / square, variance, square)
