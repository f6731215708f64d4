"""Classification by nearest neighbors."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def nearest_neighbors(
    x: ArrayLike, queries: ArrayLike, k: int, weights: ArrayLike | None = None
) -> tuple[jax.Array, jax.Array]:
    """The k points of `x` nearest to each query in Euclidean distance.

    Distances are sums of squared differences, exact where the inputs are (integers, say), so that
    ties are ties; of points at one distance the first comes first.

    >>> distances, index = nearest_neighbors([[0, 0], [3, 4], [6, 8]], [[0, 0]], 2)
    >>> distances, index
    (Array([[0., 5.]], dtype=float32), Array([[0, 1]], dtype=int32))

    Args:
        x: `[N, D]`.
        queries: `[M, D]`.
        k: 1..N.
        weights: `[N]`; points of weight 0 are never found (distance inf where fewer than k remain).
    Returns: distances `[M, k]` in increasing order, and indices `[M, k]`.
    Raises: ValueError on shapes that do not fit, or k outside 1..N.
    """
    x, queries = jnp.asarray(x), jnp.asarray(queries)
    if x.ndim != 2 or queries.ndim != 2 or x.shape[1] != queries.shape[1]:
        raise ValueError(f"need x [N, D], queries [M, D], got {x.shape}, {queries.shape}")
    if not 1 <= k <= x.shape[0]:
        raise ValueError(f"k must lie in 1..{x.shape[0]}, got {k}")
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    allowed = jnp.ones(x.shape[0], bool) if weights is None else jnp.asarray(weights) > 0

    def one(query: jax.Array) -> tuple[jax.Array, jax.Array]:
        squared = jnp.sum((x - query.astype(x.dtype)[None]) ** 2, axis=1)
        nearest, index = jax.lax.top_k(-jnp.where(allowed, squared, jnp.inf), k)
        return jnp.sqrt(-nearest), index

    return jax.lax.map(one, queries, batch_size=64)


def neighbor_votes(
    x: ArrayLike,
    labels: ArrayLike,
    queries: ArrayLike,
    k: int,
    weights: ArrayLike | None = None,
    *,
    num_classes: int,
) -> jax.Array:
    """Votes `[M, K]` of each query's k nearest points; their argmax is k-nearest-neighbors.

    >>> neighbor_votes([[0.0], [1.0], [9.0]], [1, 1, 0], [[0.4], [8.0]], 2, num_classes=2)
    Array([[0., 2.],
           [1., 1.]], dtype=float32)

    Args: as in `nearest_neighbors`, with integer labels `[N]`.
    """
    distances, index = nearest_neighbors(x, queries, k, weights)
    votes = jax.nn.one_hot(jnp.asarray(labels)[index], num_classes)
    return jnp.sum(jnp.where(jnp.isfinite(distances)[..., None], votes, 0), axis=1)
