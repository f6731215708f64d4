"""fastText: a word's vector is the mean of its own row and those of its parts, hashed to buckets.

Rows of the input table: V words, then the buckets. Parts are the n-grams of `<word>`, as in the
original; the mark of a single `<` or `>` is none. The original takes the mean; the sum of the
paper's formula is `combine="sum"`. Trained by `word_vectors.make_word2vec(subwords=...)`.

Bojanowski et al. 2017, Enriching word vectors with subword information, arXiv:1607.04606.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike


def parts(word: str, lengths: tuple[int, int] = (3, 6)) -> list[str]:
    """The n-grams of `<word>` for n from the first length to the last, by where they start.

    >>> parts("where", (3, 3))
    ['<wh', 'whe', 'her', 'ere', 're>']
    """
    marked = f"<{word}>"
    return [
        marked[start : start + n]
        for start in range(len(marked))
        for n in range(lengths[0], lengths[1] + 1)
        if start + n <= len(marked) and not (n == 1 and start in (0, len(marked) - 1))
    ]


def hash_part(part: str) -> int:
    """FNV-1a, 32 bits, of the UTF-8 bytes, each sign-extended as in fastText's C++.

    >>> hash_part("a")  # (2166136261 ^ 97) * 16777619 mod 2^32
    3826002220
    """
    value = 2166136261
    for byte in part.encode():
        value ^= byte if byte < 128 else byte | 0xFFFFFF00
        value = value * 16777619 & 0xFFFFFFFF
    return value


@dataclasses.dataclass(frozen=True)
class Subwords:
    """How words are made of rows: the words of a vocabulary have one of their own, others not.

    >>> subwords = Subwords(["the", "sea"], buckets=10, lengths=(3, 3))
    >>> len(subwords.rows("sea")), len(subwords.rows("tea"))  # itself, <se, sea, ea>; three parts
    (4, 3)
    >>> subwords.vector(np.ones((subwords.num_rows, 2)), "tea")
    array([1., 1.])

    Raises: ValueError without buckets, or for lengths that are not `1 <= first <= last`.
    """

    words: Sequence[str]  # V
    buckets: int = 2_000_000
    lengths: tuple[int, int] = (3, 6)
    combine: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        if self.buckets < 1 or not 1 <= self.lengths[0] <= self.lengths[1]:
            raise ValueError(
                f"need buckets and 1 <= shortest <= longest part, got {self.buckets} "
                f"and {self.lengths}"
            )
        object.__setattr__(self, "_ids", {word: i for i, word in enumerate(self.words)})

    @property
    def num_rows(self) -> int:
        """Rows of the input table."""
        return len(self.words) + self.buckets

    def rows(self, word: str) -> list[int]:
        """The rows that make up a word."""
        ids: dict[str, int] = self._ids  # type: ignore[attr-defined]
        own = [ids[word]] if word in ids else []
        hashed = [hash_part(part) % self.buckets for part in parts(word, self.lengths)]
        return own + [len(self.words) + h for h in hashed]

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and weights `[V, S]` of all words of the vocabulary; padding weighs 0."""
        every = [self.rows(word) for word in self.words]
        shape = (len(every), max(map(len, every)))
        ids, weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        for i, rows in enumerate(every):
            ids[i, : len(rows)] = rows
            weights[i, : len(rows)] = 1 / len(rows) if self.combine == "mean" else 1
        return ids, weights

    def vector(self, inputs: ArrayLike, word: str) -> np.ndarray:
        """The vector `[D]` of any word, from the input table `[V + buckets, D]`.

        Raises: ValueError if the word is unknown and too short to have parts.
        """
        rows = self.rows(word)
        if not rows:
            raise ValueError(f"{word!r} is unknown and has no parts of {self.lengths} letters")
        some = np.asarray(inputs)[rows]
        return some.mean(axis=0) if self.combine == "mean" else some.sum(axis=0)

    def vectors(self, inputs: ArrayLike) -> np.ndarray:
        """The vectors `[V, D]` of the vocabulary."""
        inputs = np.asarray(inputs)
        return np.stack([self.vector(inputs, word) for word in self.words])
