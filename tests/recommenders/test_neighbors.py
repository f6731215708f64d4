"""Collaborative filtering by neighbors against definitions written as loops."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import recommenders


def similarity(x, w, a, b, kind):
    both = w[a] & w[b]
    p, q = x[a][both].astype(float), x[b][both].astype(float)
    if kind == "pearson" and len(p):
        p, q = p - p.mean(), q - q.mean()
    length = np.sqrt((p * p).sum() * (q * q).sum())
    return (p * q).sum() / length if length > 1e-9 else 0.0


def table(seed=0, shape=(9, 12)):
    rng = np.random.default_rng(seed)
    return np.float32(rng.integers(1, 6, shape)), rng.random(shape) < 0.6


@pytest.mark.parametrize("kind", ["cosine", "pearson"])
def test_similarity_counts_what_both_rated(kind):
    x, w = table()
    w[3] = False  # somebody who rated nothing
    x[4] = 2.0  # somebody without variance
    got = recommenders.rating_similarity(x, w, jnp.arange(9), kind=kind, shrinkage=3)
    n = (w[:, None] & w[None]).sum(-1)
    want = [[similarity(x, w, a, b, kind) for b in range(9)] for a in range(9)]
    np.testing.assert_allclose(got, np.array(want) * n / (n + 3), atol=2e-6)


@pytest.mark.parametrize("kind", ["cosine", "pearson"])
@pytest.mark.parametrize("scale", [1e-3, 1e-12, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 800.0])
def test_similarity_has_no_unit(kind, scale, offset):
    """Rows of .001, and identical profiles of which one lies 800 higher."""
    x, w = table()
    x[5:] += offset  # some rows far above the others
    got = recommenders.rating_similarity(x * scale, w, jnp.arange(9), kind=kind)
    want = [[similarity(x, w, a, b, kind) for b in range(9)] for a in range(9)]
    np.testing.assert_allclose(got, want, atol=1e-3 if offset else 2e-6)
    profile = np.float32([[1, 2, 3, 5], [801, 802, 803, 805], [2, 2, 2, 2]])
    got = recommenders.rating_similarity(profile, profile > 0, jnp.arange(3))
    np.testing.assert_allclose(got, [[1, 1, 0], [1, 1, 0], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("by", ["user", "item"])
def test_prediction_is_the_weighted_mean_of_the_nearest_raters(by):
    x, w = table()
    w[2] = False  # a user with no training item gets means
    got = recommenders.neighbor_ratings(x, w, by=by, k=3, chunk=4)
    garbage = np.where(w, x, np.nan)  # what unobserved cells hold has no part
    np.testing.assert_array_equal(
        recommenders.neighbor_ratings(garbage, w, by=by, k=3, chunk=4), got
    )
    x, w, got = (x, w, np.asarray(got)) if by == "user" else (x.T, w.T, np.asarray(got).T)
    mean = [x[u][w[u]].mean() if w[u].any() else x[w].mean() for u in range(len(x))]
    for u in range(len(x)):
        like = [similarity(x, w, u, v, "pearson") if v != u else 0 for v in range(len(x))]
        for i in range(x.shape[1]):
            near = sorted(
                (v for v in range(len(x)) if w[v, i] and like[v] > 1e-6), key=lambda v: -like[v]
            )
            total = sum(like[v] for v in near[:3])
            moved = sum(like[v] * (x[v, i] - mean[v]) for v in near[:3]) / total if near else 0.0
            tied = len(near) > 3 and like[near[2]] - like[near[3]] < 1e-5
            if not tied:
                np.testing.assert_allclose(got[u, i], mean[u] + moved, atol=2e-5)


def test_bad_options_are_named():
    x, w = table()
    with pytest.raises(ValueError, match=r"need one shape \[U, I\]: \(9, 12\), \(8, 12\)"):
        recommenders.neighbor_ratings(x, w[:8])
    with pytest.raises(ValueError, match="k and chunk at least 1, got item, 0"):
        recommenders.neighbor_ratings(x, w, k=0)
    with pytest.raises(ValueError, match="need cosine or pearson and shrinkage >= 0, got dot"):
        recommenders.rating_similarity(x, w, jnp.arange(1), kind="dot")
