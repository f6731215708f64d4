"""Kernels: similarities `k(x, y) = <phi(x), phi(y)>` of two points, lifted to sets by `gram`.

Each takes two points `[D]` and gives a number, so that it reads as its formula; options become a
kernel of two points by `functools.partial`. The options are scikit-learn's.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Kernel = Callable[[jax.Array, jax.Array], jax.Array]


def linear_kernel(x: ArrayLike, y: ArrayLike) -> jax.Array:
    """`x . y` of two points `[D]`.

    >>> linear_kernel(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]))
    Array(11., dtype=float32)
    """
    x, y = _points(x, y)
    return jnp.dot(x, y, precision=jax.lax.Precision.HIGHEST)


def polynomial_kernel(
    x: ArrayLike, y: ArrayLike, *, degree: int = 3, gamma: ArrayLike = 1.0, bias: ArrayLike = 0.0
) -> jax.Array:
    """`(gamma x . y + bias)^degree` of two points `[D]`.

    >>> polynomial_kernel(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]), degree=2)
    Array(121., dtype=float32)
    """
    return jnp.asarray(gamma * linear_kernel(x, y) + bias) ** degree


def rbf_kernel(x: ArrayLike, y: ArrayLike, *, gamma: ArrayLike = 1.0) -> jax.Array:
    """`exp(-gamma |x - y|^2)` of two points `[D]`; 1 at no distance.

    >>> rbf_kernel(jnp.array([1.0, 2.0]), jnp.array([1.0, 3.0]))  # e^-1
    Array(0.368, dtype=float32)
    """
    x, y = _points(x, y)
    return jnp.exp(-jnp.asarray(gamma) * jnp.sum((x - y) ** 2))


def sigmoid_kernel(
    x: ArrayLike, y: ArrayLike, *, gamma: ArrayLike = 1.0, bias: ArrayLike = 0.0
) -> jax.Array:
    """`tanh(gamma x . y + bias)` of two points `[D]`; not positive definite in general.

    >>> sigmoid_kernel(jnp.array([1.0, 2.0]), jnp.array([0.0, 0.5]))  # tanh 1
    Array(0.762, dtype=float32)
    """
    return jnp.tanh(gamma * linear_kernel(x, y) + bias)


def gram(kernel: Kernel, x: ArrayLike, y: ArrayLike | None = None) -> jax.Array:
    """The matrix `[N, M]` of a two-point kernel between `x` `[N, D]` and `y` `[M, D]`, or `x`.

    >>> gram(linear_kernel, jnp.eye(2))
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    x = jnp.asarray(x)
    y = x if y is None else jnp.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"need x [N, D] and y [M, D], got {x.shape} and {y.shape}")
    return jax.vmap(lambda x: jax.vmap(lambda y: kernel(x, y))(y))(x)


def _points(x: ArrayLike, y: ArrayLike) -> tuple[jax.Array, jax.Array]:
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"a kernel takes two points [D], got {x.shape} and {y.shape}")
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, y.dtype), jnp.float32)
    return x.astype(dtype), y.astype(dtype)
