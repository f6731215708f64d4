"""The multi-layer perceptron: shapes, its published size, and the examples of the notes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import inspect, losses, models, nn, ops
from tests.references import reference
from tests.slopes import assert_slopes

torch = reference("torch")

KEY = jax.random.key(0)


@pytest.mark.parametrize("features", [(3,), (5, 3), (6, 5, 4, 3)])
def test_any_depth_learns_in_every_leaf(features):
    model, x = models.MLP(features), jnp.ones((2, 4, 4, 1)).at[0].set(-0.5)
    variables = model.init(KEY, x, train=False)

    def loss(variables):
        logits = model.apply(variables, x, train=True)
        assert logits.shape == (2, 3)
        return jnp.sum(losses.softmax_cross_entropy(logits, jnp.array([0, 1])))

    assert_slopes(loss, variables)


def test_the_digit_network_has_the_published_size():
    """64-25-15-1: 64 * 25 + 25 + 25 * 15 + 15 + 15 + 1 parameters."""
    params = jax.eval_shape(
        lambda: models.MLP((25, 15, 1)).init(KEY, jnp.ones((1, 8, 8)), train=False)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2031


def test_learned_slopes_and_maxout_in_the_hidden_layers():
    """PReLU has a slope for each unit, learned with the weights; H maxout units, 2H features."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    model = models.MLP((4, 2), nn.PReLU)
    variables = model.init(KEY, x, train=False)
    slope = variables["params"]["activation1"]["slope"]
    np.testing.assert_array_equal(slope, np.full(4, 0.25, np.float32))
    grads = jax.grad(lambda v: jnp.sum(model.apply(v, x, train=True) ** 2))(variables)
    assert jnp.abs(grads["params"]["activation1"]["slope"]).min() > 0
    layer = torch.nn.PReLU(3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.1, 0.2, -0.5]))
    got = nn.PReLU().apply({"params": {"slope": jnp.array([0.1, 0.2, -0.5])}}, x)
    np.testing.assert_allclose(got, layer(torch.tensor(np.asarray(x))).detach(), rtol=1e-6)
    shared = nn.PReLU(shared=True).init(KEY, x)["params"]["slope"]
    assert shared.shape == ()
    with pytest.raises(ValueError, match=r"channels \[..., C\]"):
        nn.PReLU().init(KEY, jnp.ones(()))
    maxout = models.MLP((4, 2), functools.partial(ops.maxout, pieces=2))
    params = maxout.init(KEY, x, train=False)["params"]
    assert params["head"]["kernel"].shape == (2, 2)


def test_dropout_keeps_the_expectation():
    """T19: scaled once, while training; nothing happens when evaluating."""
    model = models.MLP((2000, 1), dropout=0.4, activation=lambda x: x * 0 + 1)
    variables = model.init(KEY, jnp.ones((1, 2)), train=False)
    variables["params"]["head"]["kernel"] = jnp.ones((2000, 1)) / 2000
    keys = jax.random.split(KEY, 20)
    apply = jax.vmap(
        lambda key: model.apply(variables, jnp.ones((1, 2)), train=True, rngs={"dropout": key})
    )
    outputs = apply(keys)
    assert len(np.unique(outputs)) > 1  # T11: another mask at every step
    np.testing.assert_allclose(outputs.mean(), 1, atol=0.02)
    np.testing.assert_allclose(model.apply(variables, jnp.ones((1, 2)), train=False), 1, rtol=1e-5)


def test_a_scalar_is_no_batch():
    with pytest.raises(ValueError, match="inputs"):
        models.MLP((3,)).init(KEY, jnp.ones(4), train=False)
    with pytest.raises(ValueError, match="layer"):
        models.MLP(()).init(KEY, jnp.ones((2, 4)), train=False)


def note_004():
    """x = (0.1, 0.3), w = (0.4, -0.2), hidden to output 0.1, both sigmoid, half squared error."""
    model = models.MLP((1, 1), activation=jax.nn.sigmoid)
    layers = {"dense1": [[0.4], [-0.2]], "head": [[0.1]]}
    params = {
        name: {"kernel": jnp.array(kernel), "bias": jnp.zeros(1)} for name, kernel in layers.items()
    }

    def loss(u):
        return losses.squared_error(jax.nn.sigmoid(u[:, 0]), jnp.ones(1)) / 2

    return model, {"params": params}, jnp.array([[0.1, 0.3]]), loss


def test_worked_example_of_note_004_to_its_printed_digits():
    """h = -0.02, a = 0.495, y = 0.512, deltas 0.122 and 0.003, steps 0.0302, 0.00015, 0.00045."""
    model, variables, x, loss = note_004()
    u, delta = inspect.deltas(model, variables, loss, x, train=True)
    kernel = variables["params"]["dense1"]["kernel"]
    h = x @ kernel
    a = jax.nn.sigmoid(h)
    np.testing.assert_allclose(h, [[-0.02]], atol=1e-7)
    assert round(float(a[0, 0]), 3) == 0.495
    assert round(float(jax.nn.sigmoid(u)[0, 0]), 3) == 0.512
    delta_o, delta_h = (-float(delta[name][0, 0]) for name in ("head", "dense1"))
    assert round(delta_o, 3) == 0.122
    assert round(delta_h, 3) == 0.003
    gradient = jax.grad(lambda v: loss(model.apply(v, x, train=True))[0])(variables)["params"]
    steps = jax.tree.map(lambda g: -0.5 * g, gradient)  # eta = 0.5
    assert round(float(steps["head"]["kernel"][0, 0]), 4) == 0.0302
    np.testing.assert_allclose(steps["dense1"]["kernel"][:, 0], [0.00015, 0.00045], atol=1e-5)
    np.testing.assert_allclose(steps["dense1"]["kernel"][:, 0], 0.5 * delta_h * x[0], rtol=1e-5)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_coffee_roasting_forward_pass_neuron_by_neuron():
    """Three neurons and one, written out, against the network with those weights."""
    x, w1 = np.array([200.0, 17.0]), np.array([[2.0, 3.6], [5.0, 4.6], [1.0, 5.6]]) / 100
    b1, w2, b2 = np.array([-4.0, 2.0, 3.0]), np.array([1.14, 5.14, 1.9]), 6.0
    hidden = np.array([sigmoid(np.dot(w1[i], x) + b1[i]) for i in range(3)])
    want = np.dot(w2, hidden) + b2
    variables = {
        "params": {
            "dense1": {"kernel": w1.T, "bias": b1},
            "head": {"kernel": w2[:, None], "bias": np.array([b2])},
        }
    }
    got = models.MLP((3, 1), activation=jax.nn.sigmoid).apply(variables, x[None], train=False)
    np.testing.assert_allclose(got, [[want]], rtol=1e-5)


def learn(model, x, y, loss, steps=300, rate=0.1):
    params = model.init(KEY, x, train=False)
    tx = optax.adam(rate)

    @jax.jit
    def run(params):
        def step(carry, _):
            params, opt_state = carry
            gradient = jax.grad(lambda p: jnp.mean(loss(model.apply(p, x, train=True), y)))(params)
            updates, opt_state = tx.update(gradient, opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        return jax.lax.scan(step, (params, tx.init(params)), length=steps)[0][0]

    return model.apply(run(params), x, train=False)


def test_coffee_roasting_is_learned():
    """Good beans are 200 degrees for 17 minutes, not 120 for 5 nor 425 for 20."""
    x = np.array([[200.0, 17.0], [120.0, 5.0], [425.0, 20.0], [212.0, 18.0]])
    y = np.array([1, 0, 0, 1])
    scaled = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    model = models.MLP((3, 1), activation=jax.nn.sigmoid)
    logits = learn(model, scaled, y, lambda u, y: losses.sigmoid_cross_entropy(u[:, 0], y))
    np.testing.assert_array_equal(logits[:, 0] > 0, y)


def test_several_labels_at_once():
    """A car, a bus, a pedestrian: three yes-or-no questions of one network, three sigmoids."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = np.stack([x[:, 0] > 0, x[:, 1] * x[:, 2] > 0, np.abs(x[:, 3]) > 0.5], axis=1)
    logits = learn(models.MLP((16, 3)), x, y, losses.sigmoid_cross_entropy)
    assert (np.asarray(logits > 0) == y).mean() > 0.97
