"""Matrix factorisation by stochastic gradient descent on the rows that a batch touches.

A gradient of the tables would be dense; here the rows are gathered, the loss is differentiated with
respect to them, and the steps are added back. All epochs are one program, negatives included.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import data, losses
from jaxdl.models.recommender import factor_scores

Tables = Mapping[str, jax.Array]  # of models.MatrixFactorization: "user", "item", "mean"
_STATIC = ("loss", "epochs", "batch_size")


@functools.partial(jax.jit, static_argnames=_STATIC)
def pairwise_sgd(
    params: Tables,
    known: data.ItemLists,
    *,
    epochs: int,
    seed: ArrayLike,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = losses.bpr_loss,
    learning_rate: ArrayLike = 0.05,
    l2: ArrayLike = 0.01,
    batch_size: int = 4096,
) -> tuple[Tables, jax.Array]:
    """Ranks what a user knows above what is drawn from the rest of the catalogue.

    Every known pair is seen once an epoch, in an order of `(seed, epoch)`, against an item drawn
    uniformly among those that its user does not know.

    Args:
        params: of `models.MatrixFactorization`; the mean stays as it is.
        known: items of each user.
        loss: `(positive, negative) -> [B]`, of scores.
        learning_rate, l2: the step is `row -= learning_rate * (gradient + l2 * row)` for each
            example, those of a batch added up.
    Returns: the tables, and the mean loss of each epoch.
    Raises: ValueError if the batch size is not in 1..number of pairs.
    """
    num_pairs, num_users = len(known.items), len(known.offsets) - 1
    owner = jnp.repeat(
        jnp.arange(num_users), jnp.diff(known.offsets), total_repeat_length=num_pairs
    )
    steps = data.num_batches(num_pairs, batch_size)
    key = jax.random.key(seed)

    def step(tables: tuple[jax.Array, jax.Array], k: jax.Array) -> Any:
        user_table, item_table = tables
        pair, mask = data.batch_indices(jnp, num_pairs, batch_size, k, seed)  # type: ignore[arg-type]
        user, positive = owner[pair], known.items[pair]
        negative = data.sample_negatives(jax.random.fold_in(key, k), known, user)
        mask &= negative < known.num_items  # who knows everything teaches nothing
        item = jnp.concatenate([positive, jnp.minimum(negative, known.num_items - 1)])

        def total(rows: tuple[jax.Array, jax.Array]) -> jax.Array:
            user_rows, (good, bad) = rows[0], jnp.split(rows[1], 2)
            ranked = loss(factor_scores(user_rows, good), factor_scores(user_rows, bad))
            return jnp.sum(jnp.where(mask, ranked, 0))

        rows = user_table[user], item_table[item]
        value, gradient = jax.value_and_grad(total)(rows)
        decayed = mask[:, None], jnp.concatenate([mask, mask])[:, None]
        moves = [
            -jnp.asarray(learning_rate) * (g + l2 * jnp.where(m, row, 0))
            for g, m, row in zip(gradient, decayed, rows, strict=True)
        ]
        return (user_table.at[user].add(moves[0]), item_table.at[item].add(moves[1])), value

    return _run(params, step, steps, epochs, num_pairs)


@functools.partial(jax.jit, static_argnames=_STATIC)
def pointwise_sgd(
    params: Tables,
    ratings: Mapping[str, ArrayLike],
    *,
    epochs: int,
    seed: ArrayLike,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = losses.squared_error,
    learning_rate: ArrayLike = 0.005,
    l2: ArrayLike = 0.02,
    batch_size: int = 64,
) -> tuple[Tables, jax.Array]:
    """Fits ratings: columns "user", "item", "rating" `[N]`; the rest as in `pairwise_sgd`."""
    columns = {name: jnp.asarray(ratings[name]) for name in ("user", "item", "rating")}
    num_ratings = len(columns["user"])
    steps = data.num_batches(num_ratings, batch_size)
    mean = params["mean"]

    def step(tables: tuple[jax.Array, jax.Array], k: jax.Array) -> Any:
        user_table, item_table = tables
        index, mask = data.batch_indices(jnp, num_ratings, batch_size, k, seed)  # type: ignore[arg-type]
        user, item, rating = (columns[name][index] for name in ("user", "item", "rating"))

        def total(rows: tuple[jax.Array, jax.Array]) -> jax.Array:
            return jnp.sum(jnp.where(mask, loss(mean + factor_scores(*rows), rating), 0))

        rows = user_table[user], item_table[item]
        value, gradient = jax.value_and_grad(total)(rows)
        moves = [
            -jnp.asarray(learning_rate) * (g + l2 * jnp.where(mask[:, None], row, 0))
            for g, row in zip(gradient, rows, strict=True)
        ]
        return (user_table.at[user].add(moves[0]), item_table.at[item].add(moves[1])), value

    return _run(params, step, steps, epochs, num_ratings)


def _run(
    params: Tables, step: Any, steps: int, epochs: int, num_examples: int
) -> tuple[Tables, jax.Array]:
    tables = params["user"], params["item"]
    numbers = jnp.arange(epochs * steps, dtype=jnp.int32).reshape(epochs, steps)

    def epoch(tables: Any, ks: jax.Array) -> Any:
        tables, values = jax.lax.scan(step, tables, ks)
        return tables, jnp.sum(values) / num_examples

    (user, item), history = jax.lax.scan(epoch, tables, numbers)
    return {**params, "user": user, "item": item}, history
