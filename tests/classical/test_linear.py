"""Least squares, ridge, lasso, elastic net and gradient descent against scikit-learn and NumPy."""

import os
import pathlib

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model

from jaxdl import classical
from tests.classical.real import relative, standardized

NAMES = ["breast_cancer", "diabetes", "digits", "wine"]


@pytest.mark.parametrize("name", NAMES)
def test_least_squares_and_ridge_agree_with_scikit_learn(name):
    x, y = standardized(name)
    params, report = jax.jit(classical.fit_least_squares)(x, y)
    reference = linear_model.LinearRegression().fit(x, y)
    assert relative(params.coefficients, reference.coef_) < 1e-4
    assert relative(classical.linear(params, x), reference.predict(x)) < 1e-5
    penalties = np.array([0.1, 1.0, 10.0, 1000.0])
    path, path_report = jax.jit(classical.ridge_path)(x, y, penalties)
    assert report.converged
    assert path_report.converged.all()
    for i, penalty in enumerate(penalties):
        want = linear_model.Ridge(penalty).fit(x, y)
        assert relative(path.coefficients[i], want.coef_) < 1e-4
        assert relative(path.intercept[i], want.intercept_) < 1e-4
    one, _ = jax.jit(classical.fit_ridge)(x, y, 10.0)
    assert relative(one.coefficients, path.coefficients[2]) < 1e-4


def test_columns_in_raw_units():
    """Units of 1e4 beside units of 1e-2, as in the airfoil table, cost no digits."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)) * [1e4, 1.0, 1e-2, 50.0] + [3e4, 0.0, 0.02, 10.0]
    y = x @ [1e-4, 2.0, 30.0, 0.1] + 120 + rng.normal(size=200)
    for got, want in [
        (classical.fit_least_squares(x, y)[0], linear_model.LinearRegression().fit(x, y)),
        (classical.fit_ridge(x, y, 0.5)[0], linear_model.Ridge(0.5, solver="svd").fit(x, y)),
    ]:
        np.testing.assert_allclose(got.coefficients, want.coef_, rtol=1e-4)
        np.testing.assert_allclose(got.intercept, want.intercept_, rtol=1e-4)


@pytest.mark.slow
def test_airfoil_agrees_with_scikit_learn():
    folder = os.environ.get("JAXDL_DATA")
    if folder is None:
        pytest.skip("JAXDL_DATA names no folder of original data")
    table = np.loadtxt(pathlib.Path(folder) / "airfoil" / "airfoil_self_noise.dat")
    x, y = table[:, :5], table[:, 5]
    want = linear_model.LinearRegression().fit(x, y)
    got, _ = classical.fit_least_squares(x, y)
    np.testing.assert_allclose(got.coefficients, want.coef_, rtol=1e-4)
    for penalty in (0.1, 10.0):
        (got, _), want = classical.fit_ridge(x, y, penalty), linear_model.Ridge(penalty).fit(x, y)
        np.testing.assert_allclose(got.coefficients, want.coef_, rtol=1e-4)


@pytest.mark.parametrize("shape", [(30, 50), (60, 5)])
def test_dependent_columns_give_the_shortest_solution(shape):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=shape), rng.normal(size=(shape[0], 2))
    x = np.concatenate([x, 10.76 * x[:, :1], x[:, 1:2] - 0.1 * x[:, 2:3], np.full_like(y, 3)], 1)
    centered = x - x.mean(0)
    want = np.linalg.lstsq(centered, y - y.mean(0), rcond=None)[0]
    got, _ = classical.fit_least_squares(x, y)
    assert relative(got.coefficients, want) < 1e-4
    np.testing.assert_array_equal(got.coefficients[-2:], 0)  # constant columns
    plane, _ = classical.fit_least_squares(x, y, intercept=False)
    assert relative(plane.coefficients, np.linalg.lstsq(x, y, rcond=None)[0]) < 1e-4
    wide, _ = classical.fit_ridge(x, y, 0.5)
    assert relative(wide.coefficients, linear_model.Ridge(0.5).fit(x, y).coef_.T) < 1e-4


WEIGHTED = {
    "least squares": jax.jit(lambda x, y, w=None: classical.fit_least_squares(x, y, w)[0]),
    "ridge": jax.jit(lambda x, y, w=None: classical.fit_ridge(x, y, 0.3, w)[0]),
    "elastic net": jax.jit(lambda x, y, w=None: classical.fit_elastic_net(x, y, 0.05, w)[0]),
    "logistic": jax.jit(lambda x, y, w=None: classical.fit_logistic(x, y > 0, 1.0, w)[0]),
}


@pytest.mark.parametrize("name", WEIGHTED)
@hypothesis.given(st.integers(0, 10_000))
@hypothesis.settings(max_examples=10)
def test_weights_leave_examples_out(name, seed):
    """A weight of 0 is an example that is not there, NaN in it included; 2 is a row twice."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=20).astype(np.float32)
    weights = rng.permutation(np.repeat([0, 1, 2], [5, 10, 5]))
    rows = np.repeat(np.arange(20), weights)
    hidden = np.where(weights[:, None] == 0, np.nan, x)
    got, want = WEIGHTED[name](hidden, y, weights), WEIGHTED[name](x[rows], y[rows])
    np.testing.assert_allclose(got.coefficients, want.coefficients, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(got.intercept, want.intercept, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_elastic_net_path_agrees_with_scikit_learn(l1_ratio):
    x, y = standardized("diabetes")
    penalties = np.array([30.0, 10.0, 3.0, 1.0, 0.1])
    path, report = classical.elastic_net_path(x, y, penalties, l1_ratio=l1_ratio)
    assert report.converged.all()
    for i, penalty in enumerate(penalties):
        want = linear_model.ElasticNet(
            alpha=penalty, l1_ratio=l1_ratio, tol=1e-10, max_iter=100_000
        ).fit(x, y)
        assert relative(path.coefficients[i], want.coef_) < 1e-4
        np.testing.assert_array_equal(path.coefficients[i] == 0, want.coef_ == 0)
    alone, _ = classical.fit_lasso(x, y, 3.0)
    if l1_ratio == 1.0:
        assert relative(alone.coefficients, path.coefficients[2]) < 1e-5
        assert (path.coefficients[1] == 0).sum() > 0


def test_gradient_descent_in_its_three_forms_reaches_the_closed_form():
    x, y = standardized("diabetes")
    y = (y - y.mean()) / y.std()
    want, _ = classical.fit_ridge(x, y, 20.0)
    zero = classical.Linear(jnp.zeros(10), jnp.zeros(()))

    def half_square(z, y):
        return (z - y) ** 2 / 2

    options = {"penalty": 20.0, "key": jax.random.key(0)}
    batch, history = classical.gradient_descent(
        half_square, zero, x, y, learning_rate=0.3, epochs=600, **options
    )
    assert relative(batch.coefficients, want.coefficients) < 1e-3
    assert np.all(np.diff(history) <= 1e-6)
    np.testing.assert_allclose(history[0], 0.5, rtol=1e-5)  # before the first step
    for batch_size, rate in ((100, 0.05), (1, 1e-3)):  # 442 = 4 * 100 + 42: the rest is not lost
        got, _ = classical.gradient_descent(
            half_square,
            zero,
            x,
            y,
            learning_rate=rate,
            epochs=60,
            batch_size=batch_size,
            **options,
        )
        assert relative(got.coefficients, want.coefficients) < 0.2
    with pytest.raises(ValueError, match=r"batch_size must lie in 1\.\.442, got 0"):
        classical.gradient_descent(
            half_square, zero, x, y, learning_rate=1.0, epochs=1, batch_size=0
        )


def test_the_tricks_are_gradient_steps():
    params = classical.Linear(jnp.array([1.0, -2.0]), jnp.array(0.5))
    x, y = jnp.array([2.0, 3.0]), jnp.array(1.0)  # prediction -3.5, error 4.5
    got = classical.square_trick(params, x, y, 0.1)
    slope = jax.grad(lambda p: (classical.linear(p, x) - y) ** 2 / 2)(params)
    chex.assert_trees_all_close(got, jax.tree.map(lambda p, g: p - 0.1 * g, params, slope))
    got = classical.absolute_trick(params, x, y, 0.1)
    slope = jax.grad(lambda p: jnp.abs(classical.linear(p, x) - y))(params)
    chex.assert_trees_all_close(got, jax.tree.map(lambda p, g: p - 0.1 * g, params, slope))
    chex.assert_trees_all_close(classical.absolute_trick(params, x, jnp.array(-3.5), 0.1), params)


def test_bad_input():
    x, y = np.ones((4, 2)), np.ones(4)
    x[2, 1] = np.nan
    with pytest.raises(
        ValueError, match="x has 1 examples with NaN or infinity, the first in row 2"
    ):
        classical.fit_least_squares(x, y)
    for fit in (classical.fit_least_squares, lambda x, y: classical.ridge_path(x, y, np.ones(2))):
        params, report = jax.jit(fit)(jnp.asarray(x), y)
        assert jnp.isnan(params.coefficients).all()
        assert not report.converged.any()
    _, report = jax.jit(lambda x: classical.fit_lasso(x, y, 0.1))(jnp.asarray(x))
    assert not report.converged
    with pytest.raises(ValueError, match=r"y needs shape \[N\] or \[N, K\] with N=4, got \(3,\)"):
        classical.fit_least_squares(np.ones((4, 2)), np.ones(3))
    with pytest.raises(ValueError, match=r"weights need shape \(4,\), got \(4, 1\)"):
        classical.fit_least_squares(np.ones((4, 2)), y, np.ones((4, 1)))


def test_float64_stays_float64():
    with jax.enable_x64(True):
        x, y = standardized("diabetes")
        params, _ = classical.fit_least_squares(x, y)
        assert params.coefficients.dtype == jnp.float64
        assert (
            relative(params.coefficients, linear_model.LinearRegression().fit(x, y).coef_) < 1e-11
        )
