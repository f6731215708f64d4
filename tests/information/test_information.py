"""Information theory against SciPy and scikit-learn, by the identities, and at the edges."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from jaxdl import information as info
from tests.references import reference

X, Y = 4, 5


def dirichlet(seed, *shape):
    """Tables with exact zeros in them."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(math.prod(shape), 0.5), 3)
    p[rng.random(p.shape) < 0.2] = 0
    p[:, 0] += 0.1
    return (p / p.sum(-1, keepdims=True)).reshape(3, *shape).astype(np.float32)


@pytest.mark.parametrize("lift", [lambda f: f, jax.jit, jax.vmap], ids=["plain", "jit", "vmap"])
@pytest.mark.parametrize("base", [math.e, 2.0])
def test_discrete_against_scipy(base, lift):
    p, q = dirichlet(0, 7), np.random.default_rng(1).dirichlet(np.ones(7), 3).astype(np.float32)
    p64, q64 = p.astype(float), q.astype(float)
    kl = scipy.stats.entropy(p64, q64, base=base, axis=-1)
    h = scipy.stats.entropy(p64, base=base, axis=-1)
    js = scipy.spatial.distance.jensenshannon(p64, q64, base=base, axis=-1) ** 2
    for function, arguments, want in [
        (info.entropy, (p,), h),
        (info.kl_divergence, (p, q), kl),
        (info.cross_entropy, (p, q), h + kl),
        (info.js_divergence, (p, q), js),
    ]:
        got = lift(lambda *a, f=function: f(*a, base=base))(*arguments)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


@given(st.integers(0, 10**6))
def test_identities_of_the_notes(seed):
    """Chain rule, bounds and the forms of mutual information, on tables with zeros."""
    (hx, hy, hxy, hy_x, hx_y, mi, product_kl, transposed) = everything(dirichlet(seed, X, Y))
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6)  # noqa: E731
    close(hy_x, hxy - hx)
    close(mi, hx + hy - hxy)
    close(mi, hx - hx_y)
    close(mi, hy - hy_x)
    close(mi, hxy - hx_y - hy_x)
    close(mi, product_kl)
    close(mi, transposed)
    assert (mi > -1e-6).all()
    assert (np.maximum(hx, hy) <= hxy + 1e-6).all()
    assert (hxy <= hx + hy + 1e-6).all()
    assert (hx <= math.log(X) + 1e-6).all()


@jax.jit
def everything(pxy):
    px, py = pxy.sum(-1), pxy.sum(-2)
    turned = jnp.swapaxes(pxy, -1, -2)
    given_y = jnp.where(py[..., None] > 0, turned / jnp.maximum(py, 1e-30)[..., None], 0)
    expected = jnp.sum(
        py * info.kl_divergence(given_y, jnp.broadcast_to(px[:, None], given_y.shape)), -1
    )
    return (
        info.entropy(px),
        info.entropy(py),
        info.joint_entropy(pxy),
        info.conditional_entropy(pxy),
        info.conditional_entropy(turned),
        info.mutual_information(pxy),
        expected,
        info.mutual_information(turned),
    )


def test_mutual_information_of_samples_is_sklearns():
    sk = reference("sklearn.metrics")
    rng = np.random.default_rng(0)
    x = rng.integers(0, X, 200)
    y = (x + rng.integers(0, 2, 200)) % Y
    table = info.table_of(x, y, sizes=(X, Y))
    np.testing.assert_allclose(
        info.mutual_information(table), sk.mutual_info_score(x, y), rtol=1e-5
    )
    mask = np.arange(200) < 100
    half = info.table_of(x, y, sizes=(X, Y), weights=mask)
    np.testing.assert_allclose(half, info.table_of(x[:100], y[:100], sizes=(X, Y)), rtol=1e-6)
    assert info.table_of(np.array([-1, 9]), sizes=(3,)).sum() == 0


def test_a_bijection_shares_everything_and_independence_nothing():
    p = jnp.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(info.mutual_information(jnp.diag(p)), info.entropy(p), rtol=1e-6)
    np.testing.assert_allclose(info.mutual_information(jnp.outer(p, p)), 0, atol=1e-6)


@pytest.mark.parametrize("small", [1e-10, 1e-20, 1e-30])
def test_rare_pairs_have_no_product_too_small_for_a_float(small):
    """`p(x) p(y)` of a pair of 1e-20 is 1e-40; the two have a logarithm all the same."""
    table = np.array([[1.0, 0.0], [0.0, small]], np.float32)
    t = table.astype(float)
    pmi = np.log(t[1, 1] / t[1].sum() / t[:, 1].sum())
    np.testing.assert_allclose(info.mutual_information(table), t[1, 1] * pmi, rtol=1e-5, atol=1e-30)
    got = info.pointwise_mutual_information(table)
    np.testing.assert_allclose(got, [[0, -np.inf], [-np.inf, pmi]], rtol=1e-6)


def test_infinity_is_not_hidden():
    """T11: KL and cross entropy are inf where q = 0 < p; gradients stay finite where they exist."""
    one, half = jnp.array([1.0, 0.0]), jnp.array([0.5, 0.5])
    assert info.kl_divergence(half, one) == jnp.inf
    assert info.cross_entropy(half, one) == jnp.inf
    assert info.kl_divergence(one, half) == jnp.log(2)
    assert info.self_information(0.0) == jnp.inf
    np.testing.assert_allclose(info.js_divergence(one, one[::-1], base=2), 1)
    for function in (info.kl_divergence, info.js_divergence, info.cross_entropy):
        chex.assert_tree_all_finite(jax.grad(function, argnums=(0, 1))(one, half))
    chex.assert_tree_all_finite(jax.grad(info.entropy)(one))
    chex.assert_tree_all_finite(jax.grad(info.mutual_information)(jnp.diag(half)))


def test_self_information_is_of_the_probability():
    """A binary string of n fair digits has n bits: `-log2(2^-n)`, not `-log2(n)`."""
    np.testing.assert_allclose(info.self_information(2.0**-8, base=2), 8)
    np.testing.assert_allclose(info.perplexity(jnp.full(6, 1 / 6)), 6, rtol=1e-6)


def test_pointwise_is_averaged_into_mutual_information():
    pxy = dirichlet(3, X, Y)[0]
    pmi = info.pointwise_mutual_information(pxy)
    average = np.sum(np.where(pxy > 0, pxy * np.where(pxy > 0, pmi, 0), 0))
    np.testing.assert_allclose(average, info.mutual_information(pxy), rtol=1e-5)
    assert info.pointwise_mutual_information(jnp.diag(jnp.array([0.5, 0.5])))[0, 1] == -jnp.inf
    assert info.pointwise_mutual_information(jnp.diag(jnp.array([1.0, 0.0])))[0, 1] == 0


def test_gaussians_against_scipy_and_numerical_integrals():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 3))
    cov0, cov1 = a @ a.T + np.eye(3), b @ b.T + np.eye(3)
    mean0, mean1 = rng.normal(size=(2, 3))
    normal0 = scipy.stats.multivariate_normal(mean0, cov0)
    normal1 = scipy.stats.multivariate_normal(mean1, cov1)
    np.testing.assert_allclose(info.gaussian_entropy(cov0), normal0.entropy(), rtol=1e-5)
    sample = normal0.rvs(200_000, random_state=0)
    estimate = np.mean(normal0.logpdf(sample) - normal1.logpdf(sample))
    kl = info.gaussian_kl(mean0, cov0, mean1, cov1)
    np.testing.assert_allclose(kl, estimate, rtol=0.02)
    cross = -np.mean(normal1.logpdf(sample))
    np.testing.assert_allclose(
        info.gaussian_cross_entropy(mean0, cov0, mean1, cov1), cross, rtol=0.01
    )
    np.testing.assert_allclose(info.gaussian_kl(mean0, cov0, mean0, cov0), 0, atol=1e-5)
    rho = 0.8  # two correlated numbers share -1/2 log(1 - rho^2)
    got = info.gaussian_mutual_information(jnp.array([[4, 2 * rho], [2 * rho, 1]]), 1, base=2)
    np.testing.assert_allclose(got, -0.5 * np.log2(1 - rho**2), rtol=1e-5)
    assert jnp.isnan(info.gaussian_entropy(-jnp.eye(2)))


def test_cooccurrence_by_hand():
    ids = jnp.array([0, 1, 2, 0, 9, 1])  # 9 is no word, but keeps its place
    got = info.cooccurrence(ids, 3, window=2)
    np.testing.assert_array_equal(got, [[0, 2, 1], [1, 0, 1], [1, 0, 0]])
    assert info.cooccurrence(jnp.zeros(0, int), 3, window=2).sum() == 0


def test_words_that_belong_together():
    words = ("new york is big . new york is far . the sun is far . " * 3).split()
    table = info.word_associations(words, window=1, min_count=3)
    assert table[0][:2] == ("the", "sun")
    best = {(a.first, a.second): a for a in table}
    assert best["new", "york"].times == 6
    pairs = len(words) - 1
    expected = np.log2((6 / pairs) / ((6 / pairs) * (6 / pairs)))
    np.testing.assert_allclose(best["new", "york"].pmi, expected, rtol=1e-4)
    smooth = info.word_associations(words, window=1, min_count=3, smoothing=1.0)
    assert {(a.first, a.second): a.pmi for a in smooth}["the", "sun"] < table[0].pmi  # T22
    assert info.word_associations([]) == []


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: info.kl_divergence(jnp.ones(2), jnp.ones(3) / 3), r"\(2,\).*\(3,\)"),
        (lambda: info.kl_divergence(jnp.ones((2, 1)), jnp.ones(2)), r"\(2, 1\).*\(2,\)"),
        (lambda: info.entropy(1.0), "scalar"),
        (lambda: info.entropy(jnp.ones(1), base=1), "base"),
        (lambda: info.mutual_information(jnp.ones(3)), r"\[..., X, Y\]"),
        (lambda: info.table_of(jnp.ones(3, int), sizes=(2, 2)), "sizes"),
        (lambda: info.gaussian_entropy(jnp.ones(3)), r"\[..., D, D\]"),
        (lambda: info.gaussian_mutual_information(jnp.eye(2), 2), "split"),
        (lambda: info.gaussian_kl(np.ones(2), np.eye(3), np.ones(2), np.eye(3)), "do not fit"),
        (lambda: info.cooccurrence(jnp.ones(3, int), 2, window=0), "window"),
        (lambda: info.word_associations(["a"], min_count=0), "min_count"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
