import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn, ops
from tests.references import reference

torch = reference("torch")
B, HEADS, T, S, D = 3, 2, 4, 5, 8


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def close(got, want):
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_dot_product_attention_agrees_with_torch(masked):
    q, k, v = normal(0, B, HEADS, T, D), normal(1, B, HEADS, S, D), normal(2, B, HEADS, S, D)
    mask = None
    if masked:
        mask = np.random.default_rng(3).random((B, 1, T, S)) < 0.6
        mask[..., 0] = True  # torch gives NaN to a query that may look nowhere
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    torch_mask = None if mask is None else torch.tensor(mask)
    want = torch.nn.functional.scaled_dot_product_attention(*tensors, attn_mask=torch_mask)
    target = normal(4, *want.shape)
    (want * torch.tensor(target)).sum().backward()

    @jax.jit
    @jax.value_and_grad
    def total(qkv):
        return jnp.sum(ops.dot_product_attention(*qkv, mask=mask)[0] * target)

    close(jax.jit(lambda *x: ops.dot_product_attention(*x, mask=mask)[0])(q, k, v), want)
    for got, tensor in zip(total((q, k, v))[1], tensors, strict=True):
        close(got, tensor.grad)


def test_additive_attention_is_the_formula():
    layer = nn.AdditiveAttention(hidden_size=6)
    q, k, v = normal(0, B, T, D), normal(1, B, S, 7), normal(2, B, S, 3)
    params = layer.init(jax.random.key(0), q, k, v)
    outputs, weights = layer.apply(params, q, k, v)
    p = jax.tree.map(np.asarray, params["params"])
    scores = np.zeros((B, T, S))
    for b, t, s in np.ndindex(B, T, S):
        hidden = np.tanh(q[b, t] @ p["query"]["kernel"] + k[b, s] @ p["key"]["kernel"])
        scores[b, t, s] = hidden @ p["v"]
    want = torch.softmax(torch.tensor(scores), dim=-1)
    close(weights, want)
    close(outputs, want @ torch.tensor(v).double())


def test_dot_attention_projects_keys_and_scales_on_request():
    q, k = normal(0, B, T, D), normal(1, B, S, 7)
    params = nn.DotAttention(D).init(jax.random.key(0), q, k, k)
    kernel = np.asarray(params["params"]["key"]["kernel"])
    scores = torch.tensor(np.einsum("btd,bsd->bts", q, k @ kernel))
    for scaled in (True, False):
        _, weights = nn.DotAttention(D, scaled=scaled).apply(params, q, k, k)
        close(weights, torch.softmax(scores / (D**0.5 if scaled else 1), dim=-1))


@pytest.mark.parametrize("other_widths", [False, True])
def test_multi_head_attention_agrees_with_torch(other_widths):
    widths = {"kdim": 5, "vdim": 3} if other_widths else {}
    theirs = torch.nn.MultiheadAttention(D, HEADS, batch_first=True, **widths)
    torch.nn.init.normal_(theirs.in_proj_bias)
    params = nn.attention_from_torch({k: v.detach() for k, v in theirs.state_dict().items()})
    q, k = normal(0, B, T, D), normal(1, B, S, widths.get("kdim", D))
    v = normal(2, B, S, widths.get("vdim", D))
    lengths = np.array([5, 2, 1])
    mask = (np.arange(S) < lengths[:, None])[:, None, None, :] & np.tri(T, S, 1, bool)[None, None]
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    want, want_weights = theirs(
        *tensors,
        key_padding_mask=torch.tensor(np.arange(S) >= lengths[:, None]),
        attn_mask=torch.tensor(~np.tri(T, S, 1, bool)),
        average_attn_weights=False,
    )
    target = normal(3, *want.shape)
    (want * torch.tensor(target)).sum().backward()
    layer = nn.MultiHeadAttention(HEADS)

    @jax.jit
    def both(params, qkv):
        outputs, weights = layer.apply({"params": params}, *qkv, mask, train=False)
        return jnp.sum(outputs * target), (outputs, weights)

    (_, (got, weights)), grads = jax.value_and_grad(both, argnums=(0, 1), has_aux=True)(
        params, (q, k, v)
    )
    close(got, want)
    close(weights, want_weights)
    for ours, tensor in zip(grads[1], tensors, strict=True):
        close(ours, tensor.grad)
    torch_grads = {name: p.grad for name, p in theirs.named_parameters()}
    jax.tree.map(
        lambda ours, theirs: close(ours, torch.tensor(np.asarray(theirs))),
        grads[0],
        nn.attention_from_torch(torch_grads),
    )


def test_multi_head_attention_drops_weights_in_training_only():
    layer, x = nn.MultiHeadAttention(HEADS, dropout=0.5), normal(0, B, T, D)
    params = layer.init(jax.random.key(0), x, x, x, train=False)

    def outputs(seed, train):
        return layer.apply(params, x, x, x, train=train, rngs={"dropout": jax.random.key(seed)})[0]

    assert jnp.array_equal(outputs(0, False), outputs(1, False))
    assert jnp.array_equal(outputs(0, True), outputs(0, True))
    assert not jnp.allclose(outputs(0, True), outputs(1, True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_query_that_may_look_nowhere_gets_zeros(dtype):  # T10
    q, k, v = (jnp.asarray(normal(i, 1, 2, D), dtype) for i in range(3))
    mask = jnp.array([[[True, False], [False, False]]])

    def total(qkv):
        outputs, weights = ops.dot_product_attention(*qkv, mask=mask)
        return jnp.sum(outputs.astype(jnp.float32) ** 2), (outputs, weights)

    grads, (outputs, weights) = jax.grad(total, has_aux=True)((q, k, v))
    assert outputs.dtype == dtype
    np.testing.assert_array_equal(outputs[0, 0], v[0, 0])
    np.testing.assert_array_equal(outputs[0, 1], np.zeros(D))
    np.testing.assert_array_equal(weights[0], [[1, 0], [0, 0]])
    assert all(bool(jnp.isfinite(g).all()) for g in grads)
    np.testing.assert_array_equal(grads[0][0, 1], np.zeros(D))


def test_shapes_that_do_not_fit():
    x = jnp.ones((2, 3, 4))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) and \(2, 3, 5\)"):
        ops.dot_scores(x, jnp.ones((2, 3, 5)))
    with pytest.raises(ValueError, match="v needs shape"):
        ops.additive_scores(x, x, jnp.ones(3))
    with pytest.raises(ValueError, match="do not fit values"):
        ops.dot_product_attention(x, jnp.ones((2, 5, 4)), x)
    with pytest.raises(ValueError, match="mask"):
        ops.dot_product_attention(x, x, x, mask=jnp.ones((3, 3), bool))
    with pytest.raises(ValueError, match="num_heads=3"):
        nn.MultiHeadAttention(3).init(jax.random.key(0), x, x, x, train=False)
    with pytest.raises(ValueError, match="lacks 'in_proj_bias'"):
        nn.attention_from_torch({})
