"""BPR and full-catalog evaluation at the size of MovieLens 100K, beside implicit, torch, a loop.

The data is a low-rank world of 943 users x 1,682 items with 106 items each. The results are the
share of a user's known items that are above an unknown one after 20 epochs (AUC), and Hit@50.
implicit draws its negatives as often as they are known, the others evenly, so its AUC differs.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.peers._side import Row, Side
from jaxdl import data, objectives, recommenders

USERS, ITEMS, EACH, FACTORS, EPOCHS, RATE = 943, 1682, 106, 31, 20, 0.05


def world() -> tuple[np.ndarray, np.ndarray]:
    """Users and items of 99,958 pairs, those of a user drawn by how much it likes them."""
    rng = np.random.default_rng(0)
    taste = rng.normal(size=(USERS, 4)) @ rng.normal(size=(4, ITEMS)) / 2
    popular = -0.8 * np.log(np.arange(1, ITEMS + 1))
    chosen = np.argsort(-(taste + popular + rng.gumbel(size=(USERS, ITEMS))))[:, :EACH]
    return np.repeat(np.arange(USERS), EACH), chosen.reshape(-1)


def auc(scores: np.ndarray) -> float:
    """Mean over users of the chance that a known item is above an unknown one."""
    users, items = world()
    known = np.zeros((USERS, ITEMS), bool)
    known[users, items] = True
    ranks = scores.argsort(1).argsort(1) + 1.0
    rank_sum = np.where(known, ranks, 0).sum(1)
    return float(np.mean((rank_sum - EACH * (EACH + 1) / 2) / (EACH * (ITEMS - EACH))))


def bpr(smoke: bool) -> Side:
    users, items = world()
    known = recommenders.ItemLists.of(data.Dataset({"user": users, "item": items}), USERS, ITEMS)
    model, one = (
        recommenders.MatrixFactorization(USERS, ITEMS, factors=FACTORS),
        jnp.zeros(1, jnp.int32),
    )
    params, _ = objectives.as_network(model).init(jax.random.key(0), (one, one))
    epochs = 1 if smoke else EPOCHS

    def work() -> Any:
        return recommenders.pairwise_sgd(params, known, epochs=epochs, seed=0, learning_rate=RATE)

    fitted = {"params": work()[0]}
    scores: Any = model.apply(fitted, jnp.arange(USERS), method="catalog")
    return Side(work, epochs * len(users), auc(np.asarray(scores)))


def bpr_implicit(smoke: bool) -> Side:
    import scipy.sparse
    from implicit.bpr import BayesianPersonalizedRanking

    users, items = world()
    matrix = scipy.sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)))
    options = {"factors": FACTORS, "learning_rate": RATE, "regularization": 0.01}
    epochs = 1 if smoke else EPOCHS

    def work() -> Any:
        model = BayesianPersonalizedRanking(
            iterations=epochs, num_threads=2, verify_negative_samples=True, **options
        )
        model.fit(matrix, show_progress=False)
        return model

    model = work()
    return Side(work, epochs * len(users), auc(model.user_factors @ model.item_factors.T))


def bpr_torch(smoke: bool) -> Side:
    import torch

    users, items = map(torch.tensor, world())
    epochs = 1 if smoke else EPOCHS

    def work() -> Any:
        user = torch.nn.Embedding(USERS, FACTORS + 1, sparse=True)
        item = torch.nn.Embedding(ITEMS, FACTORS + 1, sparse=True)
        for table in (user, item):
            torch.nn.init.normal_(table.weight, std=0.1)
        user.weight.data[:, -1], item.weight.data[:, -1] = 1, 0  # the last one is the item's bias
        optimizer = torch.optim.SGD([*user.parameters(), *item.parameters()], RATE)
        for _ in range(epochs):
            order = torch.randperm(len(users))
            for start in range(0, len(users), 512):
                some = order[start : start + 512]
                u, negative = user(users[some]), torch.randint(ITEMS, (len(some),))
                apart = (u * (item(items[some]) - item(negative))).sum(1)
                loss = torch.nn.functional.softplus(-apart).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return user, item

    user, item = work()
    scores = user.weight.detach().numpy() @ item.weight.detach().numpy().T
    return Side(work, epochs * len(users), auc(scores))


def catalog() -> tuple[np.ndarray, ...]:
    """Random factors, what users know, and one item each that is to be found."""
    rng = np.random.default_rng(1)
    user, item = rng.normal(size=(USERS, 32)), rng.normal(size=(ITEMS, 32))
    known = world()[1].reshape(USERS, EACH)
    wanted = np.array([rng.choice(np.setdiff1d(np.arange(ITEMS), row)) for row in known])
    return user.astype(np.float32), item.astype(np.float32), known, wanted


def evaluation(smoke: bool) -> Side:
    user, item, known, wanted = catalog()
    factors = jnp.asarray(user), jnp.asarray(item)
    pairs = {"user": np.repeat(np.arange(USERS), EACH), "item": known.reshape(-1)}
    found = {"user": np.arange(USERS), "item": wanted}
    seen, relevant = (
        recommenders.ItemLists.of(data.Dataset(columns), USERS, ITEMS) for columns in (pairs, found)
    )

    def score(factors: Any, users: jax.Array) -> jax.Array:
        return factors[0][users] @ factors[1].T

    def work() -> Any:
        return recommenders.rank_catalog(
            score, factors, jnp.arange(USERS), relevant, seen, ks=(50,)
        )

    return Side(work, USERS, float(work().compute()["hit@50"]))


def evaluation_loop(smoke: bool) -> Side:
    """As the D2L book does it: user by user, candidates in a list, sorted in Python."""
    user, item, known, wanted = catalog()

    def rank(users: range) -> tuple[float, float]:
        hits, areas = [], []
        for u in users:
            unknown = list(set(range(ITEMS)) - set(known[u].tolist()))
            scores = np.dot(item[unknown], user[u]).tolist()
            ordered = sorted(zip(unknown, scores, strict=True), key=lambda p: p[1], reverse=True)
            ranked = [i for i, _ in ordered]
            place = ranked.index(int(wanted[u]))
            hits.append(place < 50)
            areas.append((len(ranked) - 1 - place) / (len(ranked) - 1))
        return float(np.mean(hits)), float(np.mean(areas))

    some = range(60)  # enough to tell the rate
    return Side(lambda: rank(some), len(some), rank(range(USERS))[0])


ROWS = {
    "bpr": Row(
        {"jaxdl": bpr, "implicit, 2 threads": bpr_implicit, "torch": bpr_torch},
        "pairs",
        0.05,
        ("implicit", "torch"),
    ),
    "evaluation": Row({"jaxdl": evaluation, "loop": evaluation_loop}, "users", 1e-6, ()),
}
