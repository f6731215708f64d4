"""T39: NaN in padding changes no value and no gradient of any masked layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn, ops
from jaxdl.ops._attention import weighted_values

B, T, D = 3, 5, 4
LENGTHS = jnp.array([5, 2, 0])
REAL = np.arange(T)[None] < np.asarray(LENGTHS)[:, None]  # [B, T]
LOOK = jnp.asarray(REAL[:, :, None] & REAL[:, None, :])  # of queries [T] at keys [T]


def recurrent(layer):
    return layer, lambda apply, x: apply(x, lengths=LENGTHS, train=False)


def norm(train):
    def call(apply, x):
        y, _ = apply(x, jnp.asarray(REAL), train=train, mutable=["batch_stats"])
        return jnp.where(REAL[..., None], y, 0)  # what stands in padding is no one's

    return nn.BatchNorm(), call


LAYERS = {
    "rnn": recurrent(nn.RNN(3)),
    "relu": recurrent(nn.Recurrent(nn.RNNCell("relu"), 3, num_layers=2)),
    "gru": recurrent(nn.GRU(3, num_layers=2, bidirectional=True, two_biases=True)),
    "gru-before": recurrent(nn.Recurrent(nn.GRUCell(reset_after=False), 3, bidirectional=True)),
    "lstm": recurrent(nn.LSTM(3, bidirectional=True)),
    "batch-norm": norm(train=True),
    "batch-norm-evaluated": norm(train=False),
    "additive": (nn.AdditiveAttention(3), lambda apply, x: apply(x, x, x, LOOK)),
    "dot": (nn.DotAttention(D), lambda apply, x: apply(x, x, x, LOOK)),
    "heads": (
        nn.MultiHeadAttention(2),
        lambda apply, x: jax.tree.map(
            lambda y: jnp.where(REAL.reshape(B, T, *[1] * (y.ndim - 2)), y, 0)
            if y.shape[:2] == (B, T) else y,
            apply(x, x, x, LOOK[:, None], train=False),
        ),
    ),
    "heads-keys": (
        nn.MultiHeadAttention(2),
        lambda apply, x: apply(jnp.ones((B, 2, D)), x, x, REAL[:, None, None, :], train=False),
    ),
}  # fmt: skip


@pytest.mark.parametrize("filling", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("name", LAYERS)
def test_padding_may_hold_anything(name, filling):
    layer, call = LAYERS[name]
    rng = np.random.default_rng(0)
    clean = np.where(REAL[..., None], rng.normal(size=(B, T, D)), 0).astype(np.float32)
    dirty = np.where(REAL[..., None], clean, np.float32(filling))

    variables = {"params": {}}

    def keep(*args, mutable=(), **kwargs):
        variables.update(layer.init(jax.random.key(0), *args, **kwargs))
        options = {"mutable": mutable} if mutable else {}
        return layer.apply(variables, *args, **options, **kwargs)

    call(keep, jnp.asarray(clean))

    def loss(params, x):
        def apply(*args, **kwargs):
            return layer.apply({**variables, "params": params}, *args, **kwargs)

        out = call(apply, x)
        return sum(jnp.sum(jnp.sin(y) * (1 + y)) for y in jax.tree.leaves(out))

    both = jax.jit(jax.value_and_grad(loss, (0, 1)))
    got, want = both(variables["params"], dirty), both(variables["params"], clean)
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-6, atol=1e-6), got, want)


@pytest.mark.parametrize("score", ["dot", "additive"])
def test_attention_over_padded_keys(score):
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 5, 4)).astype(np.float32)
    seen = np.arange(5) < np.array([3, 5])[:, None]

    def loss(q, k, v):
        if score == "dot":
            out = ops.dot_product_attention(q, k, v, mask=seen[:, None])
        else:
            scores = ops.additive_scores(q, k, jnp.ones(4))
            out = weighted_values(scores, v, seen[:, None], scores.dtype)
        return sum(jnp.sum(jnp.sin(y)) for y in out)

    both = jax.value_and_grad(loss, (0, 2) if score == "additive" else (0, 1, 2))
    spoil = lambda x: np.where(seen[..., None], x, np.float32(np.nan))  # noqa: E731
    keys = k if score == "additive" else spoil(k)  # scores have no mask of their own
    got, want = both(q, keys, spoil(v)), both(q, k, v)
    mask = lambda g: np.where(seen[..., None], g, 0)  # noqa: E731
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6)
    np.testing.assert_allclose(got[1][0], want[1][0], rtol=1e-5, atol=1e-6)
    for g, w in zip(got[1][1:], want[1][1:], strict=True):
        np.testing.assert_allclose(g, mask(w), rtol=1e-5, atol=1e-6)
