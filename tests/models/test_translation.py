import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import decode, models, nn, objectives
from tests.slopes import assert_slopes

V, BOS, EOS = 9, 2, 3
SOURCE = jnp.array([[4, 5, 6, 7, 3], [8, 3, 0, 0, 0]], jnp.int32)
TARGET = jnp.array([[5, 6, 3, 0], [7, 3, 0, 0]], jnp.int32)
ATTENTIONS = ("additive", "dot", None)


def build(attention, **options):
    model = models.Seq2Seq(V, V, embed_dim=5, hidden_size=6, attention=attention, **options)
    init = jax.jit(lambda key: model.init(key, SOURCE, TARGET, train=False))
    return model, init(jax.random.key(0))["params"]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_stepping_equals_teacher_forcing_and_padding_changes_nothing(attention):
    model, params = build(attention)
    read = jnp.pad(TARGET[:, :-1], ((0, 0), (1, 0)), constant_values=BOS)
    forward = jax.jit(lambda s: model.apply({"params": params}, s, read, train=False))
    logits, weights = forward(SOURCE)
    assert logits.shape == (2, 4, V)
    assert weights.shape == (2, 4, 5)
    if attention:
        np.testing.assert_allclose(weights.sum(axis=-1), np.ones((2, 4)), rtol=1e-5)
        np.testing.assert_array_equal(weights[1, :, 2:], np.zeros((4, 3)))  # padding

    @jax.jit
    def stepped(source):
        step, h = models.seq2seq_step(model, params, source)
        return jax.lax.scan(step, h, read.T)[1]

    np.testing.assert_allclose(jnp.swapaxes(stepped(SOURCE), 0, 1), logits, rtol=1e-5, atol=1e-5)
    padded = forward(jnp.pad(SOURCE, ((0, 0), (0, 3))))[0]
    np.testing.assert_allclose(padded, logits, rtol=1e-5, atol=1e-5)


def test_a_decoder_step_with_the_reset_gate_before_is_the_papers_formula():
    """Bahdanau et al. 2015, appendix A.1.2: the gate is applied to s, not to its product."""
    model, params = build(None, cell=nn.GRUCell(reset_after=False))
    assert "bias_hn" not in params["decoder"]
    step, s = models.seq2seq_step(model, params, SOURCE)
    summary = model.apply({"params": params}, SOURCE, train=False, method="encode")[0].summary
    y = params["target"]["embedding"][jnp.array([5, 7])]
    a = y @ params["project"]["kernel"] + params["project"]["bias"][None]
    a = a + summary @ params["decoder"]["kernel_ch"]
    U_r, U_z, U = jnp.split(params["decoder"]["kernel_hh"], 3, axis=1)
    a_r, a_z, a_s = jnp.split(a, 3, axis=1)
    r, z = jax.nn.sigmoid(a_r + s @ U_r), jax.nn.sigmoid(a_z + s @ U_z)
    want = z * s + (1 - z) * jnp.tanh(a_s + (r * s) @ U)
    got, _ = step(s, jnp.array([5, 7]))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_beams_of_a_batch_are_those_of_each_sentence(attention):
    model, params = build(attention)

    @jax.jit
    def search(source):
        step, h = models.seq2seq_step(model, params, source)
        start = jnp.full(len(source), BOS)
        return decode.beam_search(step, h, start, 4, beam_size=3, end_id=EOS)

    together, alone = search(SOURCE), search(SOURCE[1:, :2])
    for got, want in zip(together, alone, strict=True):
        np.testing.assert_allclose(got[1:], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_objective_masks_padding_and_reaches_every_parameter(attention):
    model, params = build(attention)
    objective = objectives.translation(model, bos_id=BOS)
    batch = {"source": SOURCE, "target": TARGET, "mask": jnp.array([True, False])}

    def loss(params):
        mean, _ = objective(params, {}, batch, jax.random.key(0), train=True)
        return mean.compute()

    value = jax.jit(loss)(params)
    read = jnp.array([[BOS, 5, 6]])
    logits, _ = model.apply({"params": params}, SOURCE[:1], read, train=False)
    log_p = jax.nn.log_softmax(logits)[0]
    want = -np.mean([log_p[t, token] for t, token in enumerate((5, 6, EOS))])
    assert value == pytest.approx(want, rel=1e-5)
    assert_slopes(loss, params)


def test_scheduled_sampling_feeds_back_its_own_tokens_in_training_only():
    model, params = build("dot")
    batch = {"source": SOURCE, "target": TARGET, "mask": jnp.ones(2, bool)}

    def loss(sampling, training):
        objective = objectives.translation(model, bos_id=BOS, sampling=sampling)
        mean, _ = objective(params, {}, batch, jax.random.key(0), train=training)
        return float(mean.compute())

    read = jnp.pad(TARGET[:, :-1], ((0, 0), (1, 0)), constant_values=BOS)
    logits, _ = model.apply({"params": params}, SOURCE, read, train=False)
    own = jnp.argmax(logits[:, :-1], axis=-1)
    read = jnp.pad(own, ((0, 0), (1, 0)), constant_values=BOS)
    logits, _ = model.apply({"params": params}, SOURCE, read, train=False)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), TARGET[..., None], axis=-1)[..., 0]
    want = -jnp.sum(jnp.where(TARGET > 0, log_p, 0)) / jnp.sum(TARGET > 0)
    assert loss(1.0, True) == pytest.approx(float(want), rel=1e-5)
    assert loss(1.0, False) == loss(0.0, False) == pytest.approx(loss(0.0, True))
    with pytest.raises(ValueError, match="sampling"):
        loss(1.5, True)
