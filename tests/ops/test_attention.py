"""`ops.attention` against torch, its forms against each other, and what each target gets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdl import ops
from jaxdl.ops import _fused_attention
from jaxdl.parallel import make_mesh
from tests.references import reference

torch = reference("torch")
B, T, S, N, D = 2, 7, 9, 4, 8


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def inputs(queries=T, keys=S, heads=N):
    return normal(0, B, queries, N, D), normal(1, B, keys, heads, D), normal(2, B, keys, heads, D)


LENGTHS, CAUSAL = np.array([9, 4]), np.tri(T, S, dtype=bool)
NEAR = np.abs(np.arange(T)[:, None] - np.arange(S)) < 3
MASK = np.random.default_rng(3).random((B, 1, T, S)) < 0.6
MASK[..., 0] = True  # torch gives NaN to a query that may look nowhere
BIAS = normal(4, 1, N, T, S)
CASES = {  # options of ours, and of torch's
    "plain": ({}, {}),
    "causal": ({"causal": True}, {"is_causal": True}),
    "mask": ({"mask": jnp.asarray(MASK)}, {"attn_mask": torch.tensor(MASK)}),
    "bias": ({"bias": jnp.asarray(BIAS)}, {"attn_mask": torch.tensor(BIAS)}),
    "lengths": (
        {"lengths": jnp.asarray(LENGTHS)},
        {"attn_mask": torch.tensor(np.arange(S) < LENGTHS[:, None])[:, None, None]},
    ),
    "window": ({"window": 3}, {"attn_mask": torch.tensor(NEAR)}),
    "causal-window": (
        {"window": 3, "causal": True}, {"attn_mask": torch.tensor(NEAR & CAUSAL)},
    ),
    "grouped": ({"causal": True, "scale": 0.3}, {"is_causal": True, "scale": 0.3}),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_torch(case, dtype):
    ours, theirs = CASES[case]
    grouped = case == "grouped"
    arrays = inputs(heads=2 if grouped else N)
    tensors = [
        torch.tensor(x).to(getattr(torch, dtype)).transpose(1, 2).requires_grad_() for x in arrays
    ]
    attend = torch.nn.functional.scaled_dot_product_attention
    theirs = {
        k: v.to(getattr(torch, dtype)) if getattr(v, "dtype", None) == torch.float32 else v
        for k, v in theirs.items()
    }
    want = attend(*tensors, **theirs, enable_gqa=grouped).transpose(1, 2)
    target = normal(5, *want.shape)
    (want.float() * torch.tensor(target)).sum().backward()

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def pull(qkv):
        out = ops.attention(*qkv, **ours)
        return jnp.sum(out.astype(jnp.float32) * target), out

    grads, got = pull(tuple(jnp.asarray(x, dtype) for x in arrays))
    assert got.dtype == dtype
    tolerance = {"float32": 1e-5, "bfloat16": 3e-2}[dtype]
    want_grads = [t.grad.transpose(1, 2) for t in tensors]
    for g, w in zip((got, *grads), (want.detach(), *want_grads), strict=True):
        np.testing.assert_allclose(
            np.asarray(g, np.float32), w.float().numpy(), rtol=tolerance, atol=tolerance
        )


SEGMENTS = jnp.array([[1] * 4 + [2] * 5, [1] * 3 + [4] * 2 + [0] * 4])
HALVES = jnp.tile(jnp.arange(S) // 2, (B, 1))
FORMS = {
    "causal": {"causal": True},
    "lengths": {"lengths": jnp.array([9, 0])},
    "segments": {"causal": True, "segments": SEGMENTS},
    "window": {"causal": True, "window": 4, "lengths": jnp.array([9, 5])},
    "mask": {"mask": jnp.asarray(np.random.default_rng(3).random((1, N, S, S)) < 0.4)},
    "keys": {"mask": jnp.asarray(np.random.default_rng(3).random((B, 1, 1, S)) < 0.4)},
    "bias": {"bias": jnp.asarray(normal(4, 1, N, S, S)), "causal": True},
    "soft-cap": {"soft_cap": 0.5, "causal": True, "positions": HALVES},
}  # fmt: skip


def derivatives(options, qkv, direction):
    """Values, a gradient, a tangent and a Hessian-vector product, of a batch and of one more."""

    def loss(qkv):
        return jnp.sum(jnp.sin(ops.attention(*qkv, **options)))

    out, tangent = jax.jvp(lambda x: ops.attention(*x, **options), (qkv,), (direction,))
    grad, product = jax.jvp(jax.grad(loss), (qkv,), (direction,))
    twice = jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), qkv)
    return out, tangent, grad, product, jax.vmap(jax.grad(loss))(twice)


FUSED = ("causal", "lengths", "segments", "window")  # what a kernel may be asked for


@pytest.mark.parametrize(
    ("case", "form"), [*((c, "chunked") for c in FORMS), *((c, "fused") for c in FUSED)]
)
def test_every_form_has_the_values_and_derivatives_of_the_plain_one(case, form, monkeypatch):
    qkv = tuple(jnp.asarray(x) for x in inputs(S, S, heads=2))
    direction = tuple(jnp.asarray(normal(i, *x.shape)) for i, x in enumerate(qkv, start=7))
    compute = jax.jit(lambda *args: derivatives(FORMS[case], *args))
    want = compute(qkv, direction)
    if form == "chunked":
        monkeypatch.setattr(_fused_attention, "CHUNK", 4)  # does not divide 9
        monkeypatch.setattr(_fused_attention, "MOST_SCORES", 0)
    else:
        monkeypatch.setattr(
            _fused_attention, "_kernels", lambda *_: {"cuda": None, "tpu": None}
        )  # the rules of derivatives, with the plain form on this CPU
    got = jax.jit(lambda *args: derivatives(FORMS[case], *args))(qkv, direction)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=2e-5)


def lowered(platform, dtype="bfloat16", devices=1, grad=True, shard_map=None, **options):
    mesh = make_mesh(devices=jax.devices()[:devices])
    spec = P(("replica", "data"))
    x = jax.ShapeDtypeStruct((4, 512, 2, 64), dtype, sharding=NamedSharding(mesh, spec))

    def loss(q, k, v):
        return jnp.sum(ops.attention(q, k, v, **options).astype(jnp.float32))

    function = jax.grad(loss, (0, 1, 2)) if grad else loss
    if shard_map is not None:
        function = jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec, **shard_map)
    return jax.jit(function).trace(x, x, x).lower(lowering_platforms=(platform,)).as_text()


@pytest.fixture
def cudnn(monkeypatch):
    """A machine that has cuDNN, as far as lowering is concerned."""
    from jax._src.cudnn import fused_attention_stablehlo

    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)


@pytest.mark.usefixtures("cudnn")
def test_each_target_gets_its_kernel():
    """T30: a program for an accelerator, lowered on a CPU, has the accelerator's kernels."""
    lengths = jnp.array([512, 3, 0, 9])
    for options in ({"causal": True}, {"lengths": lengths}, {"causal": True, "window": 8}):
        text = lowered("cuda", **options)
        assert "cudnn$fmha" in text
        assert "Backward" in text
    assert "tpu_custom_call" in lowered("tpu", causal=True)
    each = {"check_vma": False}
    assert "tpu_custom_call" in lowered("tpu", devices=4, shard_map=each, causal=True)
    assert "tpu_custom_call" in lowered("tpu", dtype="float32", lengths=lengths)
    segments = jnp.ones((4, 512), jnp.int32)
    assert "tpu_custom_call" in lowered("tpu", causal=True, segments=segments)
    assert "custom_call" not in lowered("cpu", causal=True)


@pytest.mark.parametrize("case", ["causal", "lengths", "segments"])
def test_the_kernel_for_tpus_has_the_values_of_the_plain_form(case):
    """Run by Pallas' interpreter; the blocks have 128 rows."""
    from jax.experimental.pallas import tpu as pltpu

    options = {"causal": case != "lengths"}
    if case == "lengths":
        options["lengths"] = jnp.array([130, 0])
    if case == "segments":
        row = np.repeat([1, 2, 0], [100, 120, 36])
        options["segments"] = jnp.array([row, row[::-1]])
    q, k, v = (jnp.asarray(x) for x in inputs(256, 256, heads=2))
    segments = options.get("segments")
    sight = _fused_attention.Sight(None, None, options.get("lengths"), segments, segments)
    rules = _fused_attention.Rules(options["causal"], None, D**-0.5, None)
    with pltpu.force_tpu_interpret_mode():
        got = jax.jit(functools.partial(_fused_attention._pallas, rules))(q, k, v, sight)
    np.testing.assert_allclose(got, ops.attention(q, k, v, **options), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("cudnn")
def test_where_no_kernel_applies_there_is_none():
    for options in ({"soft_cap": 9.0}, {"bias": jnp.ones((1, 1, 512, 512))}):
        for platform in ("cuda", "tpu"):
            assert "custom_call" not in lowered(platform, grad=False, **options)
    assert "fmha" not in lowered("cuda", dtype="float32", causal=True)
    assert "tpu_custom_call" not in lowered("tpu", causal=True, window=8)
    # Pallas cannot tell over which devices its results vary.
    assert "tpu_custom_call" not in lowered("tpu", devices=4, shard_map={}, causal=True)
    # The compiler for TPUs cannot cut such a kernel over devices.
    assert "tpu_custom_call" not in lowered("tpu", causal=True, devices=4)


def test_without_cudnn_a_program_for_gpus_does_without():
    assert "fmha" not in lowered("cuda", causal=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "options",
    [
        {"lengths": jnp.array([3, 0])},
        {"segments": jnp.array([[1, 1, 2, 0, 0], [0] * 5])},
        {"mask": jnp.arange(5)[None] < jnp.array([3, 0])[:, None], "causal": True},
    ],
    ids=["lengths", "segments", "mask"],
)
def test_blind_queries_get_zeros_and_padding_may_hold_anything(options, dtype):
    """T10, T39."""
    options = dict(options)
    if "mask" in options:
        options["mask"] = options["mask"][:, None, None]
    real = np.arange(5)[None] < np.array([3, 0])[:, None]
    clean = [np.where(real[..., None, None], x, 0) for x in inputs(5, 5)]
    spoiled = [np.where(real[..., None, None], x, np.nan) for x in clean]

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def pull(qkv):
        out = ops.attention(*qkv, **options)
        out = jnp.where(real[..., None, None], out, 0)
        return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

    if "segments" not in options:  # queries that see something hold numbers
        spoiled[0][0] = clean[0][0]
    got, want = (pull(tuple(jnp.asarray(x, dtype) for x in xs)) for xs in (spoiled, clean))
    jax.tree.map(np.testing.assert_array_equal, got, want)
    out = ops.attention(*[jnp.ones((B, 5, N, D), dtype)] * 3, **options)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out[1], np.zeros((5, N, D)))


def test_memory_grows_with_the_length_and_not_with_its_square():
    def peak(T):
        x = jax.ShapeDtypeStruct((1, T, 1, 8), jnp.float32)
        loss = jax.grad(lambda q, k, v: jnp.sum(ops.attention(q, k, v, window=9)), (0, 1, 2))
        return jax.jit(loss).lower(x, x, x).compile().memory_analysis().temp_size_in_bytes

    assert peak(8192) < 2.5 * peak(4096)


def test_shapes_that_do_not_fit():
    q, k, v = inputs()
    for options, message in (
        ({"mask": jnp.ones((B, T, S), bool)}, r"mask \(2, 7, 9\) does not fit scores"),
        ({"bias": jnp.ones((3, 1, 1, 1))}, "bias .* does not fit"),
        ({"lengths": jnp.ones(3, int)}, r"lengths needs shape \(2,\), got \(3,\)"),
        ({"segments": jnp.ones((B, T), int)}, "as many queries as keys, got 7 and 9"),
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"soft_cap": 0.0}, "soft_cap must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.attention(q, k, v, **options)
    with pytest.raises(ValueError, match="4 heads of queries do not divide by 3 heads of keys"):
        ops.attention(q, k[:, :, :3], v[:, :, :3])
    with pytest.raises(ValueError, match="need queries"):
        ops.attention(q[0], k[0], v[0])
