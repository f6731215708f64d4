"""Memory-based collaborative filtering: ratings from similar users, or from similar items.

U users, I items. Similarities count co-rated entries only, as Surprise defines them, and are shrunk
toward 0 by `n / (n + shrinkage)` for n co-rated entries.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Similarity = Literal["cosine", "pearson"]


def rating_similarity(
    ratings: ArrayLike,
    observed: ArrayLike,
    rows: ArrayLike,
    *,
    kind: Similarity = "pearson",
    shrinkage: float = 0.0,
) -> jax.Array:
    """Similarity of some rows of a table of ratings with all rows, over what both have.

    >>> ratings = jnp.array([[1, 2, 3], [2, 3, 4], [3, 2, 0]])
    >>> rating_similarity(ratings, ratings > 0, [0])
    Array([[ 1.,  1., -1.]], dtype=float32)

    Args:
        ratings: `[N, M]`; what unobserved cells hold has no part.
        observed: boolean `[N, M]`.
        rows: `[B]`.
        kind: "cosine" of the ratings, or "pearson", of their differences from the means over what
            both rows have.
        shrinkage: of pairs with little in common, >= 0.
    Returns: `[B, N]` in -1..1; 0 for rows with nothing in common, or without variance.
    Raises: ValueError on shapes that do not fit, an unknown kind or a negative shrinkage.
    """
    x, w = _table(ratings, observed)
    if kind not in ("cosine", "pearson") or shrinkage < 0:
        raise ValueError(f"need cosine or pearson and shrinkage >= 0, got {kind}, {shrinkage}")
    # A row's shift changes no covariance and its scale no similarity: sums stay small and exact.
    if kind == "pearson":
        mean = jnp.sum(x, axis=1) / jnp.maximum(jnp.sum(w, axis=1), 1)
        x = (x - mean[:, None]) * w
    largest = jnp.max(jnp.abs(x), axis=1, keepdims=True)
    x = x / jnp.where(largest > 0, largest, 1)
    a, wa = x[jnp.asarray(rows)], w[jnp.asarray(rows)]
    times = functools.partial(jnp.dot, precision=jax.lax.Precision.HIGHEST)
    n = times(wa, w.T)
    product, square, other_square = times(a, x.T), times(a * a, w.T), times(wa, (x * x).T)
    least, other_least = jnp.zeros_like(square), jnp.zeros_like(square)
    if kind == "pearson":
        safe = jnp.maximum(n, 1)
        total, other_total = times(a, w.T), times(wa, x.T)
        product = product - total * other_total / safe
        least, other_least = 1e-5 * square, 1e-5 * other_square  # below is rounding, no variance
        square = square - total * total / safe
        other_square = other_square - other_total * other_total / safe
    defined = (square > least) & (other_square > other_least)
    root = jnp.sqrt(jnp.where(defined, square, 1)) * jnp.sqrt(jnp.where(defined, other_square, 1))
    similarity = jnp.where(defined, jnp.clip(product / root, -1, 1), 0)
    return similarity * n / jnp.maximum(n + shrinkage, 1e-9)


@functools.partial(jax.jit, static_argnames=("by", "k", "kind", "shrinkage", "chunk"))
def neighbor_ratings(
    ratings: ArrayLike,
    observed: ArrayLike,
    *,
    by: Literal["user", "item"] = "item",
    k: int = 40,
    kind: Similarity = "pearson",
    shrinkage: float = 0.0,
    chunk: int = 32,
) -> jax.Array:
    """Predicted ratings of every item by every user, from the k nearest that rated it.

    `mean_u + sum_v s_uv (r_vi - mean_v) / sum_v |s_uv|` over the k users v most like u, of positive
    similarity, that rated i; by items with the roles exchanged. Without such neighbors it is the
    mean of the row, and for a row without ratings the mean of all.

    >>> ratings = jnp.array([[1, 2, 4], [2, 3, 0]])  # the second user has not seen item 2
    >>> neighbor_ratings(ratings, ratings > 0, by="user", k=1)[1, 2]  # 2.5 + (4 - 7/3)
    Array(4.167, dtype=float32)

    Args:
        ratings, observed: `[U, I]`; what unobserved cells hold has no part.
        by: whose similarity counts.
        k: neighbors, at least 1.
        kind, shrinkage: of `rating_similarity`.
        chunk: users (or items) at a time.
    Returns: `[U, I]`, not clipped to a scale.
    Raises: ValueError as `rating_similarity`, or for k or chunk below 1.
    """
    if by not in ("user", "item") or k < 1 or chunk < 1:
        raise ValueError(f"need by user or item, k and chunk at least 1, got {by}, {k}, {chunk}")
    x, w = _table(ratings, observed)
    if by == "item":
        x, w = x.T, w.T
    num_rows = len(x)
    everything = jnp.sum(x) / jnp.maximum(jnp.sum(w), 1)
    size = jnp.sum(w, axis=1)
    mean = jnp.where(size > 0, jnp.sum(x, axis=1) / jnp.maximum(size, 1), everything)
    off = (x - mean[:, None]) * w
    chunk = min(chunk, num_rows)

    def some(rows: jax.Array) -> jax.Array:
        """Predictions `[B, M]`, who is nearest taking part first; each column takes k raters."""
        like = rating_similarity(x, w > 0, rows, kind=kind, shrinkage=shrinkage)
        like = jnp.maximum(like, 0).at[jnp.arange(chunk), rows].set(0)
        order = jnp.argsort(-like, axis=1)
        like = jnp.take_along_axis(like, order, axis=1)

        def take(t: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            count, weight, moved = carry
            chosen = (w[order[:, t]] > 0) & (count < k)
            weight_t = jnp.where(chosen, like[:, t, None], 0)
            return count + chosen, weight + weight_t, moved + weight_t * off[order[:, t]]

        none = jnp.zeros((chunk, x.shape[1]))
        steps = jnp.max(jnp.sum(like > 0, axis=1))
        start = (none.astype(jnp.int32), none, none)
        _, weight, moved = jax.lax.fori_loop(0, steps, take, start)
        return mean[rows, None] + moved / jnp.where(weight > 0, weight, 1)

    rows = jnp.pad(jnp.arange(num_rows), (0, -num_rows % chunk), mode="edge").reshape(-1, chunk)
    predicted = jax.lax.map(some, rows).reshape(-1, x.shape[1])[:num_rows]
    return predicted if by == "user" else predicted.T


def _table(ratings: ArrayLike, observed: ArrayLike) -> tuple[jax.Array, jax.Array]:
    ratings, observed = jnp.asarray(ratings), jnp.asarray(observed, bool)
    if ratings.ndim != 2 or ratings.shape != observed.shape:
        raise ValueError(f"need one shape [U, I]: {ratings.shape}, {observed.shape}")
    return jnp.where(observed, ratings, 0).astype(jnp.float32), observed.astype(jnp.float32)
