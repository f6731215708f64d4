"""Film reviews in the folders of aclImdb, and texts to the ids that the readers take."""

import functools
import pathlib
import re
import unicodedata
import zipfile
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from jaxdl.data._archives import damage_named, innermost, members, read_member, unpacked
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import check_file, read_bytes
from jaxdl.data.text._text import Vocabulary, pad_sequences
from jaxdl.data.text._tokens import character_class

_MOST = 16 * 2**20  # bytes of a review


class Vectors(Protocol):
    """Vectors by word, as `WordVectors` has them."""

    def __contains__(self, word: str) -> bool: ...
    def __getitem__(self, word: str) -> np.ndarray: ...


def read_reviews(path: str | pathlib.Path) -> dict[str, Dataset]:
    """Reads {train,test}/{neg,pos}/*.txt (Maas et al. 2011), from a folder or its tar.gz.

    >>> for name in ("train/neg", "train/pos", "test/neg", "test/pos"):
    ...     pathlib.Path("aclImdb", name).mkdir(parents=True)
    ...     _ = pathlib.Path("aclImdb", name, "0_5.txt").write_text(f"A film of {name}.")
    >>> train = read_reviews("aclImdb")["train"]
    >>> train["text"].tolist(), train["label"]
    (['A film of train/neg.', 'A film of train/pos.'], array([0, 1], dtype=int32))

    Args:
        path: the archive (tar.gz, read in place, or zip), or the folder that holds it (an archive
            in it comes first) or "aclImdb", or that has train and test itself.
    Returns: "train" and "test" with columns "text" (str) and "label" (1 for pos), by file name.
    Raises: DataError for what is no archive, a class without reviews, or a review of over
        2^24 bytes.
    """
    path = pathlib.Path(path)
    zips = sorted(path.glob("*.zip")) if path.is_dir() else [path]
    if zips and zipfile.is_zipfile(zips[0]):
        path = unpacked(zips[0])
    archives = sorted(path.glob("*.tar.gz")) if path.is_dir() else [path]
    contents: dict[str, bytes] = {}
    if archives:
        check_file(archives[0])
        with damage_named(archives[0]):
            for member, archive in members(archives[0]):
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None and member.name.endswith(".txt"):
                    contents[member.name] = read_member(file, _MOST)
    else:
        root = next((p for p in (path / "aclImdb", innermost(path)) if p.is_dir()), path)
        contents = {str(file): read_bytes(file, _MOST) for file in root.glob("t*/*/*.txt")}
    splits = {}
    for split in ("train", "test"):
        texts, labels = [], []
        for label, kind in enumerate(("neg", "pos")):
            pattern = re.compile(rf"(?:^|.*/){split}/{kind}/[^/]*\.txt")
            names = sorted(name for name in contents if pattern.fullmatch(name))
            if not names:
                raise DataError(f"{path}: expected {split}/{kind}/*.txt, found none")
            texts += [contents[name].decode("utf-8", errors="replace") for name in names]
            labels += [label] * len(names)
        columns = {"text": np.array(texts, dtype=object), "label": np.array(labels, np.int32)}
        splits[split] = Dataset(columns)
    return splits


def review_words(text: str, *, ascii_only: bool = False) -> list[str]:
    """Lower-case words with their apostrophes, and ! and ?; line breaks in HTML are left out.

    >>> review_words("Don't miss it!<br />Amélie: 10/10")
    ["don't", 'miss', 'it', '!', 'amélie', '10', '10']

    Args:
        text: brought to Unicode's NFC; a typographic apostrophe becomes a plain one.
        ascii_only: words of a-z and 0-9 alone; other letters then cut them.
    """
    lower = unicodedata.normalize("NFC", text.lower()).replace("<br />", " ").replace("’", "'")
    return _review_word(ascii_only).findall(lower)


@functools.cache
def _review_word(ascii_only: bool) -> re.Pattern[str]:
    letter = "a-z" if ascii_only else character_class("L", "M")
    digit = "0-9" if ascii_only else r"\d"
    return re.compile(rf"[{letter}{digit}]+(?:'[{letter}]+)?|[!?]")


def encode_texts(
    texts: Iterable[str], vocabulary: Vocabulary, length: int
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Turns texts into ids `[N, length]`, 0 where there is no word.

    >>> vocabulary = Vocabulary.build(["dull", "film"])  # ids 2 and 3, 1 for other words
    >>> encode_texts(["A dull film", "Film!"], vocabulary, length=2)
    ({'tokens': array([[1, 2], [3, 1]], dtype=int32)},
     {'words': 5, 'unknown': 2, 'cut': 1, 'empty': 0})

    Returns: columns "tokens", and counts: "cut" texts were longer, "empty" ones have no word, and
        "unknown" words are not in the vocabulary, of "words" in total before the cut.
    """
    words = [review_words(text) for text in texts]
    counts = {
        "words": sum(map(len, words)),
        "unknown": sum(vocabulary.count_unknown(some) for some in words),
        "cut": sum(len(some) > length for some in words),
        "empty": sum(not some for some in words),
    }
    tokens, _ = pad_sequences([vocabulary.encode(some[:length]).tolist() for some in words], length)
    return {"tokens": tokens}, counts


def vector_table(
    vocabulary: Vocabulary, vectors: Vectors, *, seed: int = 0
) -> tuple[np.ndarray, int]:
    """The vectors of a vocabulary's words, row by id.

    >>> vocabulary = Vocabulary.build(["dull", "film"])
    >>> table, missing = vector_table(vocabulary, {"film": np.array([1.0, 2.0])})
    >>> table[[0, 3]], missing
    (array([[0., 0.], [1., 2.]], dtype=float32), 1)

    Returns: `[V, D]` float32, and how many words, reserved tokens aside, have no vector. Rows
        without one are drawn from a normal distribution with the deviation of the others; row 0,
        the padding, is zero.
    Raises: ValueError if no word has a vector.
    """
    rows = [i for i, word in enumerate(vocabulary.tokens) if word in vectors]
    known = np.array([vectors[vocabulary.tokens[i]] for i in rows], np.float32)
    if not rows:
        raise ValueError("no word of the vocabulary has a vector")
    random = np.random.default_rng(seed).normal(size=(len(vocabulary), known.shape[1]))
    table = (random * known.std()).astype(np.float32)
    table[rows] = known
    table[0] = 0
    missing = sum(word not in vectors for word in vocabulary.tokens[vocabulary.reserved :])
    return table, missing
