"""Ratings: formats, splits, item lists and negatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import data, recommenders
from jaxdl.data.readers import _movielens


def load(*source):
    return recommenders.Interactions.from_splits(data.load(*source))


@pytest.fixture(scope="module")
def world():
    return load("low_rank")


FORMATS = {
    "100k": (
        "u.data",
        "7\t30\t4\t10\n7\t20\t3\t11\n9\t20\t5\t9\n",
        "u.item",
        "20|Two|x\n40|Four|x",
    ),
    "1m": (
        "ratings.dat",
        "7::30::4::10\n7::20::3::11\n9::20::5::9\n",
        "movies.dat",
        "20::Two::x\n40::Four::x",
    ),
    "csv": (
        "ratings.csv",
        "userId,movieId,rating,timestamp\n7,30,4,10\n7,20,3,11\n9,20,5,9\n",
        "movies.csv",
        'movieId,title,genres\n20,Two,x\n40,Four,"x"\n',
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_reads_alike(kind, tmp_path):
    """T3: the catalog is all items, also those without a rating."""
    ratings, text, movies, titles = FORMATS[kind]
    (tmp_path / ratings).write_text(text)
    (tmp_path / movies).write_text(titles)
    found = load("movielens", tmp_path)
    assert (found.num_users, found.num_items, found.sparsity) == (2, 3, 0.5)
    assert found.ratings["user"].tolist() == [0, 0, 1]
    assert found.ratings["item"].tolist() == [1, 0, 0]
    assert found.ratings["rating"].tolist() == [4, 3, 5]
    assert [found.title(i) for i in range(3)] == ["Two", "item 30", "Four"]
    assert (found.user(9), found.item(40)) == (1, 2)
    with pytest.raises(ValueError, match="unknown user 8; there are 2"):
        found.user(8)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "7\t30\t4",
            r"line 2: expected user, item, rating and timestamp, got '7\\t30\\t4'",
        ),
        ("7\tx\t4\t1", "line 2"),
        ("7\t21\t9\t1", r"line 2: rating 9 is outside 0.5..5.0"),
        ("7\t21\tnan\t1", "line 2: expected user, item, rating"),
        ("7\t2_1\t4\t1", "line 2: expected user, item, rating"),
        ("7\t٢١\t4\t1", "line 2: expected user, item, rating"),
        ("7\t20\t4\t1", "user 7 rated item 20 twice"),
    ],
)
def test_bad_lines_are_named(line, message, tmp_path):
    (tmp_path / "u.data").write_text(f"7\t20\t3\t11\n{line}\n")
    with pytest.raises(data.DataError, match=message):
        load("movielens", tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(data.DataError, match="expected u.data, ratings.dat or ratings.csv"):
        load("movielens", tmp_path)
    with pytest.raises(data.DataError, match="nowhere: no such folder .* had from .*ml-100k.zip"):
        load("movielens", tmp_path / "nowhere")
    (tmp_path / "u.data").write_text("")
    with pytest.raises(data.DataError, match="no ratings"):
        load("movielens", tmp_path)


class Downloads:
    """TFDS's download manager, with or without a network."""

    def __init__(self, folder):
        self.folder = folder

    def download_and_extract(self, url):
        if self.folder is None:
            raise ConnectionError(url)
        return self.folder


def test_movielens_is_fetched_where_there_is_a_network(tmp_path, monkeypatch):
    """Prepared from a stand-in for the network, read again, and equal to the files themselves."""
    (tmp_path / "ml-100k").mkdir()
    for name, text in zip(*[iter(FORMATS["100k"])] * 2, strict=True):
        (tmp_path / "ml-100k" / name).write_text(text)

    def prepare_from(folder):
        return lambda builder: builder.make_splits(Downloads(folder))

    monkeypatch.setattr(_movielens, "check_network", lambda url: None)  # it answers
    monkeypatch.setattr(_movielens, "prepare", prepare_from(tmp_path))
    got, want = (
        load("movielens"),
        load("movielens", tmp_path / "ml-100k"),
    )
    assert (got.titles, got.users.tolist()) == (want.titles, want.users.tolist())
    assert got.items.tolist() == want.items.tolist()
    for name, column in want.ratings.columns.items():
        np.testing.assert_array_equal(got.ratings[name], column)
    monkeypatch.setattr(_movielens, "prepare", prepare_from(None))
    with pytest.raises(data.DataError, match="cannot fetch .*ConnectionError.*--data-dir"):
        load("movielens")


def test_the_last_of_two_ratings_can_be_kept():
    user, item, rating, when = (np.array(x) for x in ([1, 1, 1], [5, 5, 6], [1, 2, 3], [9, 8, 7]))
    kept = recommenders.interactions(user, item, rating, when, duplicates="last").ratings
    assert kept["rating"].tolist() == [1, 3]
    kept = recommenders.interactions(user, item, rating, duplicates="last").ratings
    assert kept["rating"].tolist() == [2, 3]


def test_splits_share_nothing_and_lose_nothing(world):
    ratings = world.ratings
    pairs = {(int(u), int(i)) for u, i in zip(ratings["user"], ratings["item"], strict=True)}
    for train, test in (
        recommenders.split_random(ratings, 0.1, seed=0),
        recommenders.split_last(ratings),
        recommenders.split_per_user(ratings, 0.2, seed=0),
    ):
        parts = [
            {(int(u), int(i)) for u, i in zip(part["user"], part["item"], strict=True)}
            for part in (train, test)
        ]
        assert parts[0] | parts[1] == pairs
        assert not parts[0] & parts[1]
    _, last = recommenders.split_last(ratings)
    assert np.bincount(last["user"]).tolist() == [1] * world.num_users
    latest = np.zeros(world.num_users, np.int64)
    np.maximum.at(latest, ratings["user"], ratings["timestamp"])
    assert (last["timestamp"] == latest[last["user"]]).all()
    assert (
        np.bincount(recommenders.split_per_user(ratings, 0.2, 0)[1]["user"]).tolist() == [8] * 200
    )
    folds = recommenders.split_folds(ratings, 5, seed=0)
    held = [
        set(zip(test["user"].tolist(), test["item"].tolist(), strict=True)) for _, test in folds
    ]
    assert set.union(*held) == pairs
    assert sum(map(len, held)) == len(pairs)
    assert all(len(train) + len(test) == len(ratings) for train, test in folds)
    with pytest.raises(ValueError, match=r"folds must lie in 2..8000, got 1"):
        recommenders.split_folds(ratings, 1, seed=0)
    with pytest.raises(ValueError, match="share must lie between 0 and 1, got 1"):
        recommenders.split_random(ratings, 1, seed=0)
    without = data.Dataset({"user": np.zeros(2, int), "item": np.arange(2)})
    with pytest.raises(ValueError, match="needs timestamps"):
        recommenders.split_last(without)
    alone = data.Dataset({**{k: np.zeros(1, int) for k in ("user", "item", "timestamp")}})
    assert len(recommenders.split_last(alone)[1]) == 0


def test_negatives_are_uniform_over_what_is_not_known():
    """A user with nothing known, one with a gap at both ends, one who knows everything."""
    lists = {1: [1, 2, 4], 2: [0, 1, 2, 3, 4, 5]}
    ratings = data.Dataset(
        {
            "user": np.array([1, 1, 1, 2, 2, 2, 2, 2, 2]),
            "item": np.array([4, 1, 2, 0, 1, 2, 3, 5, 4]),
        }
    )
    known = recommenders.ItemLists.of(ratings, num_users=3, num_items=6)
    assert known.rows(jnp.arange(3)).tolist() == [[6] * 6, [*lists[1], 6, 6, 6], lists[2]]
    users = jnp.tile(jnp.arange(3), (3000, 1))
    drawn = np.asarray(jax.jit(recommenders.sample_negatives)(jax.random.key(0), known, users))
    share = np.stack([np.bincount(drawn[:, u], minlength=7) for u in range(3)]) / 3000
    want = np.array([[1 / 6] * 6 + [0], [1 / 3, 0, 0, 1 / 3, 0, 1 / 3, 0], [0] * 6 + [1]])
    np.testing.assert_allclose(share, want, atol=0.03)
    assert (share[want == 0] == 0).all()


def test_the_world_has_its_optimum(world):
    truth = recommenders.low_rank_truth()
    ratings = world.ratings
    error = ratings["rating"] - truth[ratings["user"], ratings["item"]]
    assert abs(np.sqrt(np.mean(error**2)) - 0.25) < 0.02
    counts = np.sort(np.bincount(ratings["item"], minlength=world.num_items))[::-1]
    assert counts[:60].sum() > 0.4 * len(ratings)  # a fifth of the items


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_a_share_of_each_user_is_the_share_as_written(size):
    """.29 * 100 is 28.999999999999996 in floating point."""
    ratings = data.Dataset({"user": np.zeros(size, np.int32)})
    for percent in range(1, 100):
        _, held = recommenders.split_per_user(ratings, percent / 100, seed=0)
        assert len(held) == percent * size // 100
