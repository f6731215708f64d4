"""Columns in any units: every learner reaches the float64 optimum, or says that it did not.

The optimum is known by its own condition, checked in float64: the slope of each coefficient, beside
the sum of the absolute values that cancel in it, vanishes, however long or short the column is.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn import linear_model

from jaxdl import classical

SCALES = {
    "alike": np.array([1.0, 1.0, 1.0]),
    "large": np.array([1e4, 1.0, 1e4]),
    "small": np.array([1e-4, 1.0, 1e-4]),
    "both": np.array([1e4, 1e-4, 1.0]),
}
# (penalty, l1) as multiples of what the columns themselves weigh
PENALTIES = [(1e-9, 0.0), (1e-2, 0.0), (1.0, 0.0), (0.0, 0.3), (1e-2, 1.0)]


def table(scale, *, dependent=False, classes=2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    if dependent:
        x[:, 2] = x[:, 1] + 1e-2 * x[:, 2]
    z = x @ [1.0, -1.0, 0.5]
    y = np.digitize(z + rng.normal(size=300), np.quantile(z, np.arange(1, classes) / classes))
    return (x + 0.3) * SCALES[scale], y


def slopes(x, g, w, penalty, l1):
    """Greatest slope beside what cancels in it; at a 0 the part steeper than the l1 penalty."""
    part = np.einsum("nd,nk->dk", np.abs(x), np.abs(g)) + penalty * np.abs(w) + l1
    slope = x.T @ g + penalty * w
    slope = np.where(w != 0, np.abs(slope + l1 * np.sign(w)), np.maximum(np.abs(slope) - l1, 0))
    bias = np.abs(g.sum(0)) / np.abs(g).sum(0)
    return max((slope / part).max(), bias.max())


def columns(params):
    w, b = np.asarray(params.coefficients, np.float64), np.asarray(params.intercept, np.float64)
    return (w, b) if w.ndim == 2 else (w[:, None], b[None])


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("penalty, l1", PENALTIES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("learner", ["logistic", "softmax"])
def test_likelihoods_in_any_units(learner, scale, penalty, l1, dependent):
    x, y = table(scale, dependent=dependent, classes=2 if learner == "logistic" else 3)
    x = x.astype(np.float32)
    options = {"l1": l1} if l1 else {}
    if learner == "logistic":
        params, report = classical.fit_logistic(x, y, penalty, **options)
        q = y[:, None]
    else:
        params, report = classical.fit_softmax(x, y, penalty, num_classes=3, **options)
        q = np.eye(3)[y]
    w, b = columns(params)
    z = x.astype(np.float64) @ w + b
    p = special.expit(z) if learner == "logistic" else special.softmax(z, axis=1)
    assert report.converged
    assert slopes(x.astype(np.float64), p - q, w, penalty, l1) < 1e-4


@pytest.mark.parametrize("c", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("scale", SCALES)
def test_squared_hinge_in_any_units(scale, c):
    x, y = table(scale)
    x = x.astype(np.float32)
    params, report = classical.fit_linear_svm(x, y, c=c)
    w, b = columns(params)
    sign = 2.0 * y[:, None] - 1
    slack = np.maximum(1 - sign * (x.astype(np.float64) @ w + b), 0)
    assert report.converged
    assert slopes(x.astype(np.float64), -2 * c * sign * slack, w, 1.0, 0.0) < 1e-4


@pytest.mark.parametrize("c", [1e-9, 1.0])
@pytest.mark.parametrize("scale", SCALES)
def test_hinge_in_any_units_is_solved_or_said_not_to_be(scale, c):
    x, y = table(scale)
    x = x.astype(np.float32).astype(np.float64)
    params, report = classical.fit_linear_svm(x, y, c=c, loss="hinge", max_steps=20_000)
    w, b = columns(params)
    hinge = np.maximum(1 - (2.0 * y - 1) * (x @ w + b)[:, 0], 0).sum()
    primal = (w**2).sum() / 2 + c * hinge
    u = x / SCALES[scale]  # the same problem, in units where anything can solve it
    best = _least_hinge(u, 2.0 * y - 1, c, SCALES[scale])
    assert not report.converged or primal <= best * (1 + 1e-3)
    assert report.converged or c * SCALES[scale].max() ** 2 > 1e3


def _least_hinge(u, sign, c, scale):
    """An upper bound of the optimum: subgradient-free, a smoothed hinge by BFGS, made exact."""
    from scipy import optimize

    width = 1e-3

    def smooth(t):
        margin = 1 - sign * (u @ t[:3] + t[3])
        loss = width * np.logaddexp(0, margin / width)
        slope = -sign * special.expit(margin / width)
        value = (t[:3] ** 2 / scale**2).sum() / 2 + c * loss.sum()
        return value / c, np.append(t[:3] / scale**2 + c * u.T @ slope, c * slope.sum()) / c

    t = optimize.minimize(smooth, np.zeros(4), jac=True, method="L-BFGS-B").x
    hinge = np.maximum(1 - sign * (u @ t[:3] + t[3]), 0).sum()
    return (t[:3] ** 2 / scale**2).sum() / 2 + c * hinge


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("scale", SCALES)
def test_squares_in_any_units(scale, penalty):
    x, _ = table(scale)
    x = x.astype(np.float32)
    u = x.astype(np.float64) / SCALES[scale]
    y = (u @ [1.0, -1.0, 0.5] + 0.1 * np.random.default_rng(1).normal(size=300)).astype(np.float32)
    fits = {
        "ridge": classical.fit_ridge(x, y, penalty),
        "path": classical.ridge_path(x, y, [penalty]),
        "elastic net": classical.fit_elastic_net(x, y, penalty / 300, l1_ratio=0.0),
        "lasso": classical.fit_lasso(x, y, 0.0),
        "least squares": classical.fit_least_squares(x, y),
    }
    for name, (params, report) in fits.items():
        params = (
            classical.Linear(
                *(np.asarray(leaf)[0] for leaf in (params.coefficients, params.intercept))
            )
            if name == "path"
            else params
        )
        own = penalty if name in ("ridge", "path", "elastic net") else 0.0
        w, b = columns(params)
        g = x.astype(np.float64) @ w + b - y[:, None]
        solved = slopes(x.astype(np.float64), g, w, own, 0.0) < 1e-3
        assert solved == bool(np.all(report.converged)), name
        assert solved or name == "path", name  # the one that says it needs columns of one scale
    alpha = 0.05
    params, report = classical.fit_lasso(x, y, alpha * SCALES[scale].min())
    want = linear_model.Lasso(alpha * SCALES[scale].min(), tol=1e-10, max_iter=10**6)
    want.fit(x.astype(np.float64), y.astype(np.float64))
    assert report.converged
    np.testing.assert_allclose(
        params.coefficients * SCALES[scale], want.coef_ * SCALES[scale], rtol=1e-3, atol=1e-4
    )


def test_the_case_where_the_loss_was_far_from_its_least():
    """First column times 1e4: the log loss stopped at .75 where .67 can be had."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) * [1e4, 1.0]
    y = (x @ [2e-5, 0.3] + rng.logistic(size=300) > 0).astype(int)
    params, report = classical.fit_softmax(x, y, 1e-9, num_classes=2)
    unit = linear_model.LogisticRegression(C=np.inf, tol=1e-10).fit(x / [1e4, 1.0], y)
    w, b = columns(params)
    z = x @ w + b
    got = -np.mean(special.log_softmax(z, axis=1)[np.arange(300), y])
    p = unit.predict_proba(x / [1e4, 1.0])
    assert report.converged
    np.testing.assert_allclose(got, -np.mean(np.log(p[np.arange(300), y])), rtol=1e-6)


def test_constant_columns_and_a_penalty_that_outweighs_the_examples():
    x, y = table("alike")
    x = np.concatenate([x, np.full((300, 1), 1e4 / 3)], axis=1)
    for learner in (classical.fit_logistic, lambda *a: classical.fit_softmax(*a, num_classes=2)):
        params, report = learner(x, y, 0.0)
        assert report.converged
        np.testing.assert_array_equal(jnp.abs(params.coefficients[3]).max(), 0)
        params, report = learner(x, y, 1e12)
        assert report.converged
        assert jnp.abs(params.coefficients).max() < 1e-8
