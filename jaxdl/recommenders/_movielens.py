"""Where ratings come from: MovieLens files or a fetched MovieLens 100K; an embedded world."""

import csv
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from jaxdl.data import Builder, DataError, Dataset, prepare
from jaxdl.data._archives import from_anywhere
from jaxdl.data._builders import check_network
from jaxdl.data._files import check_file
from jaxdl.data._numbers import integer, number
from jaxdl.recommenders._interactions import Interactions, interactions


@from_anywhere
def read_movielens(folder: pathlib.Path) -> Interactions:
    r"""Reads a MovieLens folder: u.data (100K), ratings.dat (1M, 10M) or ratings.csv (later ones).

    Titles come from u.item, movies.dat or movies.csv, if that is there.

    >>> lines = "userId,movieId,rating,timestamp", "7,50,4.5,964982703", "9,50,3.0,964981247"
    >>> _ = pathlib.Path("ratings.csv").write_text("\n".join(lines))
    >>> rated = read_movielens(".")
    >>> rated.users, rated.items, rated.ratings["rating"]
    (array([7, 9]), array([50]), array([4.5, 3. ], dtype=float32))

    Raises: DataError if no such file is there, or a line is malformed (named by its number).
    """
    kinds = (
        ("u.data", "\t", "u.item", "|"),
        ("ratings.dat", "::", "movies.dat", "::"),
        ("ratings.csv", ",", "movies.csv", ","),
    )
    for ratings, delimiter, movies, movie_delimiter in kinds:
        if (folder / ratings).exists():
            path = folder / ratings
            table = _table(path, delimiter)
            try:
                titles = dict(_titles(folder / movies, movie_delimiter))
                return interactions(*table, titles=titles)
            except DataError:
                raise
            except ValueError as error:
                raise DataError(f"{path}: {error}") from error
    raise DataError(f"{folder}: expected u.data, ratings.dat or ratings.csv")


def _rows(path: pathlib.Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the numbers of their lines; the header of a table, if it has one, is left out."""
    check_file(path)
    encoding = "utf-8-sig" if path.suffix == ".csv" else "latin-1"
    with path.open(encoding=encoding, newline="") as lines:
        if delimiter == ",":
            reader = csv.reader(lines)
            try:
                for row in reader:
                    if row and not (reader.line_num == 1 and not row[0].strip().isdecimal()):
                        yield reader.line_num, row
            except csv.Error as error:
                raise DataError(f"{path}, line {reader.line_num}: {error}") from error
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: not UTF-8 text ({error.reason})") from error
        else:
            for place, line in enumerate(lines, start=1):
                line = line.removeprefix("\xef\xbb\xbf").rstrip("\r\n")
                if line:
                    yield place, line.split(delimiter)


def _table(path: pathlib.Path, delimiter: str) -> tuple[np.ndarray, ...]:
    users, items, ratings, times = [], [], [], []
    for line, row in _rows(path, delimiter):
        try:
            user, item, rating, time = row
            users.append(_int64(user))
            items.append(_int64(item))
            ratings.append(number(rating))
            times.append(_int64(time))
        except ValueError as error:
            raise DataError(
                f"{path}, line {line}: expected user, item, rating and timestamp, got "
                f"{delimiter.join(row)[:80]!r}"
            ) from error
    return np.array(users), np.array(items), np.array(ratings, np.float32), np.array(times)


def _int64(text: str) -> int:
    value = integer(text) if len(text) < 40 else 2**63
    if not -(2**63) <= value < 2**63:
        raise ValueError("an integer of more than 64 bits")
    return value


def _titles(path: pathlib.Path, delimiter: str) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        return
    for line, row in _rows(path, delimiter):
        if len(row) < 2 or not (row[0].isascii() and row[0].isdigit() and len(row[0]) < 19):
            raise DataError(f"{path}, line {line}: expected an id and a title")
        yield int(row[0]), row[1]


# The embedded default: a world whose truth is known.

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


LOW_RANK = Builder(
    name="low_rank",
    features={
        "user": ((), np.int32),
        "item": ((), np.int32),
        "rating": ((), np.float32),
        "timestamp": ((), np.int64),
    },
    make_splits=_low_rank,
)


# Fetched where there is a network.

_MIRROR = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_TITLE_BYTES = 96


def _fetched(downloads: Any) -> Interactions:
    check_network(_MIRROR)
    try:
        folder = pathlib.Path(downloads.download_and_extract(_MIRROR))
    except Exception as error:  # whatever the transport raises
        kind = type(error).__name__
        raise DataError(f"cannot fetch {_MIRROR} ({kind}; is there a network?)") from error
    return read_movielens(folder / pathlib.Path(_MIRROR).stem)


def _source_ratings(downloads: Any) -> dict[str, Dataset]:
    found = _fetched(downloads)
    columns = dict(found.ratings.columns)
    for name, ids in (("user", found.users), ("item", found.items)):
        columns[name] = ids[columns[name]].astype(np.int32)
    return {"ratings": Dataset(columns)}


def _source_titles(downloads: Any) -> dict[str, Dataset]:
    titles = _fetched(downloads).titles
    encoded = [title.encode()[:_TITLE_BYTES].ljust(_TITLE_BYTES) for title in titles.values()]
    text = np.frombuffer(b"".join(encoded), np.uint8).reshape(-1, _TITLE_BYTES)
    return {"items": Dataset({"item": np.array(list(titles), np.int32), "title": text})}


MOVIELENS = Builder(name="movielens_100k", features=LOW_RANK.features, make_splits=_source_ratings)
MOVIELENS_TITLES = Builder(
    name="movielens_100k_titles",
    features={"item": ((), np.int32), "title": ((_TITLE_BYTES,), np.uint8)},
    make_splits=_source_titles,
)


def load_interactions(
    name: Literal["low_rank", "movielens"], data_dir: str | pathlib.Path | None = None
) -> Interactions:
    """Ratings of the embedded low-rank world, or of MovieLens.

    In the world the best possible RMSE is the noise, 0.25, and `low_rank_truth` the best scorer.

    >>> rated = load_interactions("low_rank")
    >>> rated.num_users, rated.num_items, len(rated.ratings)
    (200, 300, 8000)

    Args:
        name: "low_rank" or "movielens".
        data_dir: the folder or archive of a MovieLens set of any size; without one MovieLens 100K
            is fetched once by TFDS.
    Raises: DataError if the name is unknown, there is no such folder, or nothing can be fetched.
    """
    if name == "low_rank" and data_dir is None:
        titles = {i: f"item {i}" for i in range(_ITEMS)}
        return interactions(*_columns(LOW_RANK), titles=titles, scale=(0.5, 5.5))
    if name == "low_rank":
        raise DataError("low_rank is embedded and reads no folder; leave data_dir out")
    if name != "movielens":
        raise DataError(f"unknown ratings {name!r}; known are low_rank, movielens")
    if data_dir is not None and pathlib.Path(data_dir).exists():
        return read_movielens(data_dir)
    try:
        if data_dir is not None:
            raise DataError(f"{data_dir}: no such folder or archive")
        items = prepare(MOVIELENS_TITLES)["items"]
        names = [bytes(row).rstrip().decode(errors="ignore") for row in items["title"]]
        titles = dict(zip(items["item"].tolist(), names, strict=True))
        return interactions(*_columns(MOVIELENS), titles=titles)
    except DataError as error:
        raise DataError(
            f"{error}; get ml-100k.zip (or a later one) from https://grouplens.org/datasets/"
            "movielens and name its folder as data_dir (--data-dir)"
        ) from error


def _columns(builder: Builder) -> list[np.ndarray]:
    ratings = prepare(builder)["ratings"]
    return [ratings[key] for key in ("user", "item", "rating", "timestamp")]
