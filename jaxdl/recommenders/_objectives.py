"""Objectives of recommenders: pairs of items ranked, and tables of ratings filled in."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import losses
from jaxdl.metrics import Mean
from jaxdl.objectives import Batch, Objective, build
from jaxdl.recommenders._interactions import ItemLists, sample_negatives

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def pairwise(module: Any, known: ItemLists, loss: Loss = losses.bpr_loss) -> Objective:
    """Ranks "item" above an item drawn uniformly among those that "user" does not know.

    >>> from jaxdl import data, recommenders
    >>> import numpy as np
    >>> model, ids = recommenders.MatrixFactorization(2, 4, init_scale=0.0), np.arange(2)
    >>> known = recommenders.ItemLists.of(
    ...     data.Dataset({"user": ids, "item": ids}), num_users=2, num_items=4
    ... )
    >>> batch = {"user": ids, "item": ids, "mask": np.ones(2, bool)}
    >>> objective, key = pairwise(model, known), jax.random.key(0)
    >>> params, _ = objective.init(key, batch)
    >>> objective(params, {}, batch, key, train=False)[0].compute()  # log 2
    Array(0.693, dtype=float32)

    Args:
        module: called as `module(users [B], items [B])`, its output a logit.
        known: items of each user; a user who knows everything teaches nothing.
        loss: `(positive, negative) -> [B]`, of logits.
    Returns: an objective for batches of "user", "item" and "mask", all `[B]`.
    """

    def inputs(batch: Batch) -> tuple:
        return batch["user"], batch["item"]

    def score(forward: Callable, batch: Batch, *, key: Any, train: bool) -> tuple[Mean, Any]:
        negative = sample_negatives(key, known, batch["user"])
        counted = batch["mask"] & (negative < known.num_items)
        ranked = loss(
            forward(batch["user"], batch["item"]),
            forward(batch["user"], jnp.minimum(negative, known.num_items - 1)),
        )
        return Mean.from_values(ranked, counted), {}

    return build(module, score, inputs=inputs)


def reconstruction(module: Any, loss: Loss = losses.squared_error) -> Objective:
    """The mean loss over observed cells of a table; what the others hold has no part in it.
    >>> from jaxdl import recommenders
    >>> layer = {"kernel": jnp.zeros((3, 3)), "bias": jnp.zeros(3)}
    >>> params = {"encode": layer, "decode": layer}  # predict 0
    >>> ratings = jnp.array([[1.0, 0.0, 3.0]])
    >>> batch = {"ratings": ratings, "observed": ratings > 0, "mask": jnp.array([True])}
    >>> objective = reconstruction(recommenders.AutoRec(3, hidden=3))
    >>> objective(params, {}, batch, jax.random.key(0), train=False)[0].compute()  # (1 + 9) / 2
    Array(5., dtype=float32)

    Args:
        module: called as `module(ratings [B, N], observed [B, N])`, such as `recommenders.AutoRec`;
            its output is `[B, N]`.
        loss: `(predicted, ratings) -> [B, N]`.
    Returns: an objective for batches of "ratings" and a boolean "observed", both `[B, N]`, and
        "mask" `[B]`.
    """

    def inputs(batch: Batch) -> tuple:
        observed = batch["observed"] & batch["mask"][:, None]
        return jnp.where(observed, batch["ratings"], 0), observed

    def score(forward: Callable, batch: Batch, *, key: Any, train: bool) -> tuple[Mean, Any]:
        ratings, observed = inputs(batch)
        predicted = forward(ratings, observed)
        return Mean.from_values(loss(predicted, ratings), observed), {}

    return build(module, score, inputs=inputs)
