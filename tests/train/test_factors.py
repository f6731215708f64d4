"""Factorization epoch by epoch, as a run that is saved between them does it."""

import jax
import numpy as np
import pytest

from jaxdl import data, objectives, recommenders


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_epochs_one_by_one_are_epochs_in_one_call(kind):
    world = recommenders.Interactions.from_splits(data.load("low_rank"))
    model, one = (
        recommenders.MatrixFactorization(world.num_users, world.num_items, 4),
        np.zeros(1, int),
    )
    params, _ = objectives.as_network(model).init(jax.random.key(0), (one, one))
    if kind == "pairwise":
        fit, known = (
            recommenders.pairwise_sgd,
            recommenders.ItemLists.of(world.ratings, world.num_users, world.num_items),
        )
    else:
        fit, known = recommenders.pointwise_sgd, dict(world.ratings.columns)
    whole, history = fit(params, known, epochs=3, seed=0)
    parts, losses = params, []
    for k in range(3):
        parts, loss = fit(parts, known, epochs=1, first_epoch=k, seed=0)
        losses.append(loss[0])
    np.testing.assert_array_equal(history, losses)
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    assert len(set(map(float, losses))) == 3
