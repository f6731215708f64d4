"""Powers and products of columns."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def polynomial_features(
    x: ArrayLike, degree: int, *, interaction_only: bool = False, bias: bool = False
) -> jax.Array:
    """All products of columns up to a degree, in the order of scikit-learn's `PolynomialFeatures`.

    >>> polynomial_features(jnp.array([[2.0, 3.0]]), degree=2)
    Array([[2., 3., 4., 6., 9.]], dtype=float32)

    Args:
        x: `[N, D]`; scale it first, powers spread the columns apart.
        degree: 1 or more.
        interaction_only: leaves out products in which a column occurs twice.
        bias: puts a column of ones first (learners here have an intercept of their own).
    Returns: `[N, F]`, floating (integers and half precision become float32, for their products
        overflow): columns by degree, `a, b, a a, a b, b b` for two.
    Raises: ValueError if x is no table or `degree` is below 1.
    """
    x = jnp.asarray(x)
    if x.ndim != 2 or degree < 1:
        raise ValueError(f"need x [N, D] and degree >= 1, got {x.shape} and {degree}")
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    choose = itertools.combinations if interaction_only else itertools.combinations_with_replacement
    parts = [jnp.ones((x.shape[0], 1), x.dtype)] if bias else []
    for size in range(1, degree + 1):
        columns = np.array(list(choose(range(x.shape[1]), size)), int).reshape(-1, size)
        parts.append(jnp.prod(x[:, columns], axis=-1))
    return jnp.concatenate(parts, axis=1)
