"""Curvature against the dense Hessian of a small network, and of quadratics with known spectra."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from jaxdl import inspect, train
from jaxdl.metrics import Mean
from jaxdl.objectives import Aux
from tests.models.test_derivatives import ZOO
from tests.train.problems import Net, blobs, objective


@pytest.fixture(scope="module")
def problem():
    split = blobs(12)
    batch = {**split.columns, "mask": np.arange(12) < 11}
    trainer = train.make(objective(Net()), optax.sgd(0.1))
    state = trainer.init(jax.random.key(0), batch)
    loss = inspect.loss_at(objective(Net()), state, batch)
    flat, unravel = ravel_pytree(state.params)
    dense = np.asarray(jax.hessian(lambda w: loss(unravel(w)))(flat), np.float64)
    return loss, state, batch, dense, unravel


def test_products_with_the_hessian(problem):
    loss, state, _, dense, unravel = problem
    v = np.random.default_rng(0).normal(size=len(dense)).astype(np.float32)
    found = ravel_pytree(inspect.hvp(loss, state.params, unravel(jnp.asarray(v))))[0]
    np.testing.assert_allclose(found, dense @ v, rtol=1e-4, atol=1e-5)


def test_eigenvalues_by_lanczos(problem):
    loss, state, _, dense, _ = problem
    wanted, vectors = np.linalg.eigh(dense)
    found = inspect.lanczos(loss, state.params, steps=25)
    np.testing.assert_allclose(found.values[[0, -1]], wanted[[0, -1]], rtol=1e-3, atol=1e-4)
    top = np.asarray(ravel_pytree(found.top)[0])
    assert abs(top @ vectors[:, -1]) > 0.999
    assert found.residual < 1e-3 * wanted[-1]
    np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-5)


def test_lanczos_ends_in_an_invariant_subspace():
    found = inspect.lanczos(lambda w: -jnp.sum(w**2), jnp.ones(7))
    np.testing.assert_allclose(found.values, [-2], rtol=1e-6)  # and no 0 that is none
    with pytest.raises(ValueError, match="steps >= 1"):
        inspect.lanczos(jnp.sum, jnp.ones(2), steps=0)


def test_the_trace_by_hutchinson(problem):
    loss, state, _, dense, _ = problem
    found = inspect.hessian_trace(loss, state.params, samples=400)
    assert abs(found.value - np.trace(dense)) < 4 * found.error
    # the variance of signs is twice the squares off the diagonal
    off = dense - np.diag(np.diag(dense))
    np.testing.assert_allclose(found.error, np.sqrt(2 * np.sum(off**2) / 400), rtol=0.2)


def test_sharpness_is_first_order_in_the_radius(problem):
    loss, state, _, _, _ = problem
    slope = np.linalg.norm(ravel_pytree(jax.grad(loss)(state.params))[0])
    found = inspect.sharpness(loss, state.params, radius=1e-2)
    np.testing.assert_allclose(found, 1e-2 * slope, rtol=0.05)
    assert inspect.sharpness(lambda w: jnp.sum(w) * 0, jnp.ones(2)) == 0


def test_noise_scale_against_the_examples_gradients(problem):
    _, state, batch, _, _ = problem
    each = train.per_example_gradients(
        objective(Net()), state.params, {}, batch, jax.random.fold_in(state.key, 0)
    )
    rows = np.concatenate([np.asarray(g).reshape(12, -1) for g in jax.tree.leaves(each)], axis=1)
    rows = rows[:11].astype(np.float64)  # the last one is masked
    variance = np.sum(np.var(rows, axis=0, ddof=1))
    square = np.sum(rows.mean(0) ** 2) - variance / 11
    found = inspect.gradient_noise_scale(objective(Net()), state, batch)
    np.testing.assert_allclose(found, [variance / square, variance, square], rtol=1e-4)
    one = {name: column[:1] for name, column in batch.items()}
    with pytest.raises(ValueError, match="two examples"):
        inspect.gradient_noise_scale(objective(Net()), state, one)


QUICK = {"mlp", "factors"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in ZOO]
)
def test_every_network_has_a_curvature(name):
    """Ritz values and the trace against products by reverse mode over reverse mode."""
    model, *inputs = ZOO[name]
    inputs = [jnp.asarray(x) for x in inputs]
    variables = dict(model.init(jax.random.key(0), *inputs, train=False))
    params = variables.pop("params")  # biases off zero, where ReLU has no derivative
    params = jax.tree.map(lambda p: p + 0.01 if p.ndim < 2 else p, params)

    def outputs(params, inputs):
        out = model.apply({"params": params, **variables}, *inputs, train=False)
        floats = [y for y in jax.tree.leaves(out) if jnp.issubdtype(y.dtype, jnp.floating)]
        return sum(jnp.mean(jnp.sin(y)) for y in floats)

    def loss(params):
        return outputs(params, inputs)

    flat, unravel = ravel_pytree(params)

    @jax.jit
    def product(vector):
        def slope(w):
            return jnp.vdot(jax.grad(lambda w: loss(unravel(w)))(w), vector)

        return jax.grad(slope)(flat)

    found = inspect.lanczos(loss, params, steps=3)
    top = ravel_pytree(found.top)[0]
    scale = float(np.abs(found.values).max())
    assert float(top @ product(top)) == pytest.approx(found.values[-1], abs=2e-3 * scale)
    rest = product(top) - found.values[-1] * top
    assert float(jnp.linalg.norm(rest)) == pytest.approx(found.residual, abs=5e-3 * scale)
    trace = inspect.hessian_trace(loss, params, samples=2)
    signs = [
        jax.random.rademacher(key, flat.shape, flat.dtype)
        for key in jax.random.split(jax.random.key(0), 2)
    ]
    each = [float(sign @ product(sign)) for sign in signs]
    size = sum(float(jnp.abs(sign) @ jnp.abs(product(sign))) for sign in signs)
    assert float(trace.value) == pytest.approx(np.mean(each), abs=1e-3 * size)
    assert float(inspect.sharpness(loss, params, radius=1e-2)) > 0

    # Of the examples: every input has their axis.
    def of_examples(params, model_state, batch, key, *, train):
        each = jax.vmap(lambda row: outputs(params, [x[None] for x in row]))
        return Mean.from_values(each(batch["x"]), batch["mask"]), Aux({}, model_state)

    rows = [x for x in inputs if len(x) == len(inputs[0])]
    batch = {"x": rows, "mask": np.ones(len(inputs[0]), bool)}
    state = train.TrainState(jnp.int32(0), params, {}, None, key=jax.random.key(0))
    noise = jax.jit(lambda s, b: inspect.gradient_noise_scale(of_examples, s, b))(state, batch)
    assert float(noise.variance) > 0
    assert np.isfinite(float(noise.square))
