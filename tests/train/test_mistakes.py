"""What people hand to the engine by mistake is one sentence that says what belongs there."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import data, losses, models, objectives, train

X = np.ones((6, 2), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])
SPLIT = data.Dataset({"x": X, "label": Y})


def made(loss=losses.softmax_cross_entropy, **options):
    objective = objectives.supervised(models.MLP((3,)), loss, inputs="x", **options)
    return train.make(objective, optax.sgd(0.1))


def fitted(split=SPLIT, trainer=None, **options):
    return train.fit(trainer or made(), split, epochs=1, batch_size=4, **options)


@pytest.mark.parametrize(
    ("split", "held_out", "message"),
    [
        ({"x": X, "label": Y}, None, "train needs a data.Dataset of columns, .* got dict"),
        ((X, Y), None, "train needs a data.Dataset of columns, .* got tuple"),
        (SPLIT, SPLIT, "held_out needs splits by name, .* got Dataset"),
        (SPLIT, {"test": (X, Y)}, "test needs a data.Dataset of columns, .* got tuple"),
        (data.Dataset({"x": X, "label": list("abcabc")}), None, "train label holds <U1, not num"),
    ],
)
def test_what_is_no_split_is_named(split, held_out, message):
    with pytest.raises(TypeError, match=message):
        fitted(split, held_out=held_out)
    with pytest.raises(TypeError, match=message):
        train.sweep(
            lambda hyper: made(),
            {"seed": [0]},
            split,
            epochs=1,
            batch_size=4,
            held_out=held_out or {},
        )
    if held_out is None:
        with pytest.raises(TypeError, match=message):
            train.evaluate(made(), None, split)


@pytest.mark.parametrize("option", ["preprocess", "none", "augment"])
def test_a_column_that_the_batch_lacks_is_named_with_those_it_has(option):
    def scaled(*args):
        return {**args[-1], "x": args[-1]["image"] / 255}

    options = {} if option == "none" else {option: scaled}
    split = data.Dataset({"y" if option == "none" else "x": X, "label": Y})
    wanted = "x" if option == "none" else "image"
    there = "'label', 'mask', 'y'" if option == "none" else "'label', 'mask', 'x'"
    with pytest.raises(ValueError, match=f"the batch has no column '{wanted}'; there are {there}"):
        fitted(split, made(**options))


def test_a_batch_that_names_its_columns_is_a_pytree_like_any_dict():
    def scaled(batch):
        batch = jax.tree.map(lambda x: x, batch)
        assert jax.tree.structure(dict(batch)) != jax.tree.structure(batch["x"])
        paths = jax.tree_util.tree_leaves_with_path(batch)
        assert [path for path, _ in paths] == [
            path for path, _ in jax.tree_util.tree_leaves_with_path(dict(batch))
        ]
        with pytest.raises(KeyError):  # as of any dict
            batch["weight"]
        return batch | {"x": batch["x"] * batch.get("weight", 2.0)}

    twice = fitted(trainer=made(preprocess=scaled)).state.params
    plain = fitted(data.Dataset({"x": 2 * X, "label": Y})).state.params
    np.testing.assert_array_equal(twice["head"]["kernel"], plain["head"]["kernel"])


def test_hyperparameters_of_other_names_are_named():
    def member(hyper):
        return train.make(made, optax.sgd(hyper["lr"]))

    with pytest.raises(ValueError, match="hypers have no column 'lr'; there are 'rate'"):
        train.sweep(member, {"rate": [0.1]}, SPLIT, epochs=1, batch_size=4)


def test_an_optimizer_that_was_not_called_is_named():
    with pytest.raises(ValueError, match=r"as optax.adam\(1e-3\) is; got adam"):
        train.make(made, optax.adam)


def test_a_loss_that_is_a_mean_already_is_refused():
    def mean(logits, labels):
        return jnp.mean(losses.softmax_cross_entropy(logits, labels))

    with pytest.raises(ValueError, match=r"each of 4 examples, .* gave the shape \(\)"):
        fitted(trainer=made(mean))


def test_labels_of_another_dtype_are_told_both_forms():
    split = data.Dataset({"x": X, "label": Y.astype(np.float32)})
    with pytest.raises(ValueError, match=r"labels are integers \(4,\), .* got float32 \(4,\)"):
        fitted(split)


def test_a_loss_that_is_no_number_is_told_once_and_the_data_to_blame_named():
    spoilt = X.copy()
    spoilt[[1, 4], 0] = np.nan, np.inf
    split = data.Dataset({"x": spoilt, "label": Y})
    told = "epoch 1 is nan; column 'x' holds NaN or infinities in 2 of 6 rows, the first in row 1"
    with pytest.warns(RuntimeWarning, match=told) as seen:
        train.fit(made(), split, epochs=3, batch_size=4)
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted()
    steep = train.make(objectives.supervised(models.MLP((3,)), big, inputs="x"), optax.sgd(0.1))
    with pytest.warns(RuntimeWarning, match="epoch 1 is inf; `train.make") as seen:
        fitted(trainer=steep)


def big(logits, labels):
    return losses.softmax_cross_entropy(logits, labels) + 3e38 + 3e38


def test_columns_may_be_lists_and_tensors_but_no_single_numbers():
    split = data.Dataset({"x": X.tolist(), "label": jnp.asarray(Y)})
    assert split["x"].shape == (6, 2)
    assert split.take([1, 3])["label"].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"a row an example; \['label'\] are one number"):
        data.Dataset({"x": X, "label": 3})
