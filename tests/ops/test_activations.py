"""Activations against torch, with first and second derivatives, and the masked softmax."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import ops
from tests.references import reference

torch = reference("torch")
F = torch.nn.functional
X = np.concatenate(
    [np.random.default_rng(0).normal(size=50) * 3, [0, 1e4, -1e4, 88, -88, 1e-8, -1e-8, 30]]
).astype(np.float32)
SLOPE = 0.25

CASES = {
    "step": (ops.step, lambda x: torch.heaviside(x, torch.zeros(1))),
    "linear": (ops.linear, lambda x: x * 1),
    "sigmoid": (ops.sigmoid, torch.sigmoid),
    "tanh": (ops.tanh, torch.tanh),
    "relu": (ops.relu, F.relu),
    "leaky_relu": (ops.leaky_relu, F.leaky_relu),
    "prelu": (
        lambda x: ops.prelu(x, SLOPE),
        lambda x: F.prelu(x, torch.tensor([SLOPE])),
    ),
    "absolute": (ops.absolute, torch.abs),
    "elu": (ops.elu, F.elu),
    "silu": (ops.silu, F.silu),
    "gelu": (ops.gelu, lambda x: F.gelu(x, approximate="tanh")),
    "softplus": (ops.softplus, lambda x: torch.logaddexp(x, torch.zeros(()))),
    "log_sigmoid": (ops.log_sigmoid, F.logsigmoid),
    "maxout": (lambda x: ops.maxout(x, 2), lambda x: x.reshape(-1, 2).amax(-1)),
    "softmax": (ops.softmax, lambda x: torch.softmax(x, -1)),
    "log_softmax": (ops.log_softmax, lambda x: torch.log_softmax(x, -1)),
}
SMOOTH = ("sigmoid", "tanh", "silu", "softplus", "log_sigmoid", "softmax", "log_softmax")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.optimized) if n == "gelu" else n for n in CASES]
)
def test_value_and_derivatives_against_torch(name):
    """To 1e-6, at kinks, at 0 and at +-1e4; the second derivative where there is one."""
    ours, theirs = CASES[name]
    x = torch.tensor(X, requires_grad=True)
    want = theirs(x)
    weights = np.random.default_rng(1).normal(size=want.shape).astype(np.float32)

    def gradient(x):
        return jax.vjp(ours, x)[1](jnp.asarray(weights))[0]

    @jax.jit
    def everything(x):
        half = ours(x.astype(jnp.bfloat16))
        return ours(x), gradient(x), jax.grad(lambda x: jnp.sum(gradient(x)))(x), half

    value, first, second, half = everything(X)
    np.testing.assert_allclose(value, want.detach(), rtol=1e-6, atol=1e-6)
    assert half.dtype == jnp.bfloat16
    chex.assert_tree_all_finite((first, second, half))
    if want.requires_grad and name != "step":
        (want_first,) = torch.autograd.grad(want, x, torch.tensor(weights), create_graph=True)
        np.testing.assert_allclose(first, want_first.detach(), rtol=1e-6, atol=1e-6)
    if name in SMOOTH:
        want_second = torch.autograd.grad(want_first.sum(), x)[0].numpy()
        defined = np.isfinite(want_second)  # torch's own is NaN at 1e4 for elu and logaddexp
        np.testing.assert_allclose(second[defined], want_second[defined], rtol=1e-5, atol=2e-6)


def test_derivatives_at_the_kinks():
    at_zero = {name: jax.grad(getattr(ops, name))(0.0) for name in ("relu", "step", "absolute")}
    assert at_zero == {"relu": 0, "step": 0, "absolute": 0}
    assert jax.grad(ops.leaky_relu)(0.0) == jnp.float32(0.01)
    shared = jax.grad(lambda x: ops.maxout(x, 2)[0])(jnp.array([1.0, 1.0]))
    np.testing.assert_array_equal(shared, [0.5, 0.5])


def test_gelu_is_the_tanh_form_by_default():
    exact, tanh = F.gelu(torch.tensor(X)), F.gelu(torch.tensor(X), approximate="tanh")
    np.testing.assert_allclose(ops.gelu(X), tanh, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ops.gelu(X, approximate=False), exact, rtol=1e-6, atol=1e-6)
    assert np.abs(np.asarray(exact - tanh)).max() > 1e-5


def test_parametric_relu_slopes_learn_per_channel():
    x = jnp.array([[-1.0, 2.0], [-3.0, -4.0]])
    gradient = jax.grad(lambda a: jnp.sum(ops.prelu(x, a)))(jnp.array([0.25, 0.25]))
    np.testing.assert_array_equal(gradient, [-4, -4])
    with pytest.raises(ValueError, match=r"\(2,\), got \(3,\)"):
        ops.prelu(x, jnp.ones(3))


def test_maxout_refuses_what_does_not_divide():
    with pytest.raises(ValueError, match="pieces=3"):
        ops.maxout(jnp.ones((2, 4)), 3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_masked_softmax_of_an_empty_row(dtype):
    """T10: zeros with a zero gradient, in every precision; the other row as if cut to its mask."""
    logits = jnp.array([[1.0, 2.0, 3.0], [jnp.nan, 6e4, -6e4]], dtype)
    mask = jnp.array([[True, True, False], [False, False, False]])

    def weighted(x):
        return jnp.sum(ops.masked_softmax(x, mask) * jnp.array([[1, 2, 3]], dtype))

    got, gradient = jax.jit(lambda x: (ops.masked_softmax(x, mask), jax.grad(weighted)(x)))(logits)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got[1], 0)
    np.testing.assert_allclose(
        got[0, :2].astype(np.float32), jax.nn.softmax(jnp.array([1.0, 2.0])), rtol=1e-2
    )
    chex.assert_tree_all_finite(gradient)
    np.testing.assert_array_equal(gradient[1], 0)


def test_masked_softmax_equals_softmax_of_what_is_left():
    logits = jnp.array([[1e4, -1e4, 3.0, 5.0]])
    got = ops.masked_softmax(logits, jnp.array([[False, True, True, True]]))
    np.testing.assert_allclose(got[:, 1:], jax.nn.softmax(logits[:, 1:]), atol=1e-7)
    with pytest.raises(ValueError, match="mask"):
        ops.masked_softmax(logits, jnp.ones(4, bool))
