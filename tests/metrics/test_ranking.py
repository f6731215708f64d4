"""Ranking metrics against scikit-learn and against every order that ties allow."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxdl import metrics, recommenders

KS = (1, 3, 50)


def one_order(relevant):
    """The metrics of booleans in ranked order, written as a loop."""
    ranks = [rank for rank, hit in enumerate(relevant, start=1) if hit]
    m, n = len(ranks), len(relevant)
    numbers = {"mrr": 1 / ranks[0]}
    numbers["map"] = sum((i + 1) / rank for i, rank in enumerate(ranks)) / m
    above = sum(rank - 1 - i for i, rank in enumerate(ranks))
    numbers["auc"] = 1 - above / (m * (n - m))
    for k in KS:
        top = [rank for rank in ranks if rank <= k]
        numbers[f"hit@{k}"] = float(bool(top))
        numbers[f"recall@{k}"] = len(top) / m
        numbers[f"precision@{k}"] = len(top) / k
        ideal = sum(1 / np.log2(i + 2) for i in range(min(m, k)))
        numbers[f"ndcg@{k}"] = sum(1 / np.log2(rank + 1) for rank in top) / ideal
    return numbers


def brute_force(scores, relevant, known):
    """The mean over every order of the allowed items that the scores allow."""
    items = [i for i in range(len(scores)) if i not in known]
    orders = [
        [i in relevant for i in order]
        for order in itertools.permutations(items)
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    every = [one_order(order) for order in orders]
    return {name: np.mean([numbers[name] for numbers in every]) for name in every[0]}


ranking = jax.jit(
    lambda scores, relevant, known, mask: metrics.Ranking.from_batch(
        scores, relevant, mask, known=known, ks=KS
    )
)


def test_ties_are_worth_the_mean_over_every_order():
    """T2: also a constant scorer, whose numbers are those of chance."""
    rng = np.random.default_rng(0)
    for trial in range(12):
        scores = np.float32(rng.integers(0, 1 + trial % 4, size=(1, 7)))
        order = rng.permutation(7)
        known, relevant = order[:1][None], np.append(order[1 : 2 + trial % 4], [-1, 7, 9, -2])
        relevant = np.append(relevant, order[1])[None, :6]  # ids outside are padding
        want = brute_force(scores[0], {i for i in relevant[0] if 0 <= i < 7}, known[0])
        got = ranking(scores, relevant, known, [True]).compute()
        assert sorted(got) == sorted(want)
        for name in want:
            np.testing.assert_allclose(got[name], want[name], rtol=2e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("levels", [5, 10**6])
def test_against_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    scores = np.float32(rng.integers(0, levels, size=(9, 200)) / levels)
    relevant = np.stack([rng.permutation(200)[:12] for _ in range(9)])
    truth = np.zeros((9, 200))
    truth[np.arange(9)[:, None], relevant] = 1
    got = metrics.Ranking.from_batch(scores, relevant, ks=(10, 200)).compute()
    aucs = [sklearn.metrics.roc_auc_score(t, s) for t, s in zip(truth, scores, strict=True)]
    np.testing.assert_allclose(got["auc"], np.mean(aucs), atol=1e-6)
    for k in (10, 200):
        want = sklearn.metrics.ndcg_score(truth, scores, k=k)
        np.testing.assert_allclose(got[f"ndcg@{k}"], want, atol=1e-6)


def test_a_constant_scorer_is_chance():
    """T2: one relevant item anywhere, also at index 0."""
    got = metrics.Ranking.from_batch(jnp.zeros((1, 100)), jnp.array([[0]]), ks=(10,)).compute()
    rank = np.arange(1, 101)
    chance = {"hit@10": 0.1, "recall@10": 0.1, "precision@10": 0.01, "auc": 0.5}
    chance |= {"mrr": np.mean(1 / rank), "map": np.mean(1 / rank)}
    chance["ndcg@10"] = np.sum(1 / np.log2(rank[:10] + 1)) / 100
    for name, value in chance.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6, err_msg=name)


def test_who_is_counted():
    """T16: a user without a relevant item, or one who is not there, is in no mean."""
    scores = jnp.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [jnp.nan] * 3])
    relevant = jnp.array([[0, 0], [-1, 3], [0, 1], [2, 1]])  # a repeated id; none; ...
    known = jnp.array([[-1], [0], [0], [0]])  # ... a known item is not to be found
    mask = jnp.array([True, True, True, False])
    state = metrics.Ranking.from_batch(scores, relevant, mask, known=known, ks=(1,))
    assert float(state.means["hit@1"].weight) == 2
    assert {n: float(v) for n, v in state.compute().items()} == {
        **{"auc": 0.5, "hit@1": 0.5, "recall@1": 0.5, "precision@1": 0.5, "ndcg@1": 0.5},
        **{"map": 0.75, "mrr": 0.75},
    }
    everything = metrics.Ranking.from_batch(scores[:1], jnp.array([[0, 1, 2]]), ks=(1,))
    assert float(everything.means["auc"].weight) == 0
    poisoned = metrics.Ranking.from_batch(scores, relevant, ks=(1,)).compute()
    assert all(jnp.isnan(value) for value in poisoned.values())
    nothing = metrics.Ranking.empty((1,)).compute()
    assert all(value == 0 for value in nothing.values())


@pytest.mark.parametrize("garbage", [jnp.nan, jnp.inf, -jnp.inf])
def test_scores_of_known_items_change_nothing(garbage):
    """Garbage in the cells that take no part, also where a known item is listed as relevant."""
    rng = np.random.default_rng(0)
    scores, known = jnp.float32(rng.integers(0, 4, (5, 20))), rng.integers(-1, 21, (5, 6))
    relevant = np.concatenate([rng.integers(-1, 21, (5, 3)), known[:, :1]], axis=1)
    spoilt = scores.at[np.arange(5)[:, None], np.where(known < 0, 20, known)].set(
        garbage, mode="drop"
    )
    assert not jnp.array_equal(spoilt, scores)
    got, want = (ranking(x, relevant, known, [True] * 5).compute() for x in (spoilt, scores))
    assert not any(jnp.isnan(value) for value in want.values())
    jax.tree.map(np.testing.assert_array_equal, got, want)


class Padded:
    """Item lists as a padded array."""

    def __init__(self, ids):
        self.ids = ids

    def rows(self, users):
        return self.ids[users]


jax.tree_util.register_pytree_node(Padded, lambda p: ((p.ids,), None), lambda _, c: Padded(*c))


def dot(params, users):
    return params[0][users] @ params[1].T


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_chunks_change_nothing(chunk):
    rng = np.random.default_rng(0)
    params = jnp.float32(rng.integers(-2, 3, (11, 3))), jnp.float32(rng.integers(-2, 3, (40, 3)))
    relevant, known = (jnp.array(rng.integers(-1, 40, (11, size))) for size in (4, 6))
    users = jnp.array([10, 0, 3, 4, 5, 7])
    got = recommenders.rank_catalog(
        dot, params, users, Padded(relevant), Padded(known), ks=(5,), chunk=chunk
    )
    want = metrics.Ranking.from_batch(
        dot(params, users), relevant[users], known=known[users], ks=(5,)
    ).compute()
    for name, value in got.compute().items():
        np.testing.assert_allclose(value, want[name], rtol=1e-6, err_msg=name)


def test_a_million_users_fit_in_bounded_memory():
    """1e6 users, 1e5 items, 64 factors: beside its arguments the program holds chunks of scores."""
    spec = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    ids = jax.ShapeDtypeStruct((10**6, 8), jnp.int32)
    params = spec((10**6, 64)), spec((10**5, 64))
    users = jax.ShapeDtypeStruct((10**6,), jnp.int32)
    lowered = recommenders.rank_catalog.lower(
        dot, params, users, Padded(ids), Padded(ids), chunk=64
    )
    held = lowered.compile().memory_analysis().temp_size_in_bytes
    assert held < 8 * 64 * 10**5 * 4, held  # a few arrays of a chunk's scores; U * I is 400 GB


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match=r"scores \[B, I\] and relevant \[B, P\], got \(3,\)"):
        metrics.Ranking.from_batch(jnp.zeros(3), jnp.zeros((1, 1), int))
    with pytest.raises(ValueError, match=r"known \[B, T\] with B = 1"):
        metrics.Ranking.from_batch(
            jnp.zeros((1, 3)), jnp.zeros((1, 1), int), known=jnp.zeros((2, 1), int)
        )
    with pytest.raises(ValueError, match=r"cut-offs must be at least 1, got \(0,\)"):
        metrics.Ranking.from_batch(jnp.zeros((1, 3)), jnp.zeros((1, 1), int), ks=(0,))
