"""Labels that are none of the classes are named before the first step, on the host."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import data, losses, models, objectives, train

X = np.zeros((6, 2), np.float32)
GOOD = data.Dataset({"image": X, "label": np.array([0, 1, 2, 0, 1, 2])})
BAD = data.Dataset({"image": X, "label": np.array([0, 1, 3, 0, -1, 2])})


def fitted(objective, split, **options):
    trainer = train.make(objective, optax.sgd(0.1))
    return train.fit(trainer, split, epochs=1, batch_size=4, **options)


@pytest.mark.parametrize(
    "loss",
    [
        losses.softmax_cross_entropy,
        functools.partial(losses.softmax_cross_entropy, label_smoothing=0.1),
        optax.softmax_cross_entropy_with_integer_labels,
    ],
)
@pytest.mark.parametrize("driver", ["stream", "scan"])
def test_a_label_outside_is_named_with_its_split(loss, driver):
    objective = objectives.supervised(models.MLP((3,)), loss)
    wanted = r"train label: expected labels from 0 to 2 \(3 classes\), found 3 in row 2 and 1 more"
    with pytest.raises(data.DataError, match=wanted):
        fitted(objective, BAD, driver=driver)
    with pytest.raises(data.DataError, match="test label: .* found 3 in row 2"):
        fitted(objective, GOOD, held_out={"test": BAD}, driver=driver)


def test_a_trainer_that_was_used_before_looks_at_other_data_too():
    trainer = train.make(
        objectives.supervised(models.MLP((3,)), losses.softmax_cross_entropy), optax.sgd(0.1)
    )
    train.fit(trainer, GOOD, epochs=1, batch_size=4)
    with pytest.raises(data.DataError, match="found 3 in row 2"):
        train.fit(trainer, BAD, epochs=1, batch_size=4)


def test_labels_made_inside_the_step_and_losses_of_ones_own_are_left_alone():
    def clipped(batch):
        return {**batch, "label": jnp.clip(batch["label"], 0, 2)}

    module = models.MLP((3,))
    objective = objectives.supervised(module, losses.softmax_cross_entropy, preprocess=clipped)
    assert np.isfinite(fitted(objective, BAD).history[0]["train/loss"])

    def without_strangers(logits, labels):
        known = (labels >= 0) & (labels < 3)
        return jnp.where(known, losses.softmax_cross_entropy(logits, labels), 0)

    objective = objectives.supervised(module, without_strangers)
    assert np.isfinite(fitted(objective, BAD).history[0]["train/loss"])


@pytest.mark.parametrize("search", [train.sweep, train.successive_halving, train.population])
def test_every_search_looks_too(search):
    def member(hyper):
        objective = objectives.supervised(models.MLP((3,)), losses.softmax_cross_entropy)
        return train.make(objective, optax.sgd(hyper["rate"]))

    def run(split, held):
        choice = {} if search is train.sweep else {"choose_by": "validation/loss", "mode": "min"}
        rates, held_out = {"rate": np.array([0.1, 0.2])}, {"validation": held}
        search(member, rates, split, epochs=1, batch_size=4, held_out=held_out, **choice)

    run(GOOD, GOOD)
    with pytest.raises(data.DataError, match="validation label: .* found 3 in row 2"):
        run(GOOD, BAD)
    with pytest.raises(data.DataError, match="train label: .* found 3 in row 2"):
        run(BAD, GOOD)


def test_tokens_that_no_vocabulary_has_are_named_unless_they_are_padding():
    model = models.LanguageModel(5, hidden_size=2)
    split = data.text.windows(np.array([1, 2, 3, 7, 1, 2, 3, 4] * 3), 4)
    with pytest.raises(data.DataError, match=r"train targets: .* \(5 classes\), found 7"):
        fitted(objectives.language_model(model), split)
    columns = dict(split.columns)
    columns["valid"] = columns["valid"] & (columns["targets"] < 5)
    fitted(objectives.language_model(model), data.Dataset(columns))

    translator = objectives.translation(models.Seq2Seq(4, 6, embed_dim=2, hidden_size=2), bos_id=1)
    pairs = {"source": np.array([[3, 2]]), "target": np.array([[4, 2, 0]])}
    trainer = train.make(translator, optax.sgd(0.1))
    train.fit(trainer, data.Dataset(pairs), epochs=1, batch_size=1)
    pairs["target"] = np.array([[6, 2, 0]])
    with pytest.raises(data.DataError, match=r"train target: .* found 6 in row 0"):
        train.fit(trainer, data.Dataset(pairs), epochs=1, batch_size=1)


def test_what_is_expected_is_said_for_a_step_that_accumulates_too():
    objective = objectives.supervised(models.MLP((3,)), losses.softmax_cross_entropy)
    trainer = train.make(objective, optax.sgd(0.1), accumulate=2, skip_nonfinite=3)
    with pytest.raises(data.DataError, match="found 3 in row 2"):
        train.fit(trainer, BAD, epochs=1, batch_size=4)
    batch = data.host_batch(GOOD, 0, batch_size=4)
    state = trainer.init(jax.random.key(0), batch)
    with objectives.expected() as classes:
        jax.eval_shape(trainer.evaluate, state, batch)
    assert classes == {"label": objectives.Classes(3, None)}
