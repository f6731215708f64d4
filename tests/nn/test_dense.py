"""The dense layer against Flax's own, whose numbers and parameters it has."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn

OURS, FLAX = nn.Dense(5), flax.linen.Dense(5)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 0, 4), (2, 3, 2, 4)])
def test_values_and_gradients_are_flaxs(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    variables = FLAX.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, OURS.init(jax.random.key(0), x), variables)

    def loss(layer, variables, x):
        return jnp.sin(layer.apply(variables, x)).sum()

    for function in (loss, jax.jit(jax.grad(loss, (1, 2)), static_argnums=0)):
        got, want = function(OURS, variables, x), function(FLAX, variables, x)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, want)
    if len(shape) > 1:
        over = jax.vmap(lambda x: OURS.apply(variables, x))
        np.testing.assert_allclose(over(x), FLAX.apply(variables, x), atol=1e-6)


def test_second_derivatives_and_mixed_precision():
    x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    variables = FLAX.init(jax.random.key(0), x)

    def hessian(layer):
        return jax.hessian(lambda x: jnp.sin(layer.apply(variables, x)).sum())(x)

    np.testing.assert_allclose(hessian(OURS), hessian(FLAX), atol=1e-5)
    half = nn.Dense(5, dtype=jnp.bfloat16).apply(variables, x)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, FLAX.clone(dtype=jnp.bfloat16).apply(variables, x))
