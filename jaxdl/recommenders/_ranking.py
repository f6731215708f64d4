"""Ranking metrics over a whole catalog, some users at a time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.metrics import Ranking
from jaxdl.recommenders._interactions import ItemLists


@functools.partial(jax.jit, static_argnames=("score", "ks", "chunk"))
def rank_catalog(
    score: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    users: ArrayLike,
    relevant: ItemLists,
    known: ItemLists | None = None,
    *,
    ks: tuple[int, ...] = (10, 50),
    chunk: int = 64,
) -> Ranking:
    """Ranks all items for each user, some users at a time: `chunk * I` scores are held, not U * I.
    >>> from jaxdl import data, recommenders
    >>> wanted = data.Dataset({"user": np.array([0, 1]), "item": np.array([1, 2])})
    >>> relevant = recommenders.ItemLists.of(wanted, num_users=2, num_items=3)
    >>> scores = jnp.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.8]])
    >>> rank = rank_catalog(lambda table, users: table[users], scores, jnp.arange(2), relevant)
    >>> rank.compute()["mrr"]  # places 2 and 1
    Array(0.75, dtype=float32)

    Args:
        score: `(params, users [chunk]) -> scores [chunk, I]`; compiled once for each function.
        params: passed on to `score`.
        users: ids `[U]`.
        relevant, known: the items to be found, and those to leave out, by user.
        ks: cut-offs of `Ranking`.
        chunk: users at a time.
    Returns: the metric of all users.
    Raises: ValueError for users of another shape, or a chunk below 1.
    """
    users = jnp.asarray(users)
    if users.ndim != 1 or chunk < 1:
        raise ValueError(f"need users [U] and chunk at least 1, got {users.shape} and {chunk}")
    chunk = min(chunk, max(len(users), 1))
    padded = jnp.pad(users, (0, -len(users) % chunk)).reshape(-1, chunk)
    there = (jnp.arange(padded.size) < len(users)).reshape(padded.shape)

    def step(merged: Ranking, part: tuple[jax.Array, jax.Array]) -> tuple[Ranking, None]:
        rows, mask = part
        leave_out = None if known is None else known.rows(rows)
        scores = score(params, rows)
        batch = Ranking.from_batch(scores, relevant.rows(rows), mask, known=leave_out, ks=ks)
        return merged.merge(batch), None

    return jax.lax.scan(step, Ranking.empty(ks), (padded, there))[0]
