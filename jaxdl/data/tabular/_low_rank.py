"""Ratings from a world of low rank whose truth is known; its noise, 0.25, is the best RMSE."""

import numpy as np

from jaxdl.data._builders import Builder, prepare
from jaxdl.data._dataset import Dataset

_USERS, _ITEMS, _RANK, _PER_USER, _NOISE = 200, 300, 4, 40, 0.25


def low_rank_truth() -> np.ndarray:
    """The expected rating `[200, 300]` of the embedded world, before noise; rank 4 and biases.

    >>> truth = low_rank_truth()
    >>> truth.shape, float(truth.min()), float(truth.max())
    ((200, 300), 1.0, 5.0)
    """
    rng = np.random.default_rng(0)
    taste, kind = rng.normal(size=(_USERS, _RANK)), rng.normal(size=(_ITEMS, _RANK))
    bias = 0.3 * rng.normal(size=(_USERS, 1)) + 0.4 * rng.normal(size=(1, _ITEMS))
    return np.clip(3.0 + bias + 0.5 * taste @ kind.T / np.sqrt(_RANK), 1.0, 5.0)


def _low_rank(downloads: object) -> dict[str, Dataset]:
    rng = np.random.default_rng(1)
    truth = low_rank_truth()
    popularity = 1 / np.arange(1, _ITEMS + 1) ** 0.8  # a few items have most of the ratings
    users = np.repeat(np.arange(_USERS), _PER_USER)
    # People rate what they like sooner than what they do not: drawn without replacement.
    weight = np.log(popularity)[None] + truth + rng.gumbel(size=truth.shape)
    items = np.argsort(-weight, axis=1)[:, :_PER_USER].reshape(-1)
    rating = truth[users, items] + _NOISE * rng.normal(size=len(users))
    return {
        "ratings": Dataset(
            {
                "user": users.astype(np.int32),
                "item": items.astype(np.int32),
                "rating": np.clip(rating, 0.5, 5.5).astype(np.float32),
                "timestamp": rng.permutation(len(users)).astype(np.int64),
            }
        )
    }


_LOW_RANK = Builder(
    name="low_rank",
    features={
        "user": ((), np.int32),
        "item": ((), np.int32),
        "rating": ((), np.float32),
        "timestamp": ((), np.int64),
    },
    make_splits=_low_rank,
)


def low_rank() -> dict[str, Dataset]:
    """Ratings of the world, and its catalog: all its items, also those without a rating."""
    titles = np.array([f"item {i}" for i in range(_ITEMS)])
    items = Dataset({"item": np.arange(_ITEMS, dtype=np.int32), "title": titles})
    return {**prepare(_LOW_RANK), "items": items}
