import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import ops
from jaxdl.ops import _convolution_cpu as cpu
from tests.references import reference

torch = reference("torch")
F = torch.nn.functional


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def channels_first(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def torch_kernel(w):  # [sizes..., C, O] -> [O, C, sizes...]
    return torch.tensor(np.moveaxis(np.asarray(w), (-1, -2), (0, 1)).copy())


@pytest.mark.parametrize(
    "size, options",
    [
        ((9,), {}),
        ((9,), {"strides": 2, "padding": 2, "dilation": 2}),
        ((8, 9), {"strides": (2, 1), "padding": (1, 0)}),
        ((8, 9), {"padding": 2, "groups": 2}),
        ((7, 7), {"padding": "SAME"}),
        ((5, 6, 7), {"strides": 2, "padding": 1}),
    ],
)
def test_conv_agrees_with_torch_in_value_and_gradients(size, options):
    groups, axes = options.get("groups", 1), len(size)
    x, w = normal(2, *size, 4), normal(*(3,) * axes, 4 // groups, 6)
    conv = functools.partial(ops.conv, **options)
    y, vjp = jax.vjp(conv, x, w)
    g = normal(*y.shape)
    dx, dw = vjp(g)

    names = {"strides": "stride"}
    theirs = {names.get(k, k): v.lower() if v == "SAME" else v for k, v in options.items()}
    tx, tw = channels_first(x).requires_grad_(), torch_kernel(w).requires_grad_()
    ty = [F.conv1d, F.conv2d, F.conv3d][axes - 1](tx, tw, **theirs)
    ty.backward(channels_first(g))
    np.testing.assert_allclose(channels_first(y), ty.detach(), atol=2e-5)
    np.testing.assert_allclose(channels_first(dx), tx.grad, atol=2e-5)
    np.testing.assert_allclose(torch_kernel(dw), tw.grad, atol=1e-4)


def test_flipped_conv_is_the_convolution_of_mathematics():
    signal = pytest.importorskip("scipy.signal")
    x, w = normal(7, 8), normal(3, 4)
    y = ops.conv(x[None, :, :, None], w[:, :, None, None], padding=((2, 2), (3, 3)), flip=True)
    np.testing.assert_allclose(y[0, ..., 0], signal.convolve2d(x, w), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"strides": 2, "padding": 1, "output_padding": 1}, {"dilation": 2}]
)
def test_conv_transpose_agrees_with_torch(options):
    x, w = normal(2, 5, 6, 3), normal(3, 4, 3, 5)
    names = {"strides": "stride"}
    theirs = {names.get(k, k): v for k, v in options.items()}
    want = F.conv_transpose2d(
        channels_first(x), torch.tensor(np.moveaxis(w, (2, 3), (0, 1)).copy()), **theirs
    )
    np.testing.assert_allclose(channels_first(ops.conv_transpose(x, w, **options)), want, atol=2e-5)


GEOMETRIES = [  # N, H, C, O, kernel, stride, padding
    (4, 9, 3, 5, 3, 1, 1),
    (4, 10, 3, 5, 5, 1, 2),
    (2, 11, 3, 4, 3, 2, 0),
    (2, 13, 3, 4, 11, 4, 2),
    (2, 8, 3, 4, 1, 2, 0),
    (1, 48, 2, 3, 3, 1, 1),  # an image of more pixels than one block
]


@pytest.mark.parametrize("N, H, C, O, k, stride, pad", GEOMETRIES)
def test_formulations_for_cpu_agree_with_lax(N, H, C, O, k, stride, pad):
    pads = ((pad, pad), (pad, pad))
    x, w = normal(N, H, H, C), normal(k, k, C, O)
    y, vjp = jax.vjp(lambda x, w: cpu.xla_conv(x, w, stride, pads), x, w)
    g = normal(*y.shape)
    want = (y, *vjp(g))

    @jax.jit
    def channels_last(x, w, g):
        return (
            cpu.forward_channels_last(x, w, stride, pads),
            cpu.input_gradient_channels_last(g, w, x.shape, stride, pads),
            cpu.kernel_gradient_channels_last(x, g, (k, k), stride, pads),
        )

    @jax.jit
    def batch_last(x, w, g):
        return (
            cpu.forward_batch_last(x, w, pads),
            cpu.input_gradient_batch_last(g, w, x.shape, pads),
            cpu.kernel_gradient_batch_last(x, g, (k, k), pads),
        )

    @jax.jit
    def chosen(x, w, g):
        y, vjp = jax.vjp(lambda x, w: cpu.conv(x, w, None, stride, pads), x, w)
        return y, *vjp(g)

    for formulation in (channels_last, chosen, *([batch_last] if stride == 1 else [])):
        for got, wanted in zip(formulation(x, w, g), want, strict=True):
            np.testing.assert_allclose(
                got, wanted, atol=2e-6 * float(np.max(np.abs(wanted))) + 2e-5
            )


def test_every_choice_of_formulation_is_the_same_function():
    """Channels and strides on both sides of every threshold; `conv` takes the fast path."""

    def both(formulation, stride, pad):
        def loss(x, w, b):
            y = ops.conv(x, w, b, strides=stride, padding=pad, formulation=formulation)
            return jnp.sum(jnp.sin(y))

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))

    for C, O, stride, k in [  # input and output channels, stride, kernel size
        *[(2, 20, 1, 3), (20, 24, 2, 3), (65, 8, 1, 3)],
        *[(8, 65, 2, 3), (130, 8, 1, 3), (40, 32, 2, 1)],
    ]:
        x, w, b = normal(32, 16, 16, C), normal(k, k, C, O) / k / C, normal(O)
        pads = ((k // 2, k // 2),) * 2
        assert cpu.gains(x.shape, w.shape, stride, pads)
        got, want = (both(f, stride, k // 2)(x, w, b) for f in ("fastest", "xla"))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-2), got, want)


@pytest.mark.parametrize(
    "N, H, C, O, k, stride",
    [(32, 12, 4, 6, 5, 1), (32, 20, 20, 24, 3, 2), (8, 16, 8, 65, 3, 1), (32, 16, 40, 32, 1, 2)],
)
def test_conv_has_derivatives_in_both_modes_of_any_order_and_lifts_over_vmap(N, H, C, O, k, stride):
    """T32: forward, reverse, each over the other, and reverse twice; batched gradients."""
    arrays = normal(2, N, H, H, C), normal(k, k, C, O) / (k * k * C), normal(O)
    directions = (
        normal(*arrays[0].shape, seed=1),
        normal(*arrays[1].shape, seed=1),
        normal(O, seed=1),
    )
    pad = k // 2
    assert cpu.gains((N, H, H, C), (k, k, C, O), stride, ((pad, pad),) * 2)

    def derivatives(formulation, arrays, directions):
        def loss(x, w, b):
            y = ops.conv(x, w, b, strides=stride, padding=pad, formulation=formulation)
            return jnp.mean(jnp.sin(y))

        (x, *params), (dx, *d_params) = arrays, directions
        one, along = (x[0], *params), (dx[0], *d_params)
        grad = jax.grad(loss, (0, 1, 2))
        dot = lambda a, b: sum(map(jnp.vdot, a, b))  # noqa: E731
        return (
            jax.jvp(loss, one, along)[1],
            jax.jvp(grad, one, along),
            jax.grad(lambda *a: jax.jvp(loss, a, along)[1], (0, 1, 2))(*one),
            jax.grad(lambda *a: dot(grad(*a), along), (0, 1, 2))(*one),
            jax.vmap(grad, (0, None, None))(x, *params),
            jax.vmap(lambda d: jax.jvp(lambda x: loss(x, *params), one[:1], (d,))[1])(dx),
        )

    got, want = (
        jax.jit(derivatives, static_argnums=0)(f, arrays, directions) for f in ("fastest", "xla")
    )
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=2e-5 * float(np.max(np.abs(w))))


@pytest.mark.parametrize("formulation", ["fastest", "xla"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_bias_of_another_dtype_gets_its_gradient_summed_in_float32(dtype, formulation):
    x, w, b = normal(64, 12, 12, 4), normal(5, 5, 4, 6), jnp.ones(6, dtype)
    conv = functools.partial(ops.conv, x, w, formulation=formulation)
    y, vjp = jax.vjp(conv, b)
    assert y.dtype == jnp.float32
    (got,) = vjp(jnp.ones_like(y) / 64)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, jnp.full(6, 64.0, dtype))  # 64 images of 8 x 8


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_takes_xla(dtype):
    x, w = normal(8, 20, 20, 3).astype(dtype), normal(3, 3, 3, 16).astype(dtype)
    got = ops.conv(x, w)
    assert got.dtype == dtype
    np.testing.assert_allclose(
        got.astype(np.float32), ops.conv(x.astype(np.float32), w.astype(np.float32)), atol=0.2
    )


def test_sizes_and_receptive_fields():
    assert ops.conv_output_size(224, 11, 4, 2) == 55
    assert ops.conv_output_size(7, 3, 2, (0, 1), 2) == 2
    with pytest.raises(ValueError, match="needs at least 5"):
        ops.conv_output_size(4, 5)
    layers = [(3, 2, 1), (3, 1, 2, 2), (2, 2, 0)]
    field = ops.receptive_field(layers)

    def stack(x):
        for k, s, p, *d in layers:
            x = ops.conv(x, jnp.ones((k, 1, 1)), strides=s, padding=p, dilation=d[0] if d else 1)
        return x[0, :, 0]

    jacobian = jax.jacrev(stack)(jnp.ones((1, 64, 1)))[:, 0, :, 0]  # [out, in]
    for out in (5, 6):
        seen = np.flatnonzero(jacobian[out])
        assert seen[0] == field.start + out * field.stride
        assert seen[-1] < seen[0] + field.size
    assert ops.receptive_field([(3, 1, 1)] * 2) == (5, 1, -2)  # two 3x3 see what one 5x5 sees


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\[B, C, H, W\]: transpose it with \(0, 2, 3, 1\)"):
        ops.conv(jnp.ones((2, 3, 8, 8)), jnp.ones((3, 3, 3, 4)))
    with pytest.raises(ValueError, match="one rank"):
        ops.conv(jnp.ones((8, 8, 3)), jnp.ones((3, 3, 3, 4)))
    with pytest.raises(ValueError, match="needs at least 3"):
        ops.conv(jnp.ones((1, 2, 8, 3)), jnp.ones((3, 3, 3, 4)))
    with pytest.raises(ValueError, match="formulation"):
        ops.conv(jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4)), formulation="fast")
    with pytest.raises(ValueError, match="padding must be"):
        ops.conv(jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4)), padding="FULL")
    with pytest.raises(ValueError, match="output_padding"):
        ops.conv_transpose(jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4)), output_padding=1)


@pytest.mark.parametrize("N, C, O", [(64, 4, 8), (48, 20, 24), (48, 8, 65)])
def test_gradients_add_up_over_devices(N, C, O):
    """The loops and the hand-written transposes under shard_map, which checks what varies."""
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    split, copied = jax.sharding.PartitionSpec("d"), jax.sharding.PartitionSpec()
    x, params = normal(N, 14, 14, C), (normal(5, 5, C, O) / (25 * C), normal(O))
    assert cpu.gains((N // 2, 14, 14, C), (5, 5, C, O), 1, ((0, 0),) * 2)

    def loss(params, x):
        return jnp.mean(jnp.sin(ops.max_pool(ops.conv(x, *params), 2)))

    def derivatives(loss, params, x):
        slope = jax.grad(lambda p: loss(p, x))
        return jax.jvp(slope, (params,), (params,))

    def on_each(params, x):
        return derivatives(lambda p, x: jax.lax.pmean(loss(p, x), "d"), params, x)

    each = jax.shard_map(on_each, mesh=mesh, in_specs=(copied, split), out_specs=copied)
    got, want = jax.jit(each)(params, x), jax.jit(functools.partial(derivatives, loss))(params, x)
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-6), got, want)
