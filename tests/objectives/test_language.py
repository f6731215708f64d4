import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import data, losses, models, nn, objectives, train

V, T, B = 6, 4, 3
MODEL = models.LanguageModel(V, nn.GRUCell(), hidden_size=5)
OBJECTIVE = objectives.language_model(MODEL, stateful=True)
WINDOWS = objectives.language_model(MODEL)
TOKENS = np.random.default_rng(0).integers(0, V, size=41).astype(np.int32)


@functools.cache
def params():
    return MODEL.init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32), train=False)["params"]


def batch(k):
    return data.host_batch(data.text.streams(TOKENS, T, B), k, batch_size=B)


@jax.jit
def loss(params, model_state, batch):
    mean, aux = OBJECTIVE(params, model_state, batch, jax.random.key(0), train=True)
    return mean.total, (mean, aux)


def test_gradients_do_not_cross_batches():
    """T17: the second batch starts from the state as a constant; its gradient does not see how
    that state came about, nor does the state itself have one."""
    zero = {"carry": MODEL.initial_state(B)}
    _, (_, aux) = loss(params(), zero, batch(0))
    carried = jax.grad(loss, has_aux=True)(params(), aux.model_state, batch(1))[0]

    def through(p):
        _, (_, aux) = loss(p, zero, batch(0))
        return loss(p, aux.model_state, batch(1))[0]

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        jax.grad(through)(params()),
        carried,
    )
    d_state = jax.grad(loss, argnums=1, has_aux=True)(params(), aux.model_state, batch(1))[0]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(d_state))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(aux.model_state))


def test_carrying_the_state_reads_the_text_as_one_and_start_forgets():
    whole = MODEL.apply({"params": params()}, jnp.asarray(TOKENS[None, :-1]), train=False)[0]
    split = data.text.streams(TOKENS, T, 1)
    want = -jax.nn.log_softmax(whole[0])[jnp.arange(40), TOKENS[1:]]
    trainer = train.make(OBJECTIVE, optax.sgd(0.1))
    first = data.host_batch(split, 0, batch_size=1)
    state = trainer.init(jax.random.key(0), first, params=params())
    got = train.evaluate(trainer, state, split, 1)
    np.testing.assert_allclose(got["perplexity"].compute(), np.exp(np.mean(want)), rtol=1e-6)
    noise = {"carry": (jnp.ones((1, 1, 5)),)}  # "start" begins from zeros whatever was there
    again = train.evaluate(trainer, state.replace(model_state=noise), split, 1)
    np.testing.assert_array_equal(again["loss"].total, got["loss"].total)


@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_perplexity_over_ragged_batches_is_that_of_one_batch(batch_size):
    """T1: exp of all nats over all tokens, the last batch and the last window being ragged."""
    split = data.text.windows(TOKENS[:36], T)  # 9 windows, the last with 3 targets
    trainer = train.make(WINDOWS, optax.sgd(0.1))
    state = trainer.init(jax.random.key(0), params=params())
    one = train.evaluate(trainer, state, split, len(split))
    many = train.evaluate(trainer, state, split, batch_size)
    assert one["loss"].weight == 35
    np.testing.assert_allclose(many["perplexity"].compute(), one["perplexity"].compute(), rtol=1e-6)


def test_fit_carries_the_state_in_both_drivers():
    split = data.text.streams(TOKENS, T, B)
    trainer = train.make(OBJECTIVE, optax.sgd(0.5), clip_norm=1.0)
    results = []
    for driver in ("stream", "scan"):
        state = trainer.init(jax.random.key(0), batch(0))
        results.append(
            train.fit(trainer, split, state, epochs=3, batch_size=B, seed=None, driver=driver)
        )
    first, second = (result.history[-1]["train/perplexity"] for result in results)
    np.testing.assert_allclose(first, second, rtol=1e-5)
    assert first < results[0].history[0]["train/perplexity"] < 2 * V


def test_options_of_the_loss_are_for_training_and_perplexity_knows_none_of_them():
    options = {"z_loss": 0.01, "label_smoothing": 0.1}
    objective = objectives.language_model(MODEL, **options)
    one = data.host_batch(data.text.windows(TOKENS, T), 0, batch_size=B)
    plain, of_plain = WINDOWS(params(), {}, one, jax.random.key(0), train=True)
    mean, aux = objective(params(), {}, one, jax.random.key(0), train=True)
    logits, _ = MODEL.apply({"params": params()}, one["tokens"], train=True)
    want = losses.softmax_cross_entropy(logits, one["targets"], **options)
    np.testing.assert_allclose(mean.compute(), want.mean(), rtol=1e-5)
    assert mean.compute() > plain.compute()
    perplexity = (x.metrics["perplexity"].compute() for x in (aux, of_plain))
    np.testing.assert_allclose(next(perplexity), next(perplexity), rtol=1e-6)
    held_out, _ = objective(params(), {}, one, jax.random.key(0), train=False)
    np.testing.assert_allclose(held_out.compute(), plain.compute(), rtol=1e-6)
