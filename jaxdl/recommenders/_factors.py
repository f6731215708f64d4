"""Matrix factorization by stochastic gradient descent on the rows that a batch touches.

A gradient of the tables would be dense; here the rows are gathered, the loss is differentiated with
respect to them, and the steps are added back. All epochs are one program, negatives included: what
an epoch sees is drawn in one go (16 to 20 bytes an example), far quicker than batch by batch.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import data, losses
from jaxdl.recommenders._interactions import ItemLists, sample_negatives
from jaxdl.recommenders._models import factor_scores

Tables = Mapping[str, jax.Array]  # of recommenders.MatrixFactorization: "user", "item", "mean"
_STATIC = ("loss", "epochs", "batch_size")


@functools.partial(jax.jit, static_argnames=_STATIC)
def pairwise_sgd(
    params: Tables,
    known: ItemLists,
    *,
    epochs: int,
    seed: ArrayLike,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = losses.bpr_loss,
    learning_rate: ArrayLike = 0.05,
    l2: ArrayLike = 0.01,
    batch_size: int = 512,
    first_epoch: jax.Array | int = 0,
) -> tuple[Tables, jax.Array]:
    """Ranks what a user knows above what is drawn from the rest of the catalog.

    Every known pair is seen once an epoch, in an order of `(seed, epoch)`, against an item drawn
    uniformly among those that its user does not know.

    >>> from jaxdl import recommenders
    >>> pairs = data.Dataset({"user": np.array([0, 1]), "item": np.array([0, 0])})
    >>> known = recommenders.ItemLists.of(pairs, num_users=2, num_items=2)
    >>> params = {"user": jnp.zeros((2, 3)), "item": jnp.zeros((2, 3)), "mean": jnp.zeros(())}
    >>> params, history = pairwise_sgd(params, known, epochs=50, seed=0, batch_size=2)
    >>> history[0], jnp.argmax(params["item"][:, -1])  # log 2; both users know item 0
    (Array(0.693, dtype=float32), Array(0, dtype=int32))

    Args:
        params: of `recommenders.MatrixFactorization`; the mean stays as it is.
        known: items of each user.
        loss: `(positive, negative) -> [B]`, of scores.
        learning_rate, l2: the step is `row -= learning_rate * (gradient + l2 * row)` for each
            example, those of a batch added up.
        batch_size: a CPU is quickest where the rows of a batch stay in its cache, as 512 of 32 do.
        first_epoch: the number of the first one, of which the orders and negatives are a function:
            two calls of one epoch, the second with 1 here, are one call of two.
    Returns: the tables, and the mean loss of each epoch.
    Raises: ValueError if the batch size is not in 1..number of pairs.
    """
    num_pairs, num_users = len(known.items), len(known.offsets) - 1
    owner = jnp.repeat(
        jnp.arange(num_users), jnp.diff(known.offsets), total_repeat_length=num_pairs
    )
    key = jax.random.key(seed)

    def draw(epoch: jax.Array) -> Any:
        pair, mask = _order(num_pairs, batch_size, seed, epoch)
        user, positive = owner[pair], known.items[pair]
        negative = sample_negatives(jax.random.fold_in(key, epoch), known, user)
        mask &= negative < known.num_items  # who knows everything teaches nothing
        return user, (positive, jnp.minimum(negative, known.num_items - 1)), mask, None

    def score(user: jax.Array, items: tuple[jax.Array, ...], _: None) -> jax.Array:
        return loss(*(factor_scores(user, item) for item in items))

    return _descend(
        params, draw, score, first_epoch + jnp.arange(epochs), num_pairs, learning_rate, l2
    )


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
    first_epoch: jax.Array | int = 0,
) -> tuple[Tables, jax.Array]:
    """Fits ratings: columns "user", "item", "rating" `[N]`; the rest as in `pairwise_sgd`.

    >>> ratings = {"user": [0, 1], "item": [0, 1], "rating": [4.0, 2.0]}
    >>> params = {"user": jnp.zeros((2, 3)), "item": jnp.zeros((2, 3)), "mean": jnp.array(3.0)}
    >>> params, _ = pointwise_sgd(
    ...     params, ratings, epochs=100, seed=0, batch_size=2, l2=0.0, learning_rate=0.1
    ... )
    >>> params["mean"] + factor_scores(params["user"], params["item"])
    Array([4., 2.], dtype=float32)
    """
    users, items, targets = (jnp.asarray(ratings[name]) for name in ("user", "item", "rating"))
    mean = params["mean"]

    def draw(epoch: jax.Array) -> Any:
        index, mask = _order(len(users), batch_size, seed, epoch)
        return users[index], (items[index],), mask, targets[index]

    def score(user: jax.Array, items: tuple[jax.Array, ...], target: jax.Array) -> jax.Array:
        return loss(mean + factor_scores(user, *items), target)

    return _descend(
        params, draw, score, first_epoch + jnp.arange(epochs), len(users), learning_rate, l2
    )


def _order(
    num_examples: int, batch_size: int, seed: ArrayLike, epoch: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Examples of an epoch, a row for each batch, and where they are real."""
    steps = data.num_batches(num_examples, batch_size)
    position = jnp.arange(steps * batch_size).reshape(steps, batch_size)
    within = jnp.minimum(position, num_examples - 1)
    return data.shuffled(within, num_examples, seed, epoch), position < num_examples


def _descend(
    params: Tables,
    draw: Callable[[jax.Array], Any],
    score: Callable[..., jax.Array],
    epochs: jax.Array,
    num_examples: int,
    learning_rate: ArrayLike,
    l2: ArrayLike,
) -> tuple[Tables, jax.Array]:
    rate = jnp.asarray(learning_rate)

    def step(tables: tuple[jax.Array, jax.Array], batch: Any) -> Any:
        user_table, item_table = tables
        user, items, mask, target = batch

        def total(user_rows: jax.Array, item_rows: tuple[jax.Array, ...]) -> jax.Array:
            return jnp.sum(jnp.where(mask, score(user_rows, item_rows, target), 0))

        def move(row: jax.Array, gradient: jax.Array) -> jax.Array:
            return -rate * (gradient + l2 * jnp.where(mask[:, None], row, 0))

        rows = user_table[user], tuple(item_table[item] for item in items)
        value, gradients = jax.value_and_grad(total, argnums=(0, 1))(*rows)
        user_moves, item_moves = jax.tree.map(move, rows, gradients)
        user_table = user_table.at[user].add(user_moves)
        for item, moves in zip(items, item_moves, strict=True):
            item_table = item_table.at[item].add(moves)
        return (user_table, item_table), value

    def epoch(tables: tuple[jax.Array, jax.Array], number: jax.Array) -> Any:
        tables, values = jax.lax.scan(step, tables, draw(number))
        return tables, jnp.sum(values) / num_examples

    tables = params["user"], params["item"]
    (user, item), history = jax.lax.scan(epoch, tables, epochs)
    return {**params, "user": user, "item": item}, history
