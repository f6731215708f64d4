import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import losses, models, nn

V = 7
FAMILY = {
    "rnn": {"cell": nn.RNNCell()},
    "gru": {"cell": nn.GRUCell(), "num_layers": 2},
    "gru before": {"cell": nn.GRUCell(reset_after=False), "embed_dim": 4},
    "lstm": {"cell": nn.LSTMCell(), "embed_dim": 5, "num_layers": 2, "dropout": 0.5},
    "tied": {"cell": nn.LSTMCell(), "embed_dim": 5, "tied": True, "init_scale": 0.1},
}


@pytest.mark.parametrize("options", FAMILY.values(), ids=FAMILY)
def test_shape_causality_padding_and_a_gradient_in_every_leaf(options):
    """T5, T12: each logit depends on its past alone; padding does nothing; every leaf learns."""
    model = models.LanguageModel(V, hidden_size=5, **options)
    tokens = jnp.array([[1, 2, 3, 4, 5], [6, 5, 4, 3, 2]])
    params = model.init(jax.random.key(0), tokens, train=False)["params"]

    @jax.jit
    def run(params, tokens, lengths):
        logits, state = model.apply({"params": params}, tokens, lengths=lengths, train=False)
        nll = losses.softmax_cross_entropy(logits, jnp.roll(tokens, -1, axis=1))
        valid = jnp.arange(5)[None] < lengths[:, None]
        return jnp.sum(jnp.where(valid, nll, 0)), (logits, state)

    lengths = jnp.array([5, 3])
    grads, (logits, state) = jax.grad(run, has_aux=True)(params, tokens, lengths)
    assert logits.shape == (2, 5, V)
    assert all(jnp.any(g != 0) for g in jax.tree.leaves(grads))
    other = tokens.at[0, 3].set(0).at[1, 4].set(0)
    _, (changed, state_changed) = run(params, other, lengths)
    np.testing.assert_allclose(changed[0, :3], logits[0, :3], atol=1e-6)
    assert jnp.abs(changed[0, 3:] - logits[0, 3:]).max() > 1e-4
    np.testing.assert_allclose(changed[1, :3], logits[1, :3], atol=1e-6)
    for a, b in zip(state, state_changed, strict=True):
        np.testing.assert_allclose(a[:, 1], b[:, 1], atol=1e-6)


def test_small_lstm_has_the_published_size():
    """4.65 million: 2 x 10,000 x 200, twice 4 x 200 x (400 + 1), and 10,000 biases."""
    model = models.LSTMSmall(vocab_size=10_000)
    tokens = jnp.zeros((1, 1), jnp.int32)
    shapes = jax.eval_shape(lambda k: model.init(k, tokens, train=False), jax.random.key(0))
    count = sum(x.size for x in jax.tree.leaves(shapes))
    assert count == 2 * 10_000 * 200 + 2 * 4 * 200 * 401 + 10_000


def test_tied_weights_need_one_width_and_tokens_are_integers():
    tokens = jnp.zeros((1, 2), jnp.int32)
    with pytest.raises(ValueError, match="embed_dim = hidden_size"):
        models.LanguageModel(V, embed_dim=4, hidden_size=5, tied=True).init(
            jax.random.key(0), tokens, train=False
        )
    with pytest.raises(ValueError, match="integers"):
        models.LanguageModel(V).init(jax.random.key(0), tokens.astype(float), train=False)
