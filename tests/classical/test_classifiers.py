"""Logistic, softmax, perceptron, SVM, naive Bayes and neighbors against scikit-learn."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import datasets, linear_model, naive_bayes, neighbors, svm

from jaxdl import classical, ops
from tests.classical.real import relative, standardized

RBF = functools.partial(ops.rbf_kernel, gamma=1 / 30)  # SVC's "scale" for 30 standardized columns


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_logistic_agrees_with_scikit_learn(c):
    x, y = standardized("breast_cancer")
    params, report = classical.fit_logistic(x, y, 1 / c)
    want = linear_model.LogisticRegression(C=c, tol=1e-10, solver="newton-cholesky").fit(x, y)
    assert report.converged
    assert relative(params.coefficients, want.coef_[0]) < 1e-4
    assert relative(params.intercept, want.intercept_[0]) < 1e-4
    p = jax.nn.sigmoid(classical.linear(params, x))
    np.testing.assert_allclose(p, want.predict_proba(x)[:, 1], atol=1e-5)


def test_logistic_with_an_l1_penalty():
    """The optimum's own conditions, which scikit-learn's saga meets to 1e-8 here."""
    x, y = standardized("breast_cancer")
    params, report = classical.fit_logistic(x, y, 0.0, l1=10.0)
    want = linear_model.LogisticRegression(
        C=0.1, l1_ratio=1, solver="saga", max_iter=5000, tol=1e-9
    )
    want.fit(x, y)
    assert report.converged
    np.testing.assert_array_equal(params.coefficients == 0, want.coef_[0] == 0)
    assert relative(params.coefficients, want.coef_[0]) < 1e-4
    assert relative(params.intercept, want.intercept_[0]) < 1e-4


@pytest.mark.parametrize("name, c", [("wine", 1.0), ("digits", 0.1)])
def test_softmax_agrees_with_scikit_learn(name, c):
    x, y = (array[:600] for array in standardized(name))
    want = linear_model.LogisticRegression(C=c, tol=1e-8, solver="newton-cholesky")
    want.fit(x, y)
    params, report = classical.fit_softmax(x, y, 1 / c, num_classes=len(want.classes_))
    assert report.converged
    assert relative(params.coefficients, want.coef_.T) < 1e-4
    assert relative(params.intercept, want.intercept_) < 1e-4


def test_softmax_labels_smoothing_and_l1():
    x, y = standardized("wine")
    one_hot = np.eye(3)[y]
    sparse, _ = classical.fit_softmax(x, y, 1.0, num_classes=3, label_smoothing=0.1)
    dense, _ = classical.fit_softmax(x, 0.9 * one_hot + 0.1 / 3, 1.0)
    assert relative(sparse.coefficients, dense.coefficients) < 1e-5
    params, report = classical.fit_softmax(x, y, 0.0, num_classes=3, l1=5.0)
    z = x @ np.asarray(params.coefficients, float) + np.asarray(params.intercept, float)
    p = np.exp(z - z.max(1, keepdims=True))
    slope = x.T @ (p / p.sum(1, keepdims=True) - one_hot)
    w = np.asarray(params.coefficients)
    assert report.converged
    assert (w == 0).sum() > 10
    np.testing.assert_allclose(slope[w != 0], -5 * np.sign(w[w != 0]), atol=2e-3)
    assert np.abs(slope).max() < 5.002
    with pytest.raises(ValueError, match="integer labels need num_classes"):
        classical.fit_softmax(x, y)


def test_several_labels_are_several_models():
    x, y = standardized("wine")
    both = np.stack([y == 0, y == 2], axis=1).astype(float)
    params, report = classical.fit_logistic(x, both, 1.0)
    alone, _ = classical.fit_logistic(x, both[:, 1], 1.0)
    assert params.coefficients.shape == (13, 2)
    assert report.converged.shape == (2,)
    assert relative(params.coefficients[:, 1], alone.coefficients) < 1e-5


def test_no_finite_optimum_is_reported():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    for y in ([0, 0, 1, 1], [1, 1, 1, 1]):  # separable; one class only
        params, report = classical.fit_logistic(x, np.array(y), 0.0)
        assert not report.converged
        np.testing.assert_array_equal(classical.classify(classical.linear(params, x)), y)
    params, report = classical.fit_logistic(jnp.array([[jnp.nan], [1.0]]), jnp.array([0, 1]), 1.0)
    assert not report.converged
    assert jnp.isnan(params.coefficients).all()


def test_threshold():
    logits = jnp.log(jnp.array([0.2, 0.5, 0.7]) / (1 - jnp.array([0.2, 0.5, 0.7])))
    np.testing.assert_array_equal(classical.classify(logits), [0, 1, 1])
    np.testing.assert_array_equal(classical.classify(logits, threshold=0.6), [0, 0, 1])
    # The sigmoid rounds these to the threshold.
    np.testing.assert_array_equal(classical.classify([-1e-8, -1e-30, 0.0, 1e-30]), [0, 0, 1, 1])
    np.testing.assert_array_equal(classical.classify([16.9, 17.1], threshold=1 - 4e-8), [0, 1])
    with pytest.raises(ValueError, match="strictly between 0 and 1, got 1"):
        classical.classify(logits, threshold=1)


@pytest.mark.parametrize("epochs", [1, 20])
def test_perceptron_agrees_with_scikit_learn(epochs):
    x, y = standardized("breast_cancer")
    x, y = np.roll(x, -19, 0), np.roll(y, -19)  # the rules differ at z = 0 exactly: start with a 1
    assert y[0] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = linear_model.Perceptron(shuffle=False, tol=None, max_iter=epochs).fit(x, y)
    params, report = classical.fit_perceptron(x, y, max_epochs=epochs)
    assert relative(params.coefficients, want.coef_[0]) < 1e-4
    assert report.steps == epochs
    assert not report.converged


def test_perceptron_stops_on_separable_data_and_never_learns_xor():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    params, report = classical.fit_perceptron(x, np.array([0, 0, 0, 1]))
    assert report.converged
    assert report.steps < 20
    np.testing.assert_array_equal(classical.linear(params, x) > 0, [0, 0, 0, 1])
    params, report = classical.fit_perceptron(x, np.array([0, 1, 1, 0]), max_epochs=50)
    assert not report.converged
    assert report.steps == 50
    averaged, _ = classical.fit_perceptron(x, np.array([0, 1, 1, 0]), max_epochs=50, average=True)
    assert relative(averaged.coefficients, params.coefficients) > 1e-3


def test_kernel_svm_has_the_support_vectors_of_libsvm():
    x, y = standardized("breast_cancer")
    want = svm.SVC(tol=1e-6).fit(x, y)
    params, report = classical.fit_kernel_svm(x, y, RBF)
    assert report.converged
    np.testing.assert_array_equal(np.flatnonzero(params.coefficients), np.sort(want.support_))
    got = classical.kernel_machine(params, x)
    np.testing.assert_allclose(got, want.decision_function(x), atol=1e-3)
    # A mask is the smaller problem.
    few = np.arange(len(y)) % 3 > 0
    masked, _ = classical.fit_kernel_svm(x, y, RBF, few)
    want = svm.SVC(tol=1e-6, gamma=1 / 30).fit(x[few], y[few])
    np.testing.assert_allclose(
        classical.kernel_machine(masked, x), want.decision_function(x), atol=1e-3
    )


def test_linear_svm_in_both_forms():
    x, y = standardized("breast_cancer")
    want = svm.LinearSVC(fit_intercept=False, tol=1e-9, max_iter=100_000, dual=False).fit(x, y)
    params, report = classical.fit_linear_svm(x, y, intercept=False)
    assert report.converged
    assert relative(params.coefficients, want.coef_[0]) < 1e-4
    want = svm.SVC(kernel="linear", tol=1e-7).fit(x, y)
    params, report = classical.fit_linear_svm(x, y, loss="hinge")
    assert report.converged
    assert relative(params.coefficients, want.coef_[0]) < 1e-3
    # Squared hinge with a free intercept: the slope of its primal vanishes.
    params, _ = classical.fit_linear_svm(x, y, c=0.1)
    sign = 2.0 * y - 1
    slack = np.maximum(1 - sign * np.asarray(classical.linear(params, x), float), 0)
    np.testing.assert_allclose((sign * slack).sum(), 0, atol=1e-3)
    np.testing.assert_allclose(params.coefficients, 0.2 * x.T @ (sign * slack), atol=1e-4)
    with pytest.raises(ValueError, match="loss must be"):
        classical.fit_linear_svm(x, y, loss="logistic")


def test_svm_with_one_class_only():
    params, _ = classical.fit_kernel_svm(np.ones((3, 1)), np.ones(3))
    assert (classical.kernel_machine(params, np.zeros((2, 1))) > 0).all()
    params, _ = classical.fit_kernel_svm(np.ones((3, 1)), np.zeros(3))
    assert (classical.kernel_machine(params, np.zeros((2, 1))) < 0).all()


def test_one_vs_rest_is_each_class_alone():
    x, y = standardized("wine")
    params = classical.fit_one_vs_rest(lambda x, y: classical.fit_kernel_svm(x, y, RBF)[0], x, y, 3)
    scores = classical.one_vs_rest_scores(classical.kernel_machine, params, x)
    alone, _ = classical.fit_kernel_svm(x, y == 1, RBF)
    np.testing.assert_allclose(scores[:, 1], classical.kernel_machine(alone, x), atol=2e-4)
    assert (np.argmax(scores, 1) == y).mean() > 0.99


@pytest.mark.parametrize("smoothing", [1.0, 0.1])
def test_naive_bayes_agrees_with_scikit_learn(smoothing):
    x, y = datasets.load_digits(return_X_y=True)
    pairs = [
        (classical.fit_multinomial_bayes, naive_bayes.MultinomialNB, x),
        (classical.fit_bernoulli_bayes, naive_bayes.BernoulliNB, (x > 0).astype(float)),
    ]
    for fit, reference, x in pairs:
        params, report = fit(x, y, num_classes=10, smoothing=smoothing)
        assert report.converged
        want = reference(alpha=smoothing).fit(x, y)
        np.testing.assert_allclose(
            jax.nn.log_softmax(classical.linear(params, x)), want.predict_log_proba(x), atol=2e-3
        )
    with pytest.raises(ValueError, match="smoothing must be >= 0, got -1"):
        classical.fit_multinomial_bayes(x, y, num_classes=10, smoothing=-1)


def test_neighbors_agree_with_scikit_learn():
    x, y = datasets.load_digits(return_X_y=True)
    train, test = slice(0, 500), slice(500, 600)
    reference = neighbors.KNeighborsClassifier(5, algorithm="brute").fit(x[train], y[train])
    distances, index = classical.nearest_neighbors(x[train], x[test], 5)
    want_distances, want_index = reference.kneighbors(x[test])
    np.testing.assert_allclose(distances, want_distances, rtol=1e-5)
    assert (np.asarray(index) == want_index).mean() > 0.98  # equal distances may be ordered freely
    votes = classical.neighbor_votes(x[train], y[train], x[test], 5, num_classes=10)
    np.testing.assert_allclose(votes / 5, reference.predict_proba(x[test]))
    few = np.arange(500) < 3
    votes = classical.neighbor_votes(x[train], y[train], x[test], 5, few, num_classes=10)
    np.testing.assert_array_equal(votes.sum(1), 3)  # three points to find, three votes
    with pytest.raises(ValueError, match=r"k must lie in 1..500, got 501"):
        classical.nearest_neighbors(x[train], x[test], 501)


@pytest.mark.parametrize("seed", range(8))
def test_planes_that_part_all_but_what_lies_on_them_have_no_optimum(seed):
    """Quasi-complete separation; the same examples with some overlap have one."""
    rng = np.random.default_rng(seed)
    x = np.float32(rng.integers(0, 2, (200, 2)) * [1, 10.0 ** rng.integers(-3, 4)])
    parted = np.where(x[:, 0] == 1, 1, rng.integers(0, 2, 200))
    mixed = np.where(rng.random(200) < 0.1, 1 - parted, parted)
    for y, optimum in ((parted, False), (mixed, True)):
        _, one = classical.fit_logistic(x, y, 0.0)
        _, several = classical.fit_softmax(x, y, 0.0, num_classes=2)
        assert (bool(one.converged), bool(several.converged)) == (optimum, optimum)
    assert bool(classical.fit_logistic(x / x.max(0), parted, 1.0)[1].converged)
