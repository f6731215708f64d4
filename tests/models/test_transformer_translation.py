"""The transformer that translates, against torch's encoder and decoder layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import decode, models, objectives
from jaxdl.models.transformer_translation import sinusoid
from tests.references import reference

torch = reference("torch")
V, D, L, N = 11, 8, 2, 2
BOS, EOS = 2, 3
SOURCE = np.array([[4, 5, 6, 7, 3], [8, 3, 0, 0, 0], [9, 9, 3, 0, 0]], np.int32)
TARGET = np.array([[2, 5, 6, 9], [2, 7, 3, 0], [2, 4, 4, 4]], np.int32)
MODEL = models.TransformerSeq2Seq(V, V, dim=D, num_layers=L, num_heads=N, mlp_dim=12)


class Twin(torch.nn.Module):
    """Embeddings with sines, torch's layers with their norms first, a last layer."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        self.source, self.target = nn.Embedding(V, D), nn.Embedding(V, D)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(D, N, 12, **options),
            L,
            nn.LayerNorm(D),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(D, N, 12, **options), L, nn.LayerNorm(D)
        )
        self.head = nn.Linear(D, V)
        for p in self.parameters():  # biases and norms begin as zeros and ones
            nn.init.normal_(p, std=0.4)

    def forward(self, source, target):
        def embed(table, ids):
            rates = 10_000 ** -(torch.arange(D // 2) / (D // 2))
            angle = torch.arange(ids.shape[1])[:, None] * rates
            return table(ids) * D**0.5 + torch.cat([angle.sin(), angle.cos()], dim=-1)

        padding, T = source == 0, target.shape[1]
        memory = self.encoder(embed(self.source, source), src_key_padding_mask=padding)
        later = torch.ones(T, T, dtype=torch.bool).triu(1)
        x = self.decoder(
            embed(self.target, target),
            memory,
            tgt_mask=later,
            memory_key_padding_mask=padding,
        )
        return self.head(x)


def from_torch(state):
    """Our tree of arrays by torch's names."""

    def dense(name):
        return {"kernel": state[f"{name}.weight"].T, "bias": state[f"{name}.bias"]}

    def norm(name):
        return {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}

    def attention(name, query, key, value, out):
        parts = {}
        weights = np.split(state[f"{name}.in_proj_weight"], 3)
        biases = np.split(state[f"{name}.in_proj_bias"], 3)
        for ours, weight, bias in zip((query, key, value), weights, biases, strict=True):
            parts[ours] = {"kernel": weight.T, "bias": bias}
        return {**parts, out: dense(f"{name}.out_proj")}

    def layer(name, decodes):
        found = attention(f"{name}.self_attn", "query", "key", "value", "out")
        found |= {"norm1": norm(f"{name}.norm1"), "up": dense(f"{name}.linear1")}
        found["down"] = dense(f"{name}.linear2")
        found["norm2"] = norm(f"{name}.norm{3 if decodes else 2}")
        if decodes:
            names = [f"memory_{part}" for part in ("query", "key", "value", "out")]
            found |= attention(f"{name}.multihead_attn", *names)
            found["memory_norm"] = norm(f"{name}.norm2")
        return found

    def stack(name, decodes):
        layers = [layer(f"{name}.layers.{i}", decodes) for i in range(L)]
        return {"block": jax.tree.map(lambda *x: np.stack(x), *layers)}

    return {
        "source": {"embedding": state["source.weight"]},
        "target": {"embedding": state["target.weight"]},
        "encoder": stack("encoder", False),
        "decoder": stack("decoder", True),
        "encoder_norm": norm("encoder.norm"),
        "decoder_norm": norm("decoder.norm"),
        "head": dense("head"),
    }


@pytest.fixture(scope="module")
def twin():
    torch.manual_seed(0)
    return Twin()


@pytest.fixture(scope="module")
def params(twin):
    arrays = {name: p.detach().numpy() for name, p in twin.named_parameters()}
    return jax.tree.map(jnp.asarray, from_torch(arrays))


@pytest.mark.parametrize("remat", [False, True])
def test_logits_and_every_gradient_are_torchs(twin, params, remat):
    twin.zero_grad()
    theirs = twin(torch.tensor(SOURCE), torch.tensor(TARGET))
    (theirs**2).mean().backward()

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def gradient(params):
        logits, _ = MODEL.clone(remat=remat).apply({"params": params}, SOURCE, TARGET, train=True)
        return jnp.mean(logits**2), logits

    (_, logits), grads = gradient(params)
    np.testing.assert_allclose(logits, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    want = from_torch({name: p.grad.numpy() for name, p in twin.named_parameters()})
    for (path, ours), given in zip(
        jax.tree.leaves_with_path(grads), jax.tree.leaves(want), strict=True
    ):
        atol = 1e-5 * np.abs(given).max() + 1e-6
        np.testing.assert_allclose(ours, given, rtol=1e-3, atol=atol, err_msg=str(path))


def searched(params, source, steps, **options):
    @jax.jit
    def search(source):
        step, cache = models.seq2seq_step(MODEL, params, source, steps)
        start = jnp.full(len(source), BOS)
        if not options:
            return decode.greedy(step, cache, start, steps, end_id=EOS)
        axes = {"carry_axis": MODEL.carry_axis}
        return decode.beam_search(step, cache, start, steps, end_id=EOS, **options, **axes)

    return search(source)


def test_decoding_with_a_cache_is_reading_all_anew(params):
    """Token for token, of sources of several lengths at once."""
    steps = 5
    found = searched(params, SOURCE, steps)
    read = np.full((len(SOURCE), 1), BOS)
    for _ in range(steps):
        logits, _ = MODEL.apply({"params": params}, SOURCE, read, train=False)
        read = np.concatenate([read, np.asarray(logits)[:, -1:].argmax(-1)], axis=1)
    for row, length, want in zip(found.tokens, found.lengths, read[:, 1:], strict=True):
        np.testing.assert_array_equal(row[:length], want[:length])
    assert found.lengths.max() > 1

    # A beam as wide as the space of sequences finds what trying them all finds.
    step, cache = models.seq2seq_step(MODEL, params, SOURCE, 2)
    axes = {"carry_axis": MODEL.carry_axis}
    start = jnp.full(len(SOURCE), BOS)
    every = decode.exhaustive(step, cache, start, 2, vocab_size=V, num_best=3, end_id=EOS, **axes)
    beam = searched(params, SOURCE, 2, beam_size=V * V)
    np.testing.assert_allclose(beam.scores[:, :3], every.scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(beam.tokens[:, 0], every.tokens[:, 0])


def test_a_full_cache_is_an_error(params):
    step, cache = models.seq2seq_step(MODEL, params, SOURCE, 1)
    cache, _ = step(cache, jnp.full(len(SOURCE), BOS))
    with pytest.raises(ValueError, match="a cache of 1 is full: 2 tokens were read"):
        step(cache, jnp.full(len(SOURCE), BOS))


def test_beams_of_a_batch_are_those_of_each_sentence(params):
    together = searched(params, SOURCE, 4, beam_size=3)
    alone = searched(params, SOURCE[1:2, :2], 4, beam_size=3)
    for got, want in zip(together, alone, strict=True):
        np.testing.assert_allclose(got[1:2], want, rtol=1e-4, atol=1e-5)


def test_the_objective_of_translation_trains_it(params):
    objective = objectives.translation(MODEL, bos_id=BOS)
    target = np.array([[5, 6, 3], [7, 3, 0], [4, 3, 0]])
    batch = {"source": SOURCE, "target": target, "mask": np.array([True, True, False])}
    loss, _ = objective(params, {}, batch, jax.random.key(0), train=False)
    logits, _ = MODEL.apply({"params": params}, SOURCE, TARGET[:, :3], train=False)
    read = np.array([[BOS, 5, 6], [BOS, 7, 3]])
    logits, _ = MODEL.apply({"params": params}, SOURCE[:2], read, train=False)
    log_p = jax.nn.log_softmax(logits)
    want = [log_p[0, 0, 5], log_p[0, 1, 6], log_p[0, 2, 3], log_p[1, 0, 7], log_p[1, 1, 3]]
    assert loss.compute() == pytest.approx(-np.mean(want), rel=1e-5)


def test_one_table_serves_both_sides_and_the_last_layer():
    """Base: 2 x 6 layers of 3.15 and 4.2 million, and 37,000 rows of 512."""
    base = models.TransformerBase()
    shapes = jax.eval_shape(
        lambda: base.init(
            jax.random.key(0), jnp.zeros((1, 3), int), jnp.zeros((1, 2), int), train=False
        )
    )["params"]
    assert set(shapes) == {"target", "encoder", "decoder", "encoder_norm", "decoder_norm"}
    attention, mlp, norm = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
    layers = 6 * (attention + mlp + 2 * norm) + 6 * (2 * attention + mlp + 3 * norm)
    sizes = sum(x.size for x in jax.tree.leaves(shapes))
    assert sizes == layers + 2 * norm + 37_000 * 512  # 63 million; the paper says 65

    small = MODEL.clone(shared=True)
    variables = small.init(jax.random.key(0), SOURCE, TARGET, train=False)
    logits, _ = small.apply(variables, SOURCE, TARGET, train=False)
    step, cache = models.seq2seq_step(small, variables["params"], SOURCE, 4)
    for t in range(4):
        cache, got = step(cache, TARGET[:, t])
        np.testing.assert_allclose(got, logits[:, t], rtol=1e-4, atol=1e-5)


def test_sines_and_cosines_are_the_papers():
    x = sinusoid(jnp.array([[0, 3]]), 6)
    want = [3 / 10_000 ** (i / 3) for i in range(3)]
    np.testing.assert_allclose(x[0, 1], np.concatenate([np.sin(want), np.cos(want)]), rtol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sinusoid(jnp.arange(3), 5), "in pairs, got a width of 5"),
        (
            lambda: models.TransformerSeq2Seq(4, 5, shared=True).init(
                jax.random.key(0), SOURCE, TARGET, train=False
            ),
            "one vocabulary, got sizes of 4 and 5",
        ),
        (
            lambda: MODEL.init(jax.random.key(0), SOURCE[0], TARGET, train=False),
            r"source needs shape \[B, S\] and integers, got \(5,\)",
        ),
        (lambda: models.seq2seq_step(MODEL, {}, SOURCE), "needs num_steps, the size of its cache"),
        (
            lambda: MODEL.clone(num_heads=3).init(jax.random.key(0), SOURCE, TARGET, train=False),
            "3 heads do not divide a width of 8",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
