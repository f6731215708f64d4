import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import ops
from jaxdl.ops import _pooling
from tests.references import reference

torch = reference("torch")
F = torch.nn.functional


def channels_first(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy())


def small_integers(*shape):
    """Few values, so that many windows hold their maximum twice."""
    return np.random.default_rng(shape).integers(0, 4, shape).astype(np.float32)


@pytest.mark.parametrize(
    "size, window, options",
    [
        ((8, 8), 2, {}),
        ((9, 7), 2, {}),
        ((9, 8), 3, {"strides": 2, "padding": 1}),
        ((8, 8), 3, {"strides": 2, "ceil_mode": True}),
        ((7, 7), 2, {"strides": 2, "padding": 1, "ceil_mode": True}),
        ((4, 5), 6, {"strides": 3, "ceil_mode": True}),  # hangs over the edge from the start
        ((6, 6), 3, {"strides": 1, "padding": 1}),
        ((7, 9), (2, 3), {"strides": (3, 2)}),
        ((11,), 3, {"strides": 2}),
        ((4, 4, 4), 2, {}),
    ],
)
def test_pools_agree_with_torch_in_value_and_gradient_even_in_ties(size, window, options):
    x = small_integers(2, *size, 3)
    names = {"strides": "stride"}
    theirs = {names.get(k, k): v for k, v in options.items()}
    ours = {"max": ops.max_pool, "avg": ops.avg_pool}
    for kind, pool in ours.items():
        y, vjp = jax.vjp(lambda x, pool=pool: pool(x, window, **options), x)
        g = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
        tx = channels_first(x).requires_grad_()
        ty = getattr(F, f"{kind}_pool{len(size)}d")(tx, window, **theirs)
        ty.backward(channels_first(g))
        np.testing.assert_allclose(channels_first(y), ty.detach(), atol=1e-6)
        np.testing.assert_allclose(channels_first(vjp(g)[0]), tx.grad, atol=1e-6)
    if options.get("padding"):
        got = ops.avg_pool(x, window, **options, count_include_pad=False)
        want = getattr(F, f"avg_pool{len(size)}d")(
            channels_first(x), window, **theirs, count_include_pad=False
        )
        np.testing.assert_allclose(channels_first(got), want, atol=1e-6)


def infinities(x):
    x[:, :4, :4] = -np.inf


def one_nan(x):
    x[:, 3, 3] = np.nan


def many_nan(x):
    x[np.random.default_rng(0).random(x.shape) < 0.3] = np.nan


@pytest.mark.parametrize("spoil", [infinities, one_nan, many_nan])
@pytest.mark.parametrize("window, strides, padding", [(3, 2, 1), (2, 2, 1), (2, 2, 0), (3, 1, 1)])
@pytest.mark.parametrize("batch", [2, 33])
def test_no_gradient_is_lost_in_windows_of_minus_infinity_or_nan(
    batch, window, strides, padding, spoil
):
    x = small_integers(batch, 7, 7, 3)
    spoil(x)
    y, vjp = jax.vjp(lambda x: ops.max_pool(x, window, strides, padding=padding), x)
    g = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    tx = channels_first(x).requires_grad_()
    ty = F.max_pool2d(tx, window, strides, padding)
    ty.backward(channels_first(g))
    np.testing.assert_array_equal(channels_first(y), ty.detach())
    np.testing.assert_allclose(channels_first(vjp(g)[0]), tx.grad, atol=1e-5)
    sizes = (window,) * 2, (strides,) * 2, ((padding,) * 2,) * 2
    if spoil is not many_nan:  # the branch of other backends, which takes one NaN of several
        elsewhere = jax.vjp(lambda x: _pooling._window_max(x, *sizes), _pooling._order(x))[1](g)[0]
        np.testing.assert_allclose(channels_first(elsewhere), tx.grad, atol=1e-5)


@pytest.mark.parametrize("batch", [2, 33])
@pytest.mark.parametrize("window, strides, padding", [(3, 2, 1), (2, 2, 0)])
def test_max_pool_has_derivatives_in_both_modes(window, strides, padding, batch):
    """T32: the tangent is the transpose of the gradient, and both lift over vmap and each other."""
    x, dx = np.random.default_rng(0).normal(size=(2, batch, 7, 7, 3)).astype(np.float32)
    pool = lambda x: ops.max_pool(x, window, strides, padding=padding)  # noqa: E731
    sizes = (window,) * 2, (strides,) * 2, ((padding,) * 2,) * 2
    plain = lambda x: _pooling._window_max(x, *sizes)  # noqa: E731

    def derivatives(pool, x, dx):
        loss = lambda x: jnp.sum(jnp.sin(pool(x)))  # noqa: E731
        along = lambda f: jax.jvp(f, (x,), (dx,))  # noqa: E731
        each = jax.vmap(jax.grad(loss))(x[:, None])
        tangents = jax.vmap(lambda d: jax.jvp(pool, (x,), (d,))[1])(jnp.stack([dx, -dx]))
        return along(pool), along(jax.grad(loss)), each, tangents

    got, want = (jax.jit(derivatives, static_argnums=0)(f, x, dx) for f in (pool, plain))
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, atol=2e-5), got, want)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32])
def test_max_pool_keeps_the_dtype(dtype):
    x = small_integers(1, 6, 6, 2).astype(dtype)
    y = ops.max_pool(x, 3, 2, padding=1)
    assert y.dtype == dtype
    assert y[0, 0, 0, 0] == x[0, :2, :2, 0].max()


@pytest.mark.parametrize("size", [1, 3, (2, 5), 7, 9])
def test_adaptive_pools_agree_with_torch_in_value_and_gradient_even_in_ties(size):
    x = small_integers(2, 7, 6, 3)
    for ours, theirs in [
        (ops.adaptive_avg_pool, F.adaptive_avg_pool2d),
        (ops.adaptive_max_pool, F.adaptive_max_pool2d),
    ]:
        y, vjp = jax.vjp(lambda x, ours=ours: ours(x, size), x)
        g = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
        tx = channels_first(x).requires_grad_()
        ty = theirs(tx, size)
        ty.backward(channels_first(g))
        np.testing.assert_allclose(channels_first(y), ty.detach(), atol=1e-6)
        np.testing.assert_allclose(channels_first(vjp(g)[0]), tx.grad, atol=1e-5)
    np.testing.assert_allclose(ops.global_avg_pool(x), x.mean((1, 2)), atol=1e-6)
    np.testing.assert_array_equal(ops.global_max_pool(x), x.max((1, 2)))


def test_wrong_windows_are_named():
    x = jnp.ones((1, 4, 4, 1))
    with pytest.raises(ValueError, match="does not fit"):
        ops.max_pool(x, 5)
    with pytest.raises(ValueError, match="does not fit"):  # torch: "output size is too small"
        ops.max_pool(x, 6, 2, ceil_mode=True)
    with pytest.raises(ValueError, match="half the window"):
        ops.avg_pool(x, 3, padding=2)
    with pytest.raises(ValueError, match="one integer or 2"):
        ops.max_pool(x, (2, 2, 2))
    with pytest.raises(ValueError, match=r"\[B, spatial..., C\]"):
        ops.max_pool(jnp.ones((4, 4)), 2)


@pytest.mark.parametrize("window, strides, padding", [(2, 2, 0), (3, 2, 1)])
def test_long_batches_of_few_channels_are_pooled_batch_last(window, strides, padding):
    x = small_integers(33, 9, 9, 3)
    y, vjp = jax.vjp(lambda x: ops.max_pool(x, window, strides, padding=padding), x)
    g = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    tx = channels_first(x).requires_grad_()
    ty = F.max_pool2d(tx, window, strides, padding)
    ty.backward(channels_first(g))
    np.testing.assert_array_equal(channels_first(y), ty.detach())
    np.testing.assert_allclose(channels_first(vjp(g)[0]), tx.grad, atol=1e-6)


@pytest.mark.parametrize("window, strides, padding", [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_gpus_take_the_gradient_without_a_scatter(window, strides, padding, monkeypatch):
    """Its formulation for NVIDIA's GPUs, which keeps a byte a window, gives the same gradient."""
    x = jnp.asarray(small_integers(40, 7, 6, 3))

    def gradient(x):
        y = ops.max_pool(x, window, strides, padding=padding)
        return jax.grad(lambda x: jnp.sum(jnp.sin(y) * ops.max_pool(
            x, window, strides, padding=padding
        )))(x)  # fmt: skip

    want = gradient(x)
    traced = jax.jit(gradient).trace(x)
    for platform, scatters in (("cuda", False), ("tpu", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("select_and_scatter" in text) == scatters
    monkeypatch.setattr(
        jax.lax,
        "platform_dependent",
        lambda *args, default, **others: others.get("cuda", default)(*args),
    )
    np.testing.assert_allclose(gradient(x), want, atol=1e-6)
