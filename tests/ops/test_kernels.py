"""Kernels of two points against scikit-learn's matrices."""

import functools

import jax
import numpy as np
import pytest
from sklearn.metrics import pairwise

from jaxdl import ops

CASES = {
    "linear": (ops.linear_kernel, pairwise.linear_kernel, {}, {}),
    "polynomial": (
        ops.polynomial_kernel,
        pairwise.polynomial_kernel,
        {"degree": 2, "gamma": 0.3, "bias": 1.0},
        {"degree": 2, "gamma": 0.3, "coef0": 1.0},
    ),
    "rbf": (ops.rbf_kernel, pairwise.rbf_kernel, {"gamma": 0.2}, {"gamma": 0.2}),
    "sigmoid": (
        ops.sigmoid_kernel,
        pairwise.sigmoid_kernel,
        {"gamma": 0.1, "bias": -0.5},
        {"gamma": 0.1, "coef0": -0.5},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gram_agrees_with_scikit_learn(name):
    kernel, reference, options, their_options = CASES[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    got = ops.gram(functools.partial(kernel, **options), x, y)
    want = reference(x.astype(float), y.astype(float), **their_options)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_positive_definite_and_one_at_no_distance():
    x = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    gram = ops.gram(functools.partial(ops.rbf_kernel, gamma=0.5), x)
    np.testing.assert_array_equal(np.diagonal(gram), 1)
    assert np.linalg.eigvalsh(np.asarray(gram, float)).min() > -1e-6


def test_gradient_in_the_options():
    x, y = np.array([1.0, 2.0]), np.array([0.0, 1.0])
    got = jax.grad(lambda gamma: ops.rbf_kernel(x, y, gamma=gamma))(0.3)
    np.testing.assert_allclose(got, -2 * np.exp(-0.6), rtol=1e-6)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"two points \[D\], got \(2,\) and \(3,\)"):
        ops.linear_kernel(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        ops.gram(ops.linear_kernel, np.ones((2, 3)), np.ones((2, 4)))
