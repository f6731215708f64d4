"""Recommenders: matrix factorization with biases, AutoRec and NeuMF; scores are logits or ratings.

U users, I items, k factors. `catalog(users)` scores every item, `[B, I]`, for
`recommenders.rank_catalog` and `recommend`:

    score = lambda params, users: model.apply({"params": params}, users, method="catalog")

A user or an item beyond the tables scores NaN, never what another one would. Ids of a source become
numbers by `recommenders.Interactions.user` and `.item`, which refuse an id that the source does not
have.

Koren et al., Matrix factorization techniques for recommender systems, 2009; Sedhain et al.,
AutoRec, 2015; He et al., Neural collaborative filtering, 2017, arXiv:1708.05031.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl.nn import Embed
from jaxdl.recommenders._interactions import ItemLists


def factor_scores(user_rows: jax.Array, item_rows: jax.Array) -> jax.Array:
    """`p . q + b_u + b_i` of rows `[..., k + 1]` whose last column is the bias.

    >>> factor_scores(jnp.array([1.0, 2.0, 0.5]), jnp.array([3.0, 4.0, 0.25]))  # 3 + 8 + 0.75
    Array(11.75, dtype=float32)
    """
    is_bias = np.arange(user_rows.shape[-1]) == user_rows.shape[-1] - 1
    # One sum over whole rows: slicing the bias off would cost a copy, and as much in the gradient.
    terms = jnp.where(is_bias, user_rows + item_rows, user_rows * item_rows)
    return jnp.sum(terms, axis=-1)


class MatrixFactorization(linen.Module):
    """`mean + p_u . q_i + b_u + b_i`; biases start at 0, and are the last column of each table.

    One table for each side lets `recommenders.pairwise_sgd` read and write a row of it at once.

    >>> model = MatrixFactorization(num_users=1, num_items=2, factors=1)
    >>> params = {"user": jnp.array([[1.0, 0.5]]), "item": jnp.array([[2.0, 0.25], [3.0, 0.0]])}
    >>> params["mean"] = jnp.array(3.0)
    >>> model.apply({"params": params}, jnp.array([0]), method="catalog")  # 3 + 1 * 2 + 0.75, ...
    Array([[5.75, 6.5 ]], dtype=float32)
    """

    num_users: int
    num_items: int
    factors: int = 30
    init_scale: float = 0.1  # standard deviation of the factors

    def setup(self) -> None:
        def table(key: jax.Array, rows: int) -> jax.Array:
            factors = self.init_scale * jax.random.normal(key, (rows, self.factors))
            return jnp.pad(factors, ((0, 0), (0, 1)))

        self.user = self.param("user", table, self.num_users)
        self.item = self.param("item", table, self.num_items)
        self.mean = self.param("mean", linen.initializers.zeros, ())

    def __call__(self, users: jax.Array, items: jax.Array, *, train: bool) -> jax.Array:
        """Scores `[B]` of pairs."""
        del train
        _check_pairs(users, items)
        rows = jnp.take(self.user, users, axis=0), jnp.take(self.item, items, axis=0)
        return self.mean + factor_scores(*rows)

    def catalog(self, users: jax.Array) -> jax.Array:
        """Scores `[B, I]` of every item."""
        rows, items = jnp.take(self.user, users, axis=0), self.item
        biases = rows[:, -1:] + items[None, :, -1]
        return self.mean + rows[:, :-1] @ items[:, :-1].T + biases


class NeuMF(linen.Module):
    """Generalized factorization beside a perceptron on separate embeddings; one logit, no sigmoid.

    >>> model = NeuMF(num_users=3, num_items=7)
    >>> key, users, items = jax.random.key(0), jnp.array([0, 2]), jnp.array([1, 4])
    >>> params = jax.eval_shape(lambda: model.init(key, users, items, train=False))
    >>> jax.eval_shape(lambda p: model.apply(p, users, method="catalog"), params).shape
    (2, 7)

    He et al. 2017, eq. 12; trained by pairs (`losses.bpr_loss`) or by points.
    """

    num_users: int
    num_items: int
    factors: int = 10
    hidden: Sequence[int] = (10, 10, 10)
    init_scale: float = 0.01

    @linen.compact
    def __call__(self, users: jax.Array, items: jax.Array, *, train: bool) -> jax.Array:
        """Logits `[B]` of pairs."""
        del train
        _check_pairs(users, items)
        init = linen.initializers.normal(self.init_scale)

        def embed(rows: int, name: str, ids: jax.Array) -> jax.Array:
            return Embed(rows, self.factors, embedding_init=init, name=name)(ids)

        gmf = embed(self.num_users, "user_gmf", users) * embed(self.num_items, "item_gmf", items)
        user, item = (
            embed(self.num_users, "user_mlp", users),
            embed(self.num_items, "item_mlp", items),
        )
        h = jnp.concatenate([user, item], axis=-1)
        for i, width in enumerate(self.hidden):
            h = linen.relu(linen.Dense(width, name=f"dense{i + 1}")(h))
        both = jnp.concatenate([gmf, h], axis=-1)
        return linen.Dense(1, use_bias=False, name="head")(both)[..., 0]

    def catalog(self, users: jax.Array) -> jax.Array:
        """Logits `[B, I]` of every item."""
        every = jnp.tile(jnp.arange(self.num_items), len(users))
        scores = self(jnp.repeat(users, self.num_items), every, train=False)
        return scores.reshape(len(users), self.num_items)


class AutoRec(linen.Module):
    """An auto-encoder of the ratings of an item over users (I-AutoRec), or of a user over items.

    `mean + W sigmoid(V (r - mean) + mu) + b` with dropout on the hidden layer. What unobserved
    cells hold has no part in anything: they enter as the mean, which says nothing of the rating,
    and the loss is for the caller to take where observed. Sedhain et al. have `mean=0`, with which
    a row of few ratings is read as one of low ratings.

    >>> model, observed = AutoRec(num_ratings=3, hidden=2), jnp.array([[True, False, True]])
    >>> a, b = jnp.array([[5.0, 1.0, 2.0]]), jnp.array([[5.0, 4.0, 2.0]])
    >>> outputs, variables = model.init_with_output(jax.random.key(0), a, observed, train=False)
    >>> outputs.shape, bool((outputs == model.apply(variables, b, observed, train=False)).all())
    ((1, 3), True)
    """

    num_ratings: int  # users for I-AutoRec, items for U-AutoRec
    hidden: int = 500
    dropout: float = 0.05
    mean: float = 0.0  # of the training ratings

    @linen.compact
    def __call__(self, ratings: jax.Array, observed: jax.Array, *, train: bool) -> jax.Array:
        """Predicted ratings `[B, N]` from ratings `[B, N]` and a boolean `observed` `[B, N]`."""
        if ratings.shape != observed.shape or ratings.ndim != 2:
            raise ValueError(f"need one shape [B, N]: {ratings.shape}, {observed.shape}")
        if ratings.shape[1] != self.num_ratings:
            raise ValueError(f"need {self.num_ratings} ratings a row, got {ratings.shape[1]}")
        x = jnp.where(observed, ratings - self.mean, 0.0)
        h = linen.sigmoid(linen.Dense(self.hidden, name="encode")(x))
        h = linen.Dropout(self.dropout, deterministic=not train)(h)
        return self.mean + linen.Dense(self.num_ratings, name="decode")(h)


def _check_pairs(users: jax.Array, items: jax.Array) -> None:
    if users.shape != items.shape:
        raise ValueError(f"need one shape: users {users.shape}, items {items.shape}")


@functools.partial(jax.jit, static_argnames=("score", "k"))
def recommend(
    score: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    users: ArrayLike,
    k: int,
    known: ItemLists | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The k best items for each user that are not known to them.
    >>> from jaxdl import data, recommenders
    >>> seen = data.Dataset({"user": np.array([0]), "item": np.array([1])})
    >>> known = recommenders.ItemLists.of(seen, num_users=1, num_items=3)
    >>> scores = jnp.array([[0.1, 0.9, 0.5]])
    >>> recommend(lambda scores, users: scores[users], scores, jnp.array([0]), 2, known)
    (Array([[2, 0]], dtype=int32), Array([[0.5, 0.1]], dtype=float32))

    Args:
        score: `(params, users [B]) -> scores [B, I]`; compiled once for each function.
        users: numbers `[B]`.
        k: 1..I.
        known: what to leave out.
    Returns: items and their scores, `[B, k]`, the best first; where fewer than k are left the score
        is -inf.
    Raises: ValueError if k is outside 1..I.
    """
    users = jnp.asarray(users)
    scores = score(params, users)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must lie in 1..{scores.shape[1]}, got {k}")
    if known is not None:
        row = jnp.arange(len(users))[:, None]
        scores = scores.at[row, known.rows(users)].set(-jnp.inf, mode="drop")
    best, items = jax.lax.top_k(scores, k)
    return items, best


def similar_items(vectors: ArrayLike, items: ArrayLike, k: int) -> tuple[jax.Array, jax.Array]:
    """The k items whose vectors have the greatest cosine with those of `items`, themselves not.

    >>> vectors = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
    >>> similar_items(vectors, jnp.array([0]), k=2)
    (Array([[2, 1]], dtype=int32), Array([[0.6, 0. ]], dtype=float32))

    Args:
        vectors: `[I, D]`, such as the factors of a model; a vector of zeros is similar to none (0).
        items: numbers `[B]`.
        k: 1..I-1.
    Returns: items and cosines, `[B, k]`.
    Raises: ValueError on shapes that do not fit, or k outside 1..I-1.
    """
    vectors, items = jnp.asarray(vectors), jnp.asarray(items)
    if vectors.ndim != 2 or items.ndim != 1:
        raise ValueError(f"need vectors [I, D], items [B], got {vectors.shape}, {items.shape}")
    if not 1 <= k < len(vectors):
        raise ValueError(f"k must lie in 1..{len(vectors) - 1}, got {k}")
    length = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / jnp.where(length == 0, 1, length)
    cosine = unit[items] @ unit.T
    cosine = cosine.at[jnp.arange(len(items)), items].set(-jnp.inf)
    best, found = jax.lax.top_k(cosine, k)
    return found, best
