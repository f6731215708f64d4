"""Texts as counts of their words."""

import collections
import re
from collections.abc import Mapping, Sequence

import numpy as np

WORD = re.compile(r"(?u)\b\w\w+\b")  # two characters or more, as scikit-learn counts them


def fit_vocabulary(
    texts: Sequence[str] | np.ndarray, *, min_texts: int = 1, max_words: int | None = None
) -> dict[str, int]:
    """Numbers the words of texts in alphabetical order.

    >>> fit_vocabulary(["The cat sat", "the dog"])
    {'cat': 0, 'dog': 1, 'sat': 2, 'the': 3}

    Args:
        texts: what to learn from; words are lower-cased.
        min_texts: leaves out words that occur in fewer texts.
        max_words: keeps the most frequent ones (of equals the alphabetically first).
    Returns: word to column. Raises: ValueError if no word is left.
    """
    total: collections.Counter[str] = collections.Counter()
    spread: collections.Counter[str] = collections.Counter()
    for text in texts:
        words = WORD.findall(str(text).lower())
        total.update(words)
        spread.update(set(words))
    kept = sorted(word for word in total if spread[word] >= min_texts)
    kept = sorted(sorted(kept, key=lambda word: (-total[word], word))[:max_words])
    if not kept:
        raise ValueError(f"no word occurs in {min_texts} of {len(texts)} texts")
    return {word: column for column, word in enumerate(kept)}


def bag_of_words(
    texts: Sequence[str] | np.ndarray, vocabulary: Mapping[str, int], *, presence: bool = False
) -> np.ndarray:
    """Counts `[N, V]`, float32; words outside the vocabulary count for nothing.

    >>> bag_of_words(["The cat saw the dog", ""], {"cat": 0, "the": 1})
    array([[1., 2.],
           [0., 0.]], dtype=float32)

    Args:
        texts: N texts; an empty one gives a row of zeros.
        vocabulary: as `fit_vocabulary` gives it.
        presence: 1 for every word that occurs, however often.
    """
    counts = np.zeros((len(texts), len(vocabulary)), np.float32)
    for row, text in zip(counts, texts, strict=True):
        for word in WORD.findall(str(text).lower()):
            if word in vocabulary:
                row[vocabulary[word]] += 1
    return np.minimum(counts, 1) if presence else counts
