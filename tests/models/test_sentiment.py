import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import models
from tests.references import reference
from tests.slopes import assert_slopes

torch = reference("torch")
V, D = 11, 6
READERS = {
    "gru": models.GRUClassifier(V, embed_dim=D, hidden_size=5),
    "bilstm": models.BiLSTMClassifier(V, embed_dim=D, hidden_size=5),
    "textcnn": models.TextCNN(V, embed_dim=D, filters=4, widths=(2, 3)),
    "textcnn-unpadded": models.TextCNN(V, embed_dim=D, filters=4, widths=(1, 2), padded=False),
}
TOKENS = jnp.array([[3, 4, 5, 6, 2], [7, 8, 0, 0, 0], [0, 0, 0, 0, 0]], jnp.int32)


def init(model):
    return jax.jit(lambda key: model.init(key, TOKENS, train=False))(jax.random.key(0))


@pytest.mark.parametrize("name", READERS)
def test_more_padding_gives_the_same_logits(name):  # T12
    model = READERS[name]
    variables = init(model)

    @jax.jit
    def logits(tokens):
        return model.apply(variables, tokens, train=False)

    short = logits(TOKENS)
    assert short.shape == (3, 2)
    assert jnp.isfinite(short).all()  # the empty review, too
    padded = logits(jnp.pad(TOKENS, ((0, 0), (0, 4))))
    np.testing.assert_allclose(padded, short, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits(TOKENS[1:2, :2])[0], short[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", READERS)
def test_every_parameter_but_frozen_vectors_gets_its_slope(name):
    model = READERS[name].clone(vectors="both")
    params = init(model)["params"]
    frozen = params["words"].pop("frozen")

    def loss(params, frozen=frozen):
        params = {**params, "words": {**params["words"], "frozen": frozen}}
        logits = model.apply({"params": params}, TOKENS, train=False)
        return jnp.sum(jax.nn.log_softmax(logits)[:, 0])

    assert not jax.jit(jax.grad(loss, 1))(params, frozen).any()
    assert_slopes(loss, params)


def test_dropout_is_for_training_and_takes_its_key():  # T11
    model = READERS["textcnn"]
    variables = init(model)

    def logits(seed, train):
        return model.apply(variables, TOKENS, train=train, rngs={"dropout": jax.random.key(seed)})

    assert jnp.array_equal(logits(0, False), logits(1, False))
    assert not jnp.array_equal(logits(0, True), logits(1, True))


@pytest.mark.parametrize("padded", [True, False])
def test_textcnn_is_torch_convolutions_and_maxima(padded):
    """Unpadded: L - width + 1 windows of L words, and zeros where a text is shorter."""
    model = READERS["textcnn"].clone(widths=(3, 5), vectors="tuned", padded=padded)
    params = init(model)["params"]
    p = {key: torch.tensor(np.asarray(value)) for key, value in params.items() if key[0] in "kb"}
    x = np.asarray(params["words"]["tuned"])[np.asarray(TOKENS)] * (TOKENS > 0)[..., None]
    x = torch.tensor(np.asarray(x)).mT
    mask = torch.tensor(np.asarray(TOKENS) > 0)[:, None, :]
    pooled = []
    for i, width in enumerate((3, 5)):
        kernel, bias = p[f"kernel{width}"].permute(2, 1, 0), p["bias"][4 * i : 4 * i + 4]
        padding = "same" if padded else 0
        h = torch.relu(torch.nn.functional.conv1d(x, kernel, bias, padding=padding))
        pooled.append((h * mask[..., 0 if padded else width - 1 :]).amax(dim=-1))
    head = {key: np.asarray(value) for key, value in params["head"].items()}
    want = torch.cat(pooled, dim=1).numpy() @ head["kernel"] + head["bias"]
    got = model.apply({"params": params}, TOKENS, train=False)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_vectors_are_set_and_their_shape_is_checked():
    params = init(READERS["textcnn"])["params"]
    table = np.random.default_rng(0).normal(size=(V, D)).astype(np.float32)
    words = models.with_vectors(params, table)["words"]
    assert set(words) == {"tuned", "frozen"}
    for got in words.values():
        np.testing.assert_array_equal(got, table)
    with pytest.raises(ValueError, match=r"vectors \(11, 6\), the table \(11, 5\)"):
        models.with_vectors(params, table[:, :5])


def test_tokens_of_the_wrong_kind():
    with pytest.raises(ValueError, match=r"tokens need shape \[B, T\]"):
        READERS["gru"].init(jax.random.key(0), jnp.ones((2, 3)), train=False)
