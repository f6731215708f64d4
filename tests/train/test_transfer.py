"""Weights by path: what fits is taken, the rest is told; bodies are frozen or slowed."""

import chex
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import losses, objectives, optim, train
from jaxdl.models.weights import LoadReport
from tests.train.problems import blobs


class Net(linen.Module):
    classes: int
    extra: bool = False

    @linen.compact
    def __call__(self, x, *, train: bool):
        x = linen.tanh(linen.Dense(8, name="body")(x))
        if self.extra:
            x = linen.Dense(8, name="neck")(x)
        return linen.Dense(self.classes, name="head")(x)


def params_of(net, seed):
    return objectives.as_network(net).init(jax.random.key(seed), (jnp.zeros((1, 2)),))[0]


OLD, NEW = params_of(Net(5), 0), params_of(Net(3, extra=True), 1)


def test_what_fits_is_taken_and_the_rest_is_told():
    source = {**OLD, "tail": {"kernel": np.zeros(3)}}
    params, report = train.load_pretrained(NEW, source)
    assert report == LoadReport(
        matched=("body/bias", "body/kernel"),
        missing=("neck/bias", "neck/kernel"),
        unexpected=("tail/kernel",),
        reshaped=("head/bias", "head/kernel"),
    )
    for facts in ("2 arrays loaded", "neck/bias", "tail/kernel", "head/kernel"):
        assert facts in str(report)
    chex.assert_trees_all_equal(params["body"], OLD["body"])
    chex.assert_trees_all_equal(params["head"], NEW["head"])


def test_a_flat_dict_of_another_dtype_will_do():
    flat = dict(zip(optim.paths(OLD), map(np.asarray, jax.tree.leaves(OLD)), strict=True))
    flat = {name: value.astype(np.float16) for name, value in flat.items()}
    params, report = train.load_pretrained(OLD, flat)
    assert len(report.matched) == 4
    chex.assert_trees_all_equal_shapes_and_dtypes(params, OLD)
    chex.assert_trees_all_close(params, OLD, atol=1e-3)


def test_a_head_stays_fresh_though_it_would_fit():
    other = params_of(Net(5), 2)
    params, report = train.load_pretrained(other, OLD, fresh=["head/*"])
    assert report.missing == ("head/bias", "head/kernel")
    chex.assert_trees_all_equal(params["head"], other["head"])
    chex.assert_trees_all_equal(params["body"], OLD["body"])


@pytest.mark.parametrize(
    "tx, moves",
    [
        (optim.freeze_paths(optax.sgd(0.1), "body/*"), (0.0, 0.0)),
        (optax.chain(optax.sgd(0.1), optim.scale_by_path({"body/*": 1e-3})), (1e-6, 5e-3)),
    ],
    ids=["frozen", "slowed"],
)
def test_the_body_is_frozen_or_slowed(tx, moves):
    net = Net(3)
    params, _ = train.load_pretrained(params_of(net, 1), OLD, fresh=["head/*"])
    body = jax.tree.map(np.asarray, params["body"])
    head = jax.tree.map(np.asarray, params["head"])
    objective = objectives.supervised(net, losses.softmax_cross_entropy, inputs="x")
    trainer = train.make(objective, tx)
    state = trainer.init(jax.random.key(0), params=params)
    result = train.fit(trainer, blobs(), state, epochs=3, batch_size=8)

    def furthest(new, old):
        return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), new, old)))

    low, high = moves
    assert low <= furthest(result.state.params["body"], body) <= high
    assert furthest(result.state.params["head"], head) > 0.05
    assert result.history[-1]["train/loss"] < result.history[0]["train/loss"]
    chex.assert_trees_all_equal(OLD["body"], params_of(Net(5), 0)["body"])  # the source is intact


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"'haed/\*' matches no parameter.*head/kernel"):
        train.load_pretrained(NEW, OLD, fresh=["haed/*"])
    with pytest.raises(ValueError, match="nothing in the source fits.*body/bias.*x"):
        train.load_pretrained(NEW, {"x": np.zeros(3)})
    with pytest.raises(ValueError, match="list of patterns"):
        train.load_pretrained(NEW, OLD, fresh="head/*")
