"""Information of Gaussians in closed form, from covariances `[..., D, D]` (Cover & Thomas, ch. 8).

Differential entropies may be negative. A covariance that is not positive definite gives NaN.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks
from jaxdl.information._discrete import _log_base


def gaussian_entropy(cov: ArrayLike, *, base: float = math.e) -> jax.Array:
    """`1/2 log det(2 pi e S)`.

    >>> gaussian_entropy(jnp.eye(1))
    Array(1.419, dtype=float32)
    """
    root = _cholesky(cov)
    dims = root.shape[-1]
    return (0.5 * dims * math.log(2 * math.pi * math.e) + _half_log_det(root)) / _log_base(base)


def gaussian_kl(
    mean0: ArrayLike, cov0: ArrayLike, mean1: ArrayLike, cov1: ArrayLike, *, base: float = math.e
) -> jax.Array:
    """KL of N(mean0, cov0) from N(mean1, cov1), means `[..., D]`.

    `1/2 (tr(S1^-1 S0) + (m1 - m0)^T S1^-1 (m1 - m0) - D + log det S1 / det S0)`.

    >>> gaussian_kl(jnp.zeros(1), jnp.eye(1), jnp.ones(1), jnp.eye(1))
    Array(0.5, dtype=float32)
    """
    root0, root1 = _cholesky(cov0), _cholesky(cov1)
    apart = _checks.wide(mean1) - _checks.wide(mean0)
    if root0.shape != root1.shape or apart.shape != root0.shape[:-1]:
        raise ValueError(f"means {apart.shape} do not fit {root0.shape} and {root1.shape}")
    solve = jax.scipy.linalg.solve_triangular
    ratio = solve(root1, root0, lower=True)
    shift = solve(root1, apart[..., None], lower=True)[..., 0]
    squares = jnp.sum(ratio**2, axis=(-2, -1)) + jnp.sum(shift**2, axis=-1) - apart.shape[-1]
    return (0.5 * squares + _half_log_det(root1) - _half_log_det(root0)) / _log_base(base)


def gaussian_cross_entropy(
    mean0: ArrayLike, cov0: ArrayLike, mean1: ArrayLike, cov1: ArrayLike, *, base: float = math.e
) -> jax.Array:
    """What N(mean0, cov0) costs in a code made for N(mean1, cov1), `H(0) + KL(0 || 1)`.

    >>> mean, cov = jnp.zeros(1), jnp.eye(1)
    >>> gaussian_cross_entropy(mean, cov, mean, cov)
    Array(1.419, dtype=float32)
    """
    divergence = gaussian_kl(mean0, cov0, mean1, cov1, base=base)
    return gaussian_entropy(cov0, base=base) + divergence


def gaussian_mutual_information(cov: ArrayLike, split: int, *, base: float = math.e) -> jax.Array:
    """`I(X; Y) = 1/2 log(det S_xx det S_yy / det S)`, X the first `split` of D variables.

    >>> gaussian_mutual_information(jnp.array([[1.0, 0.5], [0.5, 1.0]]), 1)  # -log(.75) / 2
    Array(0.144, dtype=float32)
    """
    cov = _checks.wide(cov)
    if not 0 < split < cov.shape[-1]:
        raise ValueError(f"split must lie in 1..{cov.shape[-1] - 1}, got {split}")
    parts = cov[..., :split, :split], cov[..., split:, split:]
    apart = sum(_half_log_det(_cholesky(part)) for part in parts)
    return (apart - _half_log_det(_cholesky(cov))) / _log_base(base)


def _cholesky(cov: ArrayLike) -> jax.Array:
    cov = _checks.wide(cov)
    if cov.ndim < 2 or cov.shape[-1] != cov.shape[-2]:
        raise ValueError(f"a covariance needs shape [..., D, D], got {cov.shape}")
    return jnp.linalg.cholesky(cov)


def _half_log_det(root: jax.Array) -> jax.Array:
    return jnp.sum(jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)), axis=-1)
