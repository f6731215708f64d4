"""Objectives of recommenders: pairs of items ranked, and tables of ratings filled in."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import data, losses, metrics
from jaxdl.train._objective import Aux, Objective

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def pairwise(model: Any, known: data.ItemLists, loss: Loss = losses.bpr_loss) -> Objective:
    """Ranks "item" above an item drawn uniformly among those that "user" does not know.

    >>> from jaxdl import models
    >>> from jaxdl.train import linen_init, make_eval
    >>> model, ids = models.MatrixFactorization(2, 4, init_scale=0.0), np.arange(2)
    >>> known = data.ItemLists.of(data.Split({"user": ids, "item": ids}), num_users=2, num_items=4)
    >>> batch = {"user": ids, "item": ids, "mask": np.ones(2, bool)}
    >>> params, _ = linen_init(model, jax.random.key(0), ids, items=ids)
    >>> jax.jit(make_eval(pairwise(model, known)))(params, {}, batch)["loss"].compute()  # log 2
    Array(0.693, dtype=float32)

    Args:
        model: called as `model(users [B], items [B], train=...)`, its output a logit.
        known: items of each user; a user who knows everything teaches nothing.
        loss: `(positive, negative) -> [B]`, of logits.
    Returns: an objective for batches of "user", "item" and "mask", all `[B]`.
    """

    def objective(params: Any, model_state: Any, batch: Any, key: Any, *, train: bool) -> Any:
        def score(items: jax.Array) -> jax.Array:
            scores: Any = model.apply({"params": params}, batch["user"], items, train=train)
            return scores

        negative = data.sample_negatives(key, known, batch["user"])
        counted = batch["mask"] & (negative < known.num_items)
        ranked = loss(score(batch["item"]), score(jnp.minimum(negative, known.num_items - 1)))
        return metrics.Mean.from_values(ranked, counted), Aux({}, model_state)

    return objective


def reconstruction(model: Any, loss: Loss = losses.squared_error) -> Objective:
    """The mean loss over observed cells of a table; what the others hold has no part in it.

    >>> from jaxdl import models
    >>> from jaxdl.train import make_eval
    >>> layer = {"kernel": jnp.zeros((3, 3)), "bias": jnp.zeros(3)}
    >>> params = {"encode": layer, "decode": layer}  # predict 0
    >>> ratings = jnp.array([[1.0, 0.0, 3.0]])
    >>> batch = {"ratings": ratings, "observed": ratings > 0, "mask": jnp.array([True])}
    >>> eval_step = make_eval(reconstruction(models.AutoRec(3, hidden=3)))
    >>> jax.jit(eval_step)(params, {}, batch)["loss"].compute()  # (1 + 9) / 2
    Array(5., dtype=float32)

    Args:
        model: called as `model(ratings [B, N], observed [B, N], train=...)`, such as
            `models.AutoRec`; its output is `[B, N]`.
        loss: `(predicted, ratings) -> [B, N]`.
    Returns: an objective for batches of "ratings" and a boolean "observed", both `[B, N]`, and
        "mask" `[B]`.
    """

    def objective(params: Any, model_state: Any, batch: Any, key: Any, *, train: bool) -> Any:
        observed = batch["observed"] & batch["mask"][:, None]
        ratings = jnp.where(observed, batch["ratings"], 0)
        rngs = {"dropout": key}
        predicted: Any = model.apply({"params": params}, ratings, observed, train=train, rngs=rngs)
        return metrics.Mean.from_values(loss(predicted, ratings), observed), Aux({}, model_state)

    return objective
