"""MovieLens: its files of any size, or the fetched 100K."""

import csv
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxdl.data._archives import from_anywhere
from jaxdl.data._builders import Builder, check_network, prepare
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import check_file, text_column
from jaxdl.data._numbers import integer, number

LEAST, MOST = 0.5, 5.0  # stars


@from_anywhere
def read_movielens(folder: pathlib.Path) -> dict[str, Dataset]:
    r"""Reads a MovieLens folder: u.data (100K), ratings.dat (1M, 10M) or ratings.csv (later ones).

    Titles come from u.item, movies.dat or movies.csv, if that is there.

    >>> lines = "userId,movieId,rating,timestamp", "7,50,4.5,964982703", "9,50,3.0,964981247"
    >>> _ = pathlib.Path("ratings.csv").write_text("\n".join(lines))
    >>> read_movielens(".")["ratings"].columns
    {'user': array([7, 9]), 'item': array([50, 50]),
     'rating': array([4.5, 3. ], dtype=float32), 'timestamp': array([964982703, 964981247])}

    Returns: "ratings" with columns "user", "item", "rating" and "timestamp", and "items" with
        "item" and "title"; users and items by the ids of the files.
    Raises: DataError if no such file is there, or a line is malformed (named by its number).
    """
    kinds = (
        ("u.data", "\t", "u.item", "|"),
        ("ratings.dat", "::", "movies.dat", "::"),
        ("ratings.csv", ",", "movies.csv", ","),
    )
    for ratings, delimiter, movies, movie_delimiter in kinds:
        if (folder / ratings).exists():
            titles = dict(_titles(folder / movies, movie_delimiter))
            return {"ratings": _table(folder / ratings, delimiter), "items": _items(titles)}
    raise DataError(f"{folder}: expected u.data, ratings.dat or ratings.csv")


def _items(titles: dict[int, str]) -> Dataset:
    ids = np.array(list(titles), np.int64)
    return Dataset({"item": ids, "title": text_column(list(titles.values()))})


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


def _table(path: pathlib.Path, delimiter: str) -> Dataset:
    users, items, ratings, times = [], [], [], []
    for line, row in _rows(path, delimiter):
        try:
            user, item, stars, time = row
            users.append(_int64(user))
            items.append(_int64(item))
            ratings.append(number(stars))
            times.append(_int64(time))
        except ValueError as error:
            raise DataError(
                f"{path}, line {line}: expected user, item, rating and timestamp, got "
                f"{delimiter.join(row)[:80]!r}"
            ) from error
        if not LEAST <= ratings[-1] <= MOST:
            raise DataError(f"{path}, line {line}: rating {stars} is outside {LEAST}..{MOST}")
    if not users:
        raise DataError(f"{path}: there are no ratings")
    return Dataset(
        {
            "user": np.array(users),
            "item": np.array(items),
            "rating": np.array(ratings, np.float32),
            "timestamp": np.array(times),
        }
    )


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


# Fetched where there is a network.

_MIRROR = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_TITLE_BYTES = 96


def _fetched(downloads: Any) -> dict[str, Dataset]:
    check_network(_MIRROR)
    try:
        folder = pathlib.Path(downloads.download_and_extract(_MIRROR))
    except Exception as error:  # whatever the transport raises
        kind = type(error).__name__
        raise DataError(f"cannot fetch {_MIRROR} ({kind}; is there a network?)") from error
    return read_movielens(folder / pathlib.Path(_MIRROR).stem)


def _fetched_ratings(downloads: Any) -> dict[str, Dataset]:
    ratings = _fetched(downloads)["ratings"]
    ids = {name: ratings[name].astype(np.int32) for name in ("user", "item")}
    return {"ratings": Dataset({**ratings.columns, **ids})}


def _fetched_titles(downloads: Any) -> dict[str, Dataset]:
    items = _fetched(downloads)["items"]
    encoded = [title.encode()[:_TITLE_BYTES].ljust(_TITLE_BYTES) for title in items["title"]]
    text = np.frombuffer(b"".join(encoded), np.uint8).reshape(-1, _TITLE_BYTES)
    return {"items": Dataset({"item": items["item"].astype(np.int32), "title": text})}


_RATINGS = Builder(
    name="movielens_100k",
    features={
        "user": ((), np.int32),
        "item": ((), np.int32),
        "rating": ((), np.float32),
        "timestamp": ((), np.int64),
    },
    make_splits=_fetched_ratings,
)
_TITLES = Builder(
    name="movielens_100k_titles",
    features={"item": ((), np.int32), "title": ((_TITLE_BYTES,), np.uint8)},
    make_splits=_fetched_titles,
)


def movielens_100k() -> dict[str, Dataset]:
    """Fetched once by TFDS, from the files' own publisher."""
    items = prepare(_TITLES)["items"]
    titles = [bytes(row).rstrip().decode(errors="ignore") for row in items["title"]]
    named = _items(dict(zip(items["item"].tolist(), titles, strict=True)))
    return {**prepare(_RATINGS), "items": named}
