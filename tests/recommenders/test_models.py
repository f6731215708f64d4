"""Recommenders: pairs and catalog agree, masks hold, sparse descent is descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import data, losses, recommenders

U, I = 6, 9


def initialized(model):
    users, items = jnp.array([0, 5, 3]), jnp.array([8, 0, 3])
    return model.init(jax.random.key(0), users, items, train=False), users, items


@pytest.mark.parametrize(
    "model", [recommenders.MatrixFactorization(U, I, 4), recommenders.NeuMF(U, I, 4, (5, 3), 0.5)]
)
def test_catalog_holds_the_scores_of_pairs(model):
    variables, users, items = initialized(model)
    pairs = model.apply(variables, users, items, train=False)
    every = model.apply(variables, users, method="catalog")
    assert every.shape == (3, I)
    np.testing.assert_allclose(every[jnp.arange(3), items], pairs, rtol=1e-5, atol=1e-6)
    if isinstance(model, recommenders.NeuMF):
        loss = lambda v: jnp.sum(model.apply(v, users, items, train=False) ** 2)  # noqa: E731
        assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(jax.grad(loss)(variables)))
    unknown = model.apply(variables, jnp.array([U, 1]), jnp.array([0, I]), train=False)
    assert jnp.isnan(unknown).all()
    unknown = model.apply(variables, jnp.array([U, 1]), method="catalog")
    assert jnp.isnan(unknown).all(axis=1).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"users \(3,\), items \(2,\)"):
        model.apply(variables, users, items[:2], train=False)


def test_autorec_never_sees_unobserved_cells():
    """T3: garbage there changes neither the outputs nor, with the loss masked, the gradients."""
    rng = np.random.default_rng(0)
    ratings, observed = jnp.float32(rng.integers(1, 6, (4, U))), jnp.array(rng.random((4, U)) < 0.5)
    model = recommenders.AutoRec(U, hidden=5, dropout=0.0)
    variables = model.init(jax.random.key(0), ratings, observed, train=False)

    objective = recommenders.reconstruction(model)
    params, mask = variables["params"], jnp.array([True, True, True, False])

    @jax.jit
    def run(ratings):
        batch = {"ratings": ratings, "observed": observed, "mask": mask}

        def loss(p):
            return objective(p, {}, batch, jax.random.key(1), train=True)[0].compute()

        rngs = {"dropout": jax.random.key(1)}
        out = model.apply(variables, ratings, observed, train=True, rngs=rngs)
        return jax.value_and_grad(loss)(params), out

    first, second = run(ratings), run(jnp.where(observed, ratings, jnp.nan))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    (loss, _), out = first
    error = np.square(out - ratings)[:3][np.asarray(observed)[:3]]  # the last row is padding
    np.testing.assert_allclose(loss, error.mean(), rtol=1e-6)
    with pytest.raises(ValueError, match="need 6 ratings a row, got 5"):
        model.apply(variables, ratings[:, :5], observed[:, :5], train=False)


def test_pairs_of_who_knows_everything_teach_nothing():
    """Also in a batch with padding: the objective is the mean over the pairs that are left."""
    ratings = data.Dataset({"user": np.array([0, 1, 1]), "item": np.array([0, 0, 1])})
    known = recommenders.ItemLists.of(ratings, 2, 2)
    model = recommenders.MatrixFactorization(2, 2, 3)
    batch = {name: jnp.asarray(column) for name, column in ratings.columns.items()}
    params = model.init(jax.random.key(0), batch["user"], batch["item"], train=False)["params"]
    objective = recommenders.pairwise(model, known, losses.pairwise_hinge_loss)

    def value(p):
        batch["mask"] = jnp.ones(3, bool)
        return objective(p, {}, batch, jax.random.key(0), train=True)[0].compute()

    loss, gradient = jax.value_and_grad(value)(params)
    lead = model.apply({"params": params}, jnp.array([0]), method="catalog")[0] @ jnp.array([1, -1])
    np.testing.assert_allclose(loss, max(0, 1 - lead), rtol=1e-6)  # user 0 alone, item 0 above 1
    assert (gradient["user"][1] == 0).all()
    assert (gradient["user"][0] != 0).any()


def score(params, users):
    return params[users]


def test_what_is_known_is_not_recommended():
    scores = jnp.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    ratings = data.Dataset({"user": np.array([0, 1, 1, 1]), "item": np.array([0, 3, 1, 2])})
    known = recommenders.ItemLists.of(ratings, 2, 4)
    items, best = recommenders.recommend(score, scores, jnp.arange(2), 2, known)
    assert items[0].tolist() == [1, 2]
    assert items[1, 0] == 0
    assert best.tolist() == [[3.0, 2.0], [1.0, -np.inf]]
    assert recommenders.recommend(score, scores, jnp.array([1]), 1)[0].tolist() == [[3]]
    with pytest.raises(ValueError, match=r"k must lie in 1..4, got 5"):
        recommenders.recommend(score, scores, jnp.arange(2), 5)


def test_similar_items_are_others():
    vectors = jnp.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0], [0.0, 0.0]])
    found, cosine = recommenders.similar_items(vectors, jnp.array([0, 3]), 3)
    assert found[0].tolist() == [1, 2, 3]
    np.testing.assert_allclose(cosine[0], [1 / np.sqrt(1 + 0.05**2), 0, 0], rtol=1e-6)
    assert cosine[1].tolist() == [0, 0, 0]


def start(world, factors=4, mean=0.0):
    model = recommenders.MatrixFactorization(world.num_users, world.num_items, factors)
    pair = jnp.zeros(1, jnp.int32)
    params = model.init(jax.random.key(0), pair, pair, train=False)["params"]
    return model, {**params, "mean": jnp.asarray(mean)}


@pytest.fixture(scope="module")
def world():
    return recommenders.Interactions.from_splits(data.load("low_rank"))


def test_a_step_on_rows_is_a_step_on_tables(world):
    """The whole set as one batch: rows are added up as the dense gradient has them."""
    model, params = start(world, mean=3.0)
    r = {name: jnp.asarray(world.ratings[name]) for name in ("user", "item", "rating")}

    def loss(p):
        out = model.apply({"params": p}, r["user"], r["item"], train=False)
        return jnp.sum(losses.squared_error(out, r["rating"]))

    value, gradient = jax.value_and_grad(loss)(params)
    after, history = recommenders.pointwise_sgd(
        params, r, epochs=1, seed=0, learning_rate=0.01, l2=0.0, batch_size=len(r["user"])
    )
    np.testing.assert_allclose(history[0], value / len(r["user"]), rtol=1e-5)
    for name in ("user", "item"):
        np.testing.assert_allclose(
            after[name], params[name] - 0.01 * gradient[name], rtol=1e-4, atol=1e-4
        )


def test_factors_learn_ratings_and_ranks(world):
    """From 1.0 down to near the noise, .25; and pairs from chance to order."""
    _, params = start(world, mean=float(world.ratings["rating"].mean()))
    train_set, test_set = recommenders.split_per_user(world.ratings, 0.1, seed=0)
    r = {name: train_set[name] for name in ("user", "item", "rating")}
    fitted, history = recommenders.pointwise_sgd(
        params, r, epochs=15, seed=0, l2=0.02, learning_rate=0.01
    )
    out = fitted["mean"] + recommenders.factor_scores(
        fitted["user"][test_set["user"]], fitted["item"][test_set["item"]]
    )
    rmse = float(jnp.sqrt(jnp.mean((out - test_set["rating"]) ** 2)))
    constant = float(test_set["rating"].std())
    assert rmse < 0.8 * constant, (rmse, constant, history)
    known = recommenders.ItemLists.of(train_set, world.num_users, world.num_items)
    _, history = recommenders.pairwise_sgd(params, known, epochs=10, seed=0, batch_size=512)
    np.testing.assert_allclose(history[0], np.log(2), atol=0.15)
    assert history[-1] < 0.85 * history[0]


def test_autorec_with_a_mean_sees_what_is_off_it_and_adds_it_again():
    rng = np.random.default_rng(0)
    ratings, observed = jnp.float32(rng.integers(1, 6, (4, U))), jnp.array(rng.random((4, U)) < 0.5)
    plain = recommenders.AutoRec(U, hidden=5)
    variables = plain.init(jax.random.key(0), ratings, observed, train=False)
    centered = recommenders.AutoRec(U, hidden=5, mean=3.0)
    got = centered.apply(variables, ratings, observed, train=False)
    want = 3 + plain.apply(variables, ratings - 3, observed, train=False)
    np.testing.assert_allclose(got, want, rtol=1e-6)
