"""Pairs of sentences in two languages: Tatoeba's files, and dates as Babel writes them.

splits = data.load("dates")                                       # "train" and "test"
source = data.text.Vocabulary.build(..., reserved=data.text.RESERVED)
columns, counts = data.text.encode_pairs(
    splits["train"], (source, target), data.text.characters, 32, 32
)
"""

import datetime
import functools
import pathlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jaxdl.data._archives import ENDINGS, from_anywhere
from jaxdl.data._builders import Builder, prepare
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import decode, lines, opened, text_column
from jaxdl.data.text._text import PAD, UNKNOWN, Vocabulary, pad_sequences
from jaxdl.data.text._tokens import character_class

BOS, EOS = "<bos>", "<eos>"
RESERVED = (PAD, UNKNOWN, BOS, EOS)  # ids 0 to 3


def read_pairs(path: str | pathlib.Path, limit: int | None = None) -> Dataset:
    r"""Reads lines "source TAB target", from a text, its archive or a folder of either.

    >>> _ = pathlib.Path("fra.txt").write_text("Go.\tVa !\nRun!\tCours !\n")
    >>> pairs = read_pairs("fra.txt")
    >>> pairs["source"].tolist(), pairs["target"].tolist()
    (['Go.', 'Run!'], ['Va !', 'Cours !'])

    Raises: DataError if there is none, the text is not UTF-8, or a line has no tab; ValueError for
        a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    path = pathlib.Path(path)
    if path.is_dir() or path.name.lower().endswith(ENDINGS):
        return _pairs_of_folder(path, limit)
    return _pairs_of_text(path, limit)


@from_anywhere
def _pairs_of_folder(folder: pathlib.Path, limit: int | None) -> Dataset:
    found = [path for path in sorted(folder.glob("*.txt")) if path.name[0] != "_"]  # _about.txt
    if not found:
        raise DataError(f"{folder}: expected a zip or a text of pairs, found none")
    return _pairs_of_text(found[0], limit)


def _pairs_of_text(path: pathlib.Path, limit: int | None) -> Dataset:
    pairs: list[tuple[str, str]] = []
    with opened(path) as file:
        for number, content in lines(file, path):
            if limit is not None and len(pairs) == limit:
                break
            line = decode(content, path, number)
            if not line.strip():
                continue
            fields = line.split("\t")  # later files have a third one, where the pair comes from
            if len(fields) < 2:
                raise DataError(f"{path}, line {number}: expected two sentences and a tab between")
            pairs.append((fields[0], fields[1]))
    if not pairs:
        raise DataError(f"{path}: no pairs")
    return _columns(pairs)


def _columns(pairs: Iterable[tuple[str, str]]) -> Dataset:
    sources, targets = [list(side) for side in zip(*pairs, strict=True)] or ([], [])
    return Dataset({"source": text_column(sources), "target": text_column(targets)})


def read_tatoeba(path: str | pathlib.Path, limit: int | None = None) -> dict[str, Dataset]:
    """Pairs of manythings.org, normalized; a tenth of the sentences held out.

    All translations of a sentence go together. `limit` takes so many pairs of the file, the first,
    which are the shortest.
    """
    rows = read_pairs(path, limit)
    pairs = [
        (normalize_sentence(source), normalize_sentence(target))
        for source, target in zip(rows["source"], rows["target"], strict=True)
    ]
    sources = sorted({source for source, _ in pairs})
    held_out = set(np.random.default_rng(0).permutation(sources)[: len(sources) // 10].tolist())
    return {
        "train": _columns(pair for pair in pairs if pair[0] not in held_out),
        "test": _columns(pair for pair in pairs if pair[0] in held_out),
    }


def normalize_sentence(text: str) -> str:
    """Lower case in Unicode's NFC, a single space between words, and before and after marks.

    >>> normalize_sentence("Is he there,  là-bas?")
    'is he there , là-bas ?'
    """
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    return " ".join(_mark().sub(r" \1 ", text).split())


@functools.cache
def _mark() -> re.Pattern[str]:
    """What stands for itself: neither of a word (letters with their accents and vowel signs)."""
    return re.compile(rf"([^\w\s'{character_class('M')}-])")


def encode_pairs(
    pairs: Dataset,
    vocabularies: tuple[Vocabulary, Vocabulary],
    tokenize: Callable[[str], Sequence[str]],
    source_length: int,
    target_length: int,
) -> tuple[Dataset, dict[str, int]]:
    """Turns pairs into ids, both sides ended by `<eos>` and filled up with 0.

    >>> vocabulary = Vocabulary.build("ab", reserved=RESERVED)  # a is 4, b is 5, <eos> is 3
    >>> both = vocabulary, vocabulary
    >>> pairs = Dataset({"source": np.array(["a b"]), "target": np.array(["b a b"])})
    >>> columns, counts = encode_pairs(pairs, both, str.split, 4, 3)
    >>> columns["source"], columns["target"], counts
    (array([[4, 5, 3, 0]], dtype=int32), array([[5, 4, 3]], dtype=int32),
     {'cut': 1, 'unknown': 0, 'tokens': 5})

    Args:
        pairs: columns "source" and "target" of texts.
        vocabularies: of the two sides, with `RESERVED` first.
        tokenize: `words` or `characters`.
        source_length, target_length: with the end; longer ones are cut, and still end.
    Returns: columns "source" and "target", and counts: "cut" sentences, "unknown" tokens of either
        side, and "tokens" in total.
    Raises: ValueError if a vocabulary reserves others.
    """
    columns, counts = {}, {"cut": 0, "unknown": 0, "tokens": 0}
    lengths = (source_length, target_length)
    for side, name in enumerate(("source", "target")):
        vocabulary, length = vocabularies[side], lengths[side]
        if vocabulary.tokens[: len(RESERVED)] != RESERVED:
            raise ValueError(f"vocabularies need the tokens {RESERVED} first")
        tokens = [tokenize(text) for text in pairs[name]]
        counts["tokens"] += sum(map(len, tokens))
        counts["unknown"] += sum(vocabulary.count_unknown(some) for some in tokens)
        counts["cut"] += sum(len(some) >= length for some in tokens)
        ids = [vocabulary.encode([*some[: length - 1], EOS]).tolist() for some in tokens]
        columns[name], _ = pad_sequences(ids, length)
    return Dataset(columns), counts


# Dates of 1900 to 2099 in English and French, in three of CLDR's forms; the form is kept.

_WIDTH = 40  # characters of Latin-1, filled up with zeros


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("latin-1").ljust(_WIDTH, b"\0"), np.uint8)


def _text(row: np.ndarray) -> str:
    return row.tobytes().rstrip(b"\0").decode("latin-1")


def _dates(downloads: Any) -> dict[str, Dataset]:
    """10,000 dates to learn from and 1,000 other ones, drawn once and for all."""
    from babel.dates import format_date

    rng = np.random.default_rng(0)
    first = datetime.date(1900, 1, 1)
    days = (datetime.date(2100, 1, 1) - first).days
    drawn = [first + datetime.timedelta(int(day)) for day in rng.permutation(days)[:11000]]
    forms = rng.choice(["full", "long", "medium"], len(drawn))
    columns = {
        side: np.stack(
            [
                _bytes(format_date(date, str(form), locale=locale).replace("\u202f", " "))
                for date, form in zip(drawn, forms, strict=True)
            ]
        )
        for side, locale in (("source", "en"), ("target", "fr"))
    }
    rows = Dataset(columns)
    return {"train": rows.take(slice(0, 10000)), "test": rows.take(slice(10000, None))}


_DATES = Builder(
    name="dates",
    features={"source": ((_WIDTH,), np.uint8), "target": ((_WIDTH,), np.uint8)},
    make_splits=_dates,
)


def dates() -> dict[str, Dataset]:
    """The dates as texts."""
    return {
        name: _columns(zip(map(_text, split["source"]), map(_text, split["target"]), strict=True))
        for name, split in prepare(_DATES).items()
    }
