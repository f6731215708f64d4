"""Who rated what: splits of ratings, item lists of users, negatives.

Columns "user" and "item" (int32, 0..U-1 and 0..I-1), "rating" (float32) and "timestamp" (int64
seconds, where the source has them); `Interactions.users[u]` and `.items[i]` are the ids of the
source. The catalog is all items of the source: training and test sets share it.
"""

import dataclasses
import fractions
import math
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdl.data import DataError, Dataset, DatasetDict


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Ratings of items by users, at most one for each pair.

    >>> rated = interactions([7, 7, 9], [50, 60, 50], [4.0, 3.0, 5.0], titles={50: "Alien"})
    >>> rated.table(rated.ratings)[0]
    array([[4., 3.],
           [5., 0.]], dtype=float32)
    >>> rated.user(9), rated.title(0), rated.sparsity
    (1, 'Alien', 0.25)
    """

    ratings: Dataset  # "user", "item", "rating", maybe "timestamp"
    users: np.ndarray  # [U] ids of the source, by number
    items: np.ndarray  # [I]
    titles: Mapping[int, str] = dataclasses.field(default_factory=dict)  # by id of the source

    @classmethod
    def from_splits(cls, splits: DatasetDict) -> "Interactions":
        """The ratings that `data.load` gives, of any scale, and the catalog beside them.

        >>> from jaxdl import data
        >>> rated = Interactions.from_splits(data.load("low_rank"))
        >>> rated.num_users, rated.num_items, len(rated.ratings)
        (200, 300, 8000)

        Raises: DataError for an item that a user rated twice, or a rating that is NaN.
        """
        table, items = splits["ratings"], splits["items"]
        titles = dict(zip(items["item"].tolist(), items["title"].tolist(), strict=True))
        try:
            return interactions(
                *(table[name] for name in ("user", "item", "rating", "timestamp")),
                titles=titles,
                scale=(-math.inf, math.inf),
            )
        except ValueError as error:
            raise DataError(f"{splits.info.source}: {error}") from error

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_items(self) -> int:
        return len(self.items)

    @property
    def sparsity(self) -> float:
        """Share of the table of users and items that holds nothing."""
        return 1 - len(self.ratings) / (self.num_users * self.num_items)

    @property
    def scale(self) -> tuple[float, float]:
        """Least and greatest rating."""
        return float(self.ratings["rating"].min()), float(self.ratings["rating"].max())

    def table(self, ratings: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Some of the ratings as a table `[U, I]`, 0 where there is none, and where there is."""
        table = np.zeros((self.num_users, self.num_items), np.float32)
        observed = np.zeros(table.shape, bool)
        table[ratings["user"], ratings["item"]] = ratings["rating"]
        observed[ratings["user"], ratings["item"]] = True
        return table, observed

    def user(self, source_id: int) -> int:
        """Number of a user. Raises: ValueError if the source does not know the id."""
        return _number("user", self.users, source_id)

    def item(self, source_id: int) -> int:
        """Number of an item. Raises: ValueError if the source does not know the id."""
        return _number("item", self.items, source_id)

    def title(self, item: int) -> str:
        """Title of item number `item`, or its id where the source has none."""
        source_id = int(self.items[item])
        return self.titles.get(source_id, f"item {source_id}")


def _number(kind: str, ids: np.ndarray, source_id: int) -> int:
    place = int(np.searchsorted(ids, source_id))
    if place == len(ids) or ids[place] != source_id:
        raise ValueError(f"unknown {kind} {source_id}; there are {len(ids)}")
    return place


def interactions(
    user: np.ndarray,
    item: np.ndarray,
    rating: np.ndarray,
    timestamp: np.ndarray | None = None,
    *,
    titles: Mapping[int, str] | None = None,
    scale: tuple[float, float] = (0.5, 5.0),
    duplicates: Literal["raise", "last"] = "raise",
) -> Interactions:
    """Numbers the users and items of ratings, in the order of their ids.

    >>> rated = interactions([7, 7, 9], [50, 60, 50], [4.0, 3.0, 5.0])
    >>> rated.ratings["user"], rated.ratings["item"], rated.items
    (array([0, 0, 1], dtype=int32), array([0, 1, 0], dtype=int32), array([50, 60]))

    Args:
        user, item: integer ids `[N]` of any size.
        rating: `[N]`.
        timestamp: seconds `[N]`, or None.
        titles: of items, by id; an item with a title and no rating is in the catalog too.
        scale: least and greatest rating.
        duplicates: what to do about a second rating of one item by one user; "last" keeps the one
            with the latest timestamp, and of those the last row.
    Raises: ValueError for no ratings, ratings outside the scale (or NaN), or duplicates.
    """
    rating = np.asarray(rating, np.float32)
    if not len(rating):
        raise ValueError("there are no ratings")
    wrong = np.flatnonzero(~((rating >= scale[0]) & (rating <= scale[1])))
    if len(wrong):
        raise ValueError(f"rating {rating[wrong[0]]} in row {wrong[0]} is outside {scale}")
    users, user_number = np.unique(user, return_inverse=True)
    catalog = np.union1d(np.asarray(item), np.array(sorted(titles or ()), np.int64))
    columns = {
        "user": user_number.astype(np.int32),
        "item": np.searchsorted(catalog, item).astype(np.int32),
        "rating": rating,
    }
    if timestamp is not None:
        columns["timestamp"] = np.asarray(timestamp, np.int64)
    pair = columns["user"].astype(np.int64) * len(catalog) + columns["item"]
    when = columns.get("timestamp", np.zeros(len(pair), np.int64))
    order = np.lexsort((np.arange(len(pair)), when, pair))
    repeated = np.flatnonzero(np.diff(pair[order]) == 0)
    if len(repeated) and duplicates == "raise":
        row = order[repeated[0] + 1]
        raise ValueError(
            f"user {user[row]} rated item {item[row]} twice (row {row}; {len(repeated)} such); "
            'duplicates="last" keeps the last'
        )
    kept = np.sort(np.delete(order, repeated))
    return Interactions(Dataset(columns).take(kept), users, catalog, dict(titles or {}))


# Splits: the training rows and the test rows; numbers and catalog stay those of the whole.


def split_random(ratings: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Holds out a share of all ratings, drawn anywhere.

    >>> ratings = Dataset({"user": np.arange(10), "item": np.arange(10)})
    >>> [len(part) for part in split_random(ratings, 0.2, seed=0)]
    [8, 2]

    Raises: ValueError if the share is not between 0 and 1.
    """
    _check_share(share)
    held = np.zeros(len(ratings), bool)
    drawn = np.random.default_rng(seed).permutation(len(ratings))
    held[drawn[: round(share * len(ratings))]] = True
    return ratings.take(~held), ratings.take(held)


def split_folds(ratings: Dataset, folds: int, seed: int) -> list[tuple[Dataset, Dataset]]:
    """Cuts the ratings into disjoint parts and holds out one after the other.

    >>> ratings = Dataset({"user": np.arange(10), "item": np.arange(10)})
    >>> [(len(training), len(test)) for training, test in split_folds(ratings, 3, seed=0)]
    [(6, 4), (7, 3), (7, 3)]

    Raises: ValueError unless there are 2 folds at least, and a rating for each.
    """
    if not 2 <= folds <= len(ratings):
        raise ValueError(f"folds must lie in 2..{len(ratings)}, got {folds}")
    part = np.random.default_rng(seed).permutation(len(ratings)) % folds
    return [(ratings.take(part != k), ratings.take(part == k)) for k in range(folds)]


def split_last(ratings: Dataset, count: int = 1) -> tuple[Dataset, Dataset]:
    """Holds out the last ratings of each user by time; of one time, those that come later.

    A user with no more than `count` ratings has none held out.

    >>> ratings = Dataset({"user": np.array([0, 0, 1]), "timestamp": np.array([20, 10, 30])})
    >>> training, test = split_last(ratings)
    >>> training["timestamp"], test["timestamp"]
    (array([10, 30]), array([20]))

    Raises: ValueError if the ratings have no timestamps.
    """
    if "timestamp" not in ratings.columns:
        raise ValueError("a split by time needs timestamps, and these ratings have none")
    order = np.lexsort((np.arange(len(ratings)), ratings["timestamp"], ratings["user"]))
    return _hold_out_tail(ratings, order, lambda size: np.where(size > count, count, 0))


def split_per_user(ratings: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Holds out a share of the ratings of each user, rounded down: one of few keeps them all.

    >>> ratings = Dataset({"user": np.array([0, 0, 0, 0, 1])})
    >>> training, test = split_per_user(ratings, 0.5, seed=0)
    >>> training["user"], test["user"]
    (array([0, 0, 1]), array([0, 0]))

    Raises: ValueError if the share is not between 0 and 1.
    """
    _check_share(share)
    drawn = np.random.default_rng(seed).permutation(len(ratings))
    order = drawn[np.argsort(ratings["user"][drawn], kind="stable")]
    return _hold_out_tail(ratings, order, lambda size: _floor(share, size))


def _floor(share: float, size: np.ndarray) -> np.ndarray:
    """`floor(share * size)` of the share as written: .29 of 100 is 29, and not 28.99... cut off."""
    exact = fractions.Fraction(repr(float(share)))
    counts, place = np.unique(size, return_inverse=True)
    return np.array([math.floor(exact * int(n)) for n in counts], np.int64)[place]


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")


def _hold_out_tail(ratings: Dataset, order: np.ndarray, how_many) -> tuple[Dataset, Dataset]:
    user = ratings["user"][order]
    size = np.bincount(user)
    end = np.cumsum(size)
    held = np.zeros(len(ratings), bool)
    held[order] = np.arange(len(ratings)) >= (end - how_many(size))[user]
    return ratings.take(~held), ratings.take(held)


# On the device.


@struct.dataclass
class ItemLists:
    """The items of each user, ascending, one list after the other.

    >>> ratings = Dataset({"user": np.array([0, 0, 2]), "item": np.array([3, 1, 0])})
    >>> ItemLists.of(ratings, num_users=3, num_items=4).rows(jnp.array([0, 1, 2]))
    Array([[1, 3],
           [4, 4],
           [0, 4]], dtype=int32)
    """

    offsets: jax.Array  # [U + 1] int32
    items: jax.Array  # [N] int32
    num_items: int = struct.field(pytree_node=False)
    longest: int = struct.field(pytree_node=False)

    @classmethod
    def of(cls, ratings: Dataset, num_users: int, num_items: int) -> "ItemLists":
        """Lists the items of ratings, those of users without any being empty."""
        user, item = ratings["user"], ratings["item"]
        size = np.bincount(user, minlength=num_users)
        offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int32)
        items = item[np.lexsort((item, user))].astype(np.int32)
        return cls(
            jnp.asarray(offsets),
            jnp.asarray(items),
            num_items=num_items,
            longest=int(size.max(initial=0)),
        )

    def rows(self, users: jax.Array) -> jax.Array:
        """Items `[B, longest]` of users `[B]`, padded with I."""
        place = self.offsets[users][:, None] + jnp.arange(self.longest)[None]
        real = place < self.offsets[users + 1][:, None]
        return jnp.where(real, self.items.at[place].get(mode="clip"), self.num_items)


def sample_negatives(key: jax.Array, known: ItemLists, users: jax.Array) -> jax.Array:
    """Draws for each user an item uniformly among those not in its list, exactly.

    The r-th item that is not in a list is `r + j`, where j items of the list have no more than r
    such items before them: a binary search and no second draw. A user who knows everything gets I.

    >>> ratings = Dataset({"user": np.array([0, 0]), "item": np.array([0, 2])})
    >>> known = ItemLists.of(ratings, num_users=1, num_items=3)
    >>> draw = jax.jit(lambda key: sample_negatives(key, known, jnp.array([0, 0])))
    >>> draw(jax.random.key(0))  # item 1 alone is free
    Array([1, 1], dtype=int32)

    Args:
        users: `[...]`; one item is drawn for each.
    Returns: int32 items `[...]`.
    """
    start, stop = known.offsets[users], known.offsets[users + 1]
    free = known.num_items - (stop - start)
    uniform = jax.random.uniform(key, users.shape)
    r = jnp.minimum((uniform * free).astype(jnp.int32), jnp.maximum(free - 1, 0))

    def halve(_: int, between: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = between
        middle = (low + high) // 2
        before = known.items.at[middle].get(mode="clip") - (middle - start) <= r
        searching = low < high
        return (
            jnp.where(searching & before, middle + 1, low),
            jnp.where(searching & ~before, middle, high),
        )

    # The first place whose item has more than r free ones before it. A loop, for XLA would fuse the
    # unrolled steps into one that computes each anew for both of its uses.
    low, _ = jax.lax.fori_loop(0, known.longest.bit_length(), halve, (start, stop))
    return jnp.where(free > 0, r + low - start, known.num_items)
