"""Transformers against twins built from torch's layers under the published names of weights."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from jaxdl import data, decode, models, objectives, parallel, train
from tests.references import reference

torch = reference("torch")
V, T, D, L, N = 13, 7, 8, 2, 2
SMALL = {"context": 10, "dim": D, "num_layers": L, "num_heads": N}


class GPT2Twin(torch.nn.Module):
    """GPT-2 as it was published: kernels `[in, out]`, tanh's form of GELU, a tied head."""

    def __init__(self):
        super().__init__()
        shapes = {"wte.weight": (V, D), "wpe.weight": (10, D), "ln_f.weight": (D,)}
        shapes["ln_f.bias"] = (D,)
        for i in range(L):
            for name, shape in {
                "ln_1": (D,), "ln_2": (D,), "attn.c_attn": (D, 3 * D), "attn.c_proj": (D, D),
                "mlp.c_fc": (D, 4 * D), "mlp.c_proj": (4 * D, D),
            }.items():  # fmt: skip
                shapes[f"h.{i}.{name}.weight"] = shape
                shapes[f"h.{i}.{name}.bias"] = shape[-1:]
        rng = np.random.default_rng(0)
        self.arrays = {
            name: torch.tensor(
                rng.normal(size=shape) * 0.3, dtype=torch.float32, requires_grad=True
            )
            for name, shape in shapes.items()
        }

    def forward(self, tokens):
        w, F = self.arrays, torch.nn.functional
        x = w["wte.weight"][tokens] + w["wpe.weight"][: tokens.shape[1]]

        def norm(x, name):
            return F.layer_norm(x, (D,), w[f"{name}.weight"], w[f"{name}.bias"])

        for i in range(L):
            y = (
                norm(x, f"h.{i}.ln_1") @ w[f"h.{i}.attn.c_attn.weight"]
                + w[f"h.{i}.attn.c_attn.bias"]
            )
            q, k, v = (
                a.reshape(*a.shape[:2], N, D // N).transpose(1, 2) for a in y.split(D, dim=-1)
            )
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + y @ w[f"h.{i}.attn.c_proj.weight"] + w[f"h.{i}.attn.c_proj.bias"]
            y = norm(x, f"h.{i}.ln_2") @ w[f"h.{i}.mlp.c_fc.weight"] + w[f"h.{i}.mlp.c_fc.bias"]
            y = F.gelu(y, approximate="tanh")
            x = x + y @ w[f"h.{i}.mlp.c_proj.weight"] + w[f"h.{i}.mlp.c_proj.bias"]
        return norm(x, "ln_f") @ w["wte.weight"].T


def tokens(rows=3, length=T, seed=0):
    return np.random.default_rng(seed).integers(0, V, (rows, length))


@pytest.fixture(scope="module")
def small():
    model = models.Transformer(V, **SMALL)
    twin = GPT2Twin()
    state = {name: x.detach().numpy() for name, x in twin.arrays.items()}
    return model, models.gpt2_from_torch(state, model), twin


@pytest.mark.parametrize("remat", [False, True])
def test_gpt2_agrees_with_torch_in_logits_and_every_gradient(small, remat):
    model, params, twin = small
    x = tokens()
    theirs = twin(torch.tensor(x))
    for leaf in twin.arrays.values():
        leaf.grad = None
    (theirs**2).mean().backward()

    @jax.jit
    def gradient(params):
        def loss(params):
            logits, _ = model.clone(remat=remat).apply({"params": params}, x, train=True)
            return jnp.mean(logits**2), logits

        return jax.value_and_grad(loss, has_aux=True)(params)

    (_, logits), grads = gradient(params)
    np.testing.assert_allclose(logits, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    ours = models.gpt2_to_torch(grads)
    for name, leaf in twin.arrays.items():
        want = leaf.grad.numpy()
        np.testing.assert_allclose(
            ours[name], want, rtol=1e-3, atol=1e-5 * np.abs(want).max() + 1e-7
        )


FORMS = {
    "gpt2": {},
    "llama": {
        "context": None, "norm": "rms", "activation": "swiglu", "rotary": 10_000.0,
        "use_bias": False, "tied": False, "num_kv_heads": 1,
    },
    "window": {"window": 3, "soft_cap": 2.0},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_cache_gives_what_reading_all_anew_gives(form):
    """Prompts of several lengths at once, then token by token."""
    model = models.Transformer(V, **{**SMALL, **FORMS[form]})
    x = tokens(length=9)
    params = jax.jit(lambda k: model.init(k, x, train=False))(jax.random.key(0))
    apply = jax.jit(lambda x, *cache, **kw: model.apply(params, x, *cache, train=False, **kw))
    whole, _ = apply(x)
    lengths = np.array([5, 3, 1])
    cache = model.initial_state(3, size=9)
    logits, cache = apply(x[:, :5], cache, lengths=lengths)
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(logits[row, :n], whole[row, :n], rtol=1e-4, atol=1e-5)
    for step in range(4):
        at = lengths + step
        logits, cache = apply(x[np.arange(3), at][:, None], cache)
        np.testing.assert_allclose(logits[:, 0], whole[np.arange(3), at], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(cache.lengths, lengths + 4)


def test_greedy_and_beam_write_what_reading_anew_writes(small):
    model, params, _ = small
    prompt = tokens(2, 3)

    def anew(prompt, steps):
        for _ in range(steps):
            logits, _ = model.apply({"params": params}, prompt, train=False)
            prompt = np.concatenate([prompt, np.asarray(logits[:, -1]).argmax(-1)[:, None]], axis=1)
        return prompt[:, 3:]

    _, cache = model.apply({"params": params}, prompt[:, :-1], model.initial_state(2), train=False)
    step, start = models.token_step(model, params), jnp.asarray(prompt[:, -1])
    found = decode.greedy(step, cache, start, 4, end_id=V)  # never ends
    np.testing.assert_array_equal(found.tokens, anew(prompt, 4))
    options = {"end_id": V, "carry_axis": model.carry_axis}
    every = decode.exhaustive(step, cache, start, 2, vocab_size=V, num_best=2, **options)
    beams = decode.beam_search(step, cache, start, 2, beam_size=V, **options)
    np.testing.assert_array_equal(beams.tokens[:, :2], every.tokens)
    np.testing.assert_allclose(beams.scores[:, :2], every.scores, rtol=1e-4, atol=1e-5)


def test_a_full_cache_is_an_error_or_nan_never_a_wrong_token(small):
    model, params, _ = small
    x, step = tokens(2, 4), models.token_step(model, params)
    lengths = np.array([4, 2])
    state = model.initial_state(2, size=5)
    _, state = model.apply({"params": params}, x, state, lengths=lengths, train=False)
    state, logits = step(state, x[:, 0])  # five in the first row
    assert jnp.isfinite(logits).all()
    with pytest.raises(ValueError, match="a cache of 5 is full: 6 tokens were read"):
        step(state, x[:, 1])
    _, logits = jax.jit(step)(state, x[:, 1])
    assert jnp.isnan(logits[0]).all()
    assert jnp.isfinite(logits[1]).all()  # there is room in the second


@pytest.mark.parametrize("form", ["gpt2", "llama"])
def test_texts_in_one_row_do_not_see_each_other(form):
    model = models.Transformer(V, **{**SMALL, **FORMS[form]})
    x, y = tokens(1, 4), tokens(1, 3, seed=1)
    params = model.init(jax.random.key(0), x, train=False)
    packed = np.concatenate([x, y, np.zeros((1, 2), int)], axis=1)
    segments = jnp.array([[1, 1, 1, 1, 2, 2, 2, 0, 0]])
    logits, _ = model.apply(params, packed, segments=segments, train=False)
    for part, at in ((x, slice(0, 4)), (y, slice(4, 7))):
        want, _ = model.apply(params, part, train=False)
        np.testing.assert_allclose(logits[:, at], want, rtol=1e-4, atol=1e-5)


def test_packed_texts_are_trained_on_as_each_alone(small):
    """Loss and every gradient, of texts of several lengths, one of them longer than a row."""
    model, params, _ = small
    texts = [tokens(1, n, seed=n)[0] for n in (4, 9, 3, 2, 6, 19)]
    split = data.text.packed(texts, 10)
    assert split["valid"].sum() == sum(len(text) - 1 for text in texts)
    objective = objectives.language_model(model)

    def total(params, columns):
        batch = {**columns, "mask": np.ones(len(columns["tokens"]), bool)}
        return objective(params, {}, batch, jax.random.key(0), train=True)[0].total

    pieces = [text[at : at + 11] for text in texts for at in range(0, len(text) - 1, 10)]
    alone, lengths = data.text.pad_sequences([piece[:-1] for piece in pieces], 10)
    after, _ = data.text.pad_sequences([piece[1:] for piece in pieces], 10)
    valid = np.arange(10) < lengths[:, None]
    columns = {"tokens": alone, "targets": after, "valid": valid}
    slope = jax.jit(jax.value_and_grad(total))
    (got, grads), (want, wanted) = slope(params, dict(split.columns)), slope(params, columns)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    for ours, given in zip(jax.tree.leaves(grads), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(ours, given, rtol=1e-3, atol=1e-5 * np.abs(given).max() + 1e-6)


def test_a_later_token_changes_nothing_before_it(small):
    model, params, _ = small
    x = tokens()
    other = x.copy()
    other[:, 4:] = (other[:, 4:] + 1) % V
    one, two = (model.apply({"params": params}, t, train=False)[0] for t in (x, other))
    np.testing.assert_allclose(one[:, :4], two[:, :4], rtol=1e-6, atol=1e-6)
    assert np.abs(one - two)[:, 4:].max() > 1e-2


class ViTTwin(torch.nn.Module):
    """ViT under timm's names."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.cls_token = nn.Parameter(0.3 * torch.randn(1, 1, D))
        self.pos_embed = nn.Parameter(0.3 * torch.randn(1, 5, D))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, D, 4, 4)
        self.blocks = nn.ModuleList()
        for _ in range(L):
            block = nn.Module()
            block.norm1, block.norm2 = nn.LayerNorm(D, eps=1e-6), nn.LayerNorm(D, eps=1e-6)
            block.attn, block.mlp = nn.Module(), nn.Module()
            block.attn.qkv, block.attn.proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
            block.mlp.fc1, block.mlp.fc2 = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
            self.blocks.append(block)
        self.norm, self.head = nn.LayerNorm(D, eps=1e-6), nn.Linear(D, 5)

    def forward(self, x):
        F = torch.nn.functional
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            q, k, v = (
                a.reshape(*a.shape[:2], N, D // N).transpose(1, 2)
                for a in block.attn.qkv(block.norm1(x)).split(D, dim=-1)
            )
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + block.attn.proj(y)
            x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x))))
        return self.head(self.norm(x)[:, 0])


def test_vit_agrees_with_torch_in_logits_and_gradients():
    torch.manual_seed(0)
    model, twin = models.ViT(5, patch=4, dim=D, num_layers=L, num_heads=N), ViTTwin()
    state = {name: x.numpy() for name, x in twin.state_dict().items()}
    params = models.vit_from_torch(state, model)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    theirs = twin(torch.tensor(images.transpose(0, 3, 1, 2)))
    (theirs**2).sum().backward()

    def loss(params):
        logits = model.apply({"params": params}, images, train=True)
        return jnp.sum(logits**2), logits

    (_, logits), grads = jax.value_and_grad(loss, has_aux=True)(params)
    np.testing.assert_allclose(logits, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    slopes = {name: p.grad.numpy() for name, p in twin.named_parameters()}
    want = models.vit_from_torch(slopes, model)
    back = models.vit_to_torch(params)
    assert back.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(back[name], array)
    for ours, given in zip(jax.tree.leaves(grads), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(ours, given, rtol=1e-3, atol=1e-5 * np.abs(given).max() + 1e-6)


@pytest.mark.parametrize(
    "model, inputs, count",
    [
        (models.GPT2(), jnp.zeros((1, 4), jnp.int32), 124_439_808),  # as published
        (models.GPT_1300M(), jnp.zeros((1, 4), jnp.int32), 1_315_723_264),
        (models.ViT_S16(), jnp.zeros((1, 224, 224, 3)), 22_050_664),  # timm's vit_small_patch16_224
    ],
    ids=["gpt2", "1300m", "vit-s16"],
)
def test_published_sizes(model, inputs, count):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), inputs, train=False))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count


def test_a_classifier_reads_no_padding():
    model = models.TransformerClassifier(20, dim=8, num_layers=1, num_heads=2)
    x = np.array([[3, 4, 5, 0, 0], [7, 0, 0, 0, 0], [0] * 5])
    params = model.init(jax.random.key(0), x, train=False)
    whole, short = (model.apply(params, t, train=False) for t in (x, x[:, :3]))
    np.testing.assert_allclose(whole, short, rtol=1e-5, atol=1e-6)
    assert jnp.isfinite(whole).all()


@pytest.mark.parametrize(
    "options, call, message",
    [
        ({"num_heads": 3}, {}, "3 heads do not divide a width of 8"),
        ({"context": 4}, {}, "7 tokens are more than the context of 4"),
        ({"context": None}, {}, "either learned .context. or rotary"),
        ({"rotary": 1e4, "dim": 6}, {}, "even width, got 3"),
        ({}, {"cache": 3}, "7 tokens are more than the cache of 3"),
        ({}, {"cache": 11}, "a cache of 11 does not fit a context of 10"),
    ],
)
def test_mistakes_are_named(options, call, message):
    model = models.Transformer(V, **{**SMALL, **options})

    def read():
        cache = model.initial_state(3, call["cache"]) if call else None
        return model.init(jax.random.key(0), tokens(), cache, train=False)

    with pytest.raises(ValueError, match=message):
        jax.eval_shape(read)


@pytest.mark.parametrize("given", ["nothing", "lengths", "segments"])
@pytest.mark.parametrize("form", ["gpt2", "llama"])
def test_a_text_cut_over_devices_has_the_loss_and_gradients_of_the_whole(form, given):
    options = {"dim": 16, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
    if form == "llama":
        options |= {"norm": "rms", "activation": "swiglu", "rotary": 100.0, "context": None}
    model = models.Transformer(11, **{"context": 32, **options})
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 11, (4, 32)))
    rows = {"lengths": jnp.array([32, 20, 9, 1])}
    rows["segments"] = jnp.repeat(jnp.array([[1, 2, 3, 0]] * 4), jnp.array([3, 14, 9, 6]), axis=1)
    extra = {given: rows[given]} if given in rows else {}
    real = (jnp.arange(32)[None] < rows["lengths"][:, None]) if given == "lengths" else True
    real = rows["segments"] > 0 if given == "segments" else real
    real = jnp.broadcast_to(real, (4, 32))
    params = model.init(jax.random.key(0), tokens, train=False)["params"]

    def loss(model, params, tokens, real, extra):
        logits = model.apply({"params": params}, tokens, train=False, **extra)[0]
        return jnp.sum(jnp.where(real[..., None], jnp.sin(logits), 0)), logits

    mesh, cut = parallel.make_mesh(data=2, model=4), P("data", "model")
    places = {"lengths": P("data"), "segments": cut}

    def of_parts(params, tokens, real, extra):
        def local(params, tokens, real, extra):
            total, logits = loss(model.clone(axis_name="model"), params, tokens, real, extra)
            return jax.lax.psum(total, ("data", "model")), logits

        specs = (P(), cut, cut, {name: places[name] for name in extra})
        run = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=(P(), cut))
        return run(params, tokens, real, extra)

    arguments = params, tokens, real, extra
    whole = jax.jit(jax.value_and_grad(functools.partial(loss, model), has_aux=True))(*arguments)
    parts = jax.jit(jax.value_and_grad(of_parts, has_aux=True))(*arguments)
    for got, want in zip(jax.tree.leaves(parts[0][0]), jax.tree.leaves(whole[0][0]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)
    shown = [jnp.where(real[..., None], logits, 0) for logits in (parts[0][1], whole[0][1])]
    np.testing.assert_allclose(*shown, atol=1e-5)
    for got, want in zip(jax.tree.leaves(parts[1]), jax.tree.leaves(whole[1]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


def test_what_does_not_go_with_a_cut_text_is_refused():
    model = models.Transformer(11, dim=8, num_layers=1, num_heads=2, context=8)
    tokens = jnp.zeros((1, 4), int)
    variables = model.init(jax.random.key(0), tokens, train=False)

    def read(tokens, cache=None):
        return model.clone(axis_name="model").apply(variables, tokens, cache, train=False)[0]

    mesh, cut = parallel.make_mesh(data=1, model=4), P(None, "model")
    for given, message in (
        ((jnp.zeros((1, 16), int),), "16 tokens are more than the context of 8"),
        ((jnp.zeros((1, 8), int), model.initial_state(1)), "without a cache"),
    ):
        specs = (cut, P())[: len(given)]
        with pytest.raises(ValueError, match=message):
            jax.shard_map(read, mesh=mesh, in_specs=specs, out_specs=cut)(*given)


def test_a_step_over_cut_texts_is_the_step_of_the_whole():
    model = models.Transformer(11, dim=16, num_layers=1, num_heads=4, context=16)
    split = data.text.windows(np.random.default_rng(0).integers(0, 11, 100), 16)
    batch = data.host_batch(split, 0, batch_size=4)
    plain = train.make(objectives.language_model(model), optax.sgd(0.1))
    state = plain.init(jax.random.key(0), batch)
    axes = ("replica", "data", "model")  # the batch is cut along all of them
    cut = objectives.language_model(model.clone(axis_name="model"))
    step = train.make(parallel.psum_objective(cut, axes), optax.sgd(0.1)).step
    rows = ("replica", "data")
    places = {name: P(rows, *["model"] * (x.ndim - 1)) for name, x in batch.items()}
    mesh = parallel.make_mesh(data=2, model=4)
    over = jax.shard_map(step, mesh=mesh, in_specs=(P(), places), out_specs=(P(), P()))
    (got, seen), (want, wanted) = jax.jit(over)(state, batch), jax.jit(plain.step)(state, batch)
    np.testing.assert_allclose(
        seen["perplexity"].compute(), wanted["perplexity"].compute(), rtol=1e-5
    )
    assert seen["loss"].weight == wanted["loss"].weight
    chex.assert_trees_all_close(got.params, want.params, atol=1e-6)
