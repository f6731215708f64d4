"""Deltas against the textbook recursion and torch, and a gradient check that finds mistakes."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import inspect, losses, models
from tests.references import reference

torch = reference("torch")
KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
Y = np.array([0, 2, 1])


def mlp():
    model = models.MLP((5, 4, 3), activation=jnp.tanh)
    return model, model.init(KEY, X, train=False)


def loss(logits):
    return losses.softmax_cross_entropy(logits, jnp.array(Y))


def test_deltas_of_every_layer_are_torchs():
    model, variables = mlp()
    params = variables["params"]
    logits, delta = jax.jit(lambda v: inspect.deltas(model, v, loss, X, train=True))(variables)
    u, kept = torch.tensor(X), []
    for name in ("dense1", "dense2", "head"):
        kernel, bias = (torch.tensor(np.asarray(params[name][k])) for k in ("kernel", "bias"))
        u = (torch.tanh(u) if kept else u) @ kernel + bias
        u.requires_grad_().retain_grad()
        kept.append(u)
    torch.nn.functional.cross_entropy(u, torch.tensor(Y), reduction="sum").backward()
    np.testing.assert_allclose(logits, u.detach(), rtol=1e-5)
    for name, u in zip(("dense1", "dense2", "head"), kept, strict=True):
        np.testing.assert_allclose(delta[name], u.grad, rtol=1e-4, atol=1e-6)


def test_deltas_obey_the_recursion():
    """`y - t` at the output under cross entropy, `W^T delta * f'(u)` below, `a delta^T` for dW.

    The hidden delta has no further factor `sigmoid'` at the output: that is the squared error's.
    """
    model, variables = mlp()
    params = variables["params"]
    logits, delta = inspect.deltas(model, variables, loss, X, train=True)
    assert list(delta) == ["dense1", "dense2", "head"]
    np.testing.assert_allclose(
        delta["head"], jax.nn.softmax(logits) - np.eye(3)[Y], rtol=1e-4, atol=1e-6
    )
    u1 = X @ np.asarray(params["dense1"]["kernel"]) + np.asarray(params["dense1"]["bias"])
    a1 = jnp.tanh(u1)
    below = (delta["dense2"] @ params["dense2"]["kernel"].T) * (1 - a1**2)
    np.testing.assert_allclose(delta["dense1"], below, rtol=1e-4, atol=1e-6)
    gradient = jax.grad(lambda v: jnp.sum(loss(model.apply(v, X, train=True))))(variables)
    dense2 = gradient["params"]["dense2"]
    np.testing.assert_allclose(dense2["kernel"], a1.T @ delta["dense2"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(dense2["bias"], delta["dense2"].sum(0), rtol=1e-4, atol=1e-6)


class Shared(linen.Module):
    """A convolution, a dense layer called twice, and a block inside."""

    @linen.compact
    def __call__(self, x):
        x = linen.Conv(2, (3,))(x)
        x = Block(name="block")(x)
        twice = linen.Dense(2, name="twice")
        return jnp.sum(twice(jnp.tanh(twice(x))), axis=(1, 2))


class Block(linen.Module):
    @linen.compact
    def __call__(self, x):
        return x + linen.Dense(2, name="inner")(x)


def test_any_module_convolutions_nested_and_shared():
    x = jnp.asarray(X[:, :, None])
    variables = Shared().init(KEY, x)
    _, delta = inspect.deltas(Shared(), variables, lambda y: y, x)
    assert list(delta) == ["Conv_0", "block/inner", "twice", "twice#1"]
    np.testing.assert_array_equal(delta["twice#1"], 1)
    kernel = jax.grad(lambda v: jnp.sum(Shared().apply(v, x)))(variables)["params"]["Conv_0"]
    np.testing.assert_allclose(kernel["bias"], delta["Conv_0"].sum((0, 1)), rtol=1e-5)
    empty = linen.LayerNorm()
    with pytest.raises(ValueError, match="a weight of two axes"):
        inspect.deltas(empty, empty.init(KEY, X), lambda y: y, X)


@pytest.mark.parametrize(
    "model, size",
    [
        (models.LeNet(10), 28),
        (models.ResNet18(10), 32),
        (models.VGG(10, depths=(1, 1), widths=(4, 8)), 32),
        (models.NiN(10), 96),
        (models.GoogLeNet(10), 64),
        (models.DenseNet121(10), 32),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_weight_of_the_zoo_has_its_delta(model, size):
    """Layers are known by what they do: jaxdl's convolutions as well as Flax's."""
    x = jnp.zeros((1, size, size, 3))
    variables = jax.eval_shape(lambda: model.init(KEY, x, train=False))
    found = jax.eval_shape(
        lambda v: inspect.deltas(model, v, lambda y: jnp.sum(y, -1), x, train=False)[1], variables
    )
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    owners = {
        jax.tree_util.keystr(path[:-1], simple=True, separator="/")
        for path, leaf in leaves
        if leaf.ndim >= 2
    }
    assert set(found) == owners


def test_sigmoid_gradients_vanish_and_relu_ones_do_not():
    def flow(activation):
        init = linen.initializers.he_normal()
        model = models.MLP((32,) * 8 + (3,), activation=activation, kernel_init=init)
        _, delta = inspect.deltas(model, model.init(KEY, X, train=False), loss, X, train=True)
        sizes = list(inspect.gradient_flow(delta).values())
        return float(sizes[0] / sizes[-1])

    assert flow(jax.nn.sigmoid) < 1e-2
    assert flow(jax.nn.relu) > 0.05


def test_a_right_gradient_passes():
    model, variables = mlp()
    report = inspect.check_gradients(
        lambda v: jnp.mean(loss(model.apply(v, X, train=True))), variables
    )
    assert report.passed, str(report)
    assert {leaf.path for leaf in report.leaves} >= {"params/head/kernel", "params/dense1/bias"}
    assert str(report).endswith("all leaves agree to 1e-05")
    assert max(leaf.error for leaf in report.leaves) < 1e-7


@jax.custom_vjp
def wrong(x):
    return jnp.sin(x)


wrong.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (1.01 * g * jnp.cos(x),))


def test_a_wrong_gradient_is_found_and_named():
    params = {"good": jnp.ones(3), "bad": jnp.ones((2, 2))}
    report = inspect.check_gradients(
        lambda p: jnp.sum(jnp.sin(p["good"])) + jnp.sum(wrong(p["bad"])), params
    )
    assert not report.passed
    bad, good = report.leaves
    assert (bad.path, bad.checked) == ("bad", 4)
    assert good.error < 1e-8
    np.testing.assert_allclose(bad.error, 0.01 / 1.01, rtol=1e-3)
    assert "<- differs" in str(report)
    assert str(report).endswith("1 of 2 leaves differ to 1e-05")


def test_corners_are_counted_not_compared():
    report = inspect.check_gradients(
        lambda p: jnp.sum(jnp.abs(p)) + p[1] ** 2, jnp.array([0.0, 1.0, -2.0])
    )
    assert report.passed
    assert report.leaves[0].kinks == 1


def test_a_gradient_that_is_not_finite_fails():
    report = inspect.check_gradients(lambda p: jnp.sum(jnp.sqrt(p)), jnp.zeros(2))
    assert not report.passed


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: inspect.check_gradients(lambda p: p, jnp.ones(2)),
            r"one number, got shape \(2,\)",
        ),
        (lambda: inspect.check_gradients(jnp.sum, jnp.ones(0)), "no parameters"),
        (lambda: inspect.check_gradients(jnp.sum, jnp.ones(2), samples=0), "samples"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
