"""Attention over sequences that are cut over devices, against the plain form of the whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxdl import ops
from jaxdl.parallel import make_mesh

B, T, N, D = 2, 16, 4, 8
ROW = np.repeat([1, 2, 5, 0], [3, 6, 4, 3])  # texts that end inside a device's part
FORMS = {
    "plain": {},
    "causal": {"causal": True},
    "lengths": {"lengths": jnp.array([11, 0])},
    "causal-lengths": {"causal": True, "lengths": jnp.array([5, 16]), "soft_cap": 0.7},
    "window": {"causal": True, "window": 5, "scale": 0.3},
    "segments": {"causal": True, "segments": jnp.array([ROW, ROW[::-1]])},
}


def qkv_of(dtype="float32", keys=2):
    rng = np.random.default_rng(0)
    shapes = (B, T, N, D), (B, T, keys, D), (B, T, keys, D + 1)
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def whole(options, q, k, v):
    return ops.attention(q, k, v, **options)


def over(devices, options, q, k, v):
    """The same, examples over "data" and sequences over "model"."""
    mesh, cut = make_mesh(data=2, model=devices), P("data", "model")
    arrays = {name: x for name, x in options.items() if name in ("lengths", "segments")}
    places = {"lengths": P("data"), "segments": cut}
    rules = {name: x for name, x in options.items() if name not in arrays}

    def local(q, k, v, arrays):
        return ops.attention(q, k, v, axis_name="model", **arrays, **rules)

    specs = (cut, cut, cut, {name: places[name] for name in arrays})
    return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=cut)(q, k, v, arrays)


def derivatives(attend, options, qkv, direction):
    """Values, a tangent, a gradient and a Hessian-vector product."""

    def loss(qkv):
        return jnp.sum(jnp.sin(attend(options, *qkv)))

    out, tangent = jax.jvp(lambda x: attend(options, *x), (qkv,), (direction,))
    grad, product = jax.jvp(jax.grad(loss), (qkv,), (direction,))
    return out, tangent, grad, product


@pytest.mark.parametrize("case", FORMS)
def test_a_cut_sequence_has_the_values_and_derivatives_of_the_whole(case):
    options, qkv = FORMS[case], qkv_of()
    direction = jax.tree.map(lambda x: jnp.cos(7 * x), qkv)
    forms = (whole, functools.partial(over, 4))
    want, got = (jax.jit(functools.partial(derivatives, f, options))(qkv, direction) for f in forms)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=2e-5)


def pulled(attend, options, qkv):
    """Values and gradients."""

    @functools.partial(jax.grad, has_aux=True)
    def pull(qkv):
        out = attend(options, *qkv)
        return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

    return jax.jit(pull)(qkv)


def test_in_half_precision_what_goes_around_is_added_up_in_float32():
    qkv = qkv_of("bfloat16")
    want = pulled(whole, {"causal": True}, tuple(x.astype(jnp.float32) for x in qkv))
    got = pulled(functools.partial(over, 4), {"causal": True}, qkv)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert g.dtype == jnp.bfloat16
        np.testing.assert_allclose(g.astype(jnp.float32), w, rtol=3e-2, atol=3e-2)


def test_padding_may_hold_anything_and_blind_queries_get_zeros():
    """T10, T39."""
    lengths = jnp.array([11, 0])
    real = (jnp.arange(T)[None] < lengths[:, None])[..., None, None]
    q, k, v = qkv_of()
    blind = jnp.where(lengths[:, None, None, None] > 0, q, jnp.nan)
    spoiled = (blind, jnp.where(real, k, jnp.nan), jnp.where(real, v, jnp.nan))
    options = {"lengths": lengths}
    grads, out = pulled(functools.partial(over, 4), options, spoiled)
    want_grads, want = pulled(whole, options, (q, k, v))
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), grads, want_grads
    )
    assert not np.any(out[1])


def test_no_device_holds_all_keys():
    """The compiled program passes keys on and gathers none; its memory falls with the devices."""

    def program(devices):
        x = jax.ShapeDtypeStruct((2, 1024, 1, 8), jnp.float32)

        def loss(q, k, v):
            return jnp.sum(over(devices, {"causal": True}, q, k, v) ** 2)

        return jax.jit(jax.grad(loss, (0, 1, 2))).lower(x, x, x).compile()

    four, two = program(4), program(2)
    assert "collective-permute" in four.as_text()
    assert "all-gather" not in four.as_text()
    sizes = [one.memory_analysis().temp_size_in_bytes for one in (four, two)]
    assert sizes[0] < 0.5 * sizes[1]  # scores are a quarter, what is cut a half


def test_what_does_not_go_with_an_axis_is_named():
    q, k, v = qkv_of()
    with pytest.raises(ValueError, match="mask does not go with axis_name"):
        ops.attention(q, k, v, mask=jnp.ones((1, 1, 1, T), bool), axis_name="model")
    with pytest.raises(ValueError, match="positions does not go with axis_name"):
        ops.attention(q, k, v, positions=jnp.zeros((B, T), int), axis_name="model")
