"""Which words belong together: pointwise mutual information from a corpus (Church & Hanks 1990)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl.information._discrete import pointwise_mutual_information


class Association(NamedTuple):
    """Two words, how often they met within the window, and their PMI in bits."""

    first: str
    second: str
    times: int
    pmi: float


def cooccurrence(ids: ArrayLike, num_words: int, *, window: int) -> jax.Array:
    """How often word y follows word x within `window` places, float32 `[num_words, num_words]`.

    >>> cooccurrence(jnp.array([0, 1, 0]), 2, window=1)
    Array([[0., 1.],
           [1., 0.]], dtype=float32)

    Args:
        ids: a text as integers `[T]`; ids outside 0..num_words-1 (rare words, ends of sentences)
            keep their place but are not counted.
        num_words: V.
        window: the furthest place after x that counts, at least 1.
    Raises: ValueError if ids are not `[T]` or the window is below 1.
    """
    ids = jnp.asarray(ids)
    if ids.ndim != 1 or window < 1:
        raise ValueError(f"need ids [T] and window >= 1, got {ids.shape} and {window}")
    pairs = num_words**2
    ids = jnp.where((ids >= 0) & (ids < num_words), ids, num_words)
    counts = jnp.zeros(pairs, jnp.int32)
    for distance in range(1, window + 1):
        first, second = ids[:-distance], ids[distance:]
        known = (first < num_words) & (second < num_words)
        pair = jnp.where(known, first * num_words + second, pairs)
        counts = counts.at[pair].add(1, mode="drop")
    return counts.astype(jnp.float32).reshape(num_words, num_words)


def word_associations(
    words: Sequence[str],
    *,
    window: int = 2,
    vocabulary: int = 1000,
    min_count: int = 5,
    smoothing: float = 0.0,
) -> list[Association]:
    """The pairs of a text by how much more often they meet than chance, the most so first.

    >>> word_associations("new york new york is new".split(), window=1, min_count=1)[0]
    Association(first='new', second='york', times=2, pmi=1.322)

    Args:
        words: the text, one word after another.
        window: how far apart two words may stand.
        vocabulary: only the so many most frequent words are paired (ties by their spelling).
        min_count: pairs that met less often are left out, as PMI flatters what is rare.
        smoothing: added to every count of the table before the shares are taken (Laplace), so that
            they sum to one; it lowers the PMI of rare pairs.
    Returns: pairs in the order in which they stand in the text, PMI in bits.
    """
    if smoothing < 0 or min_count < 1 or vocabulary < 1:
        raise ValueError("need smoothing >= 0, min_count >= 1 and vocabulary >= 1")
    spelling, inverse, counts = np.unique(
        np.asarray(words, dtype=str), return_inverse=True, return_counts=True
    )
    frequent = np.lexsort((spelling, -counts))[:vocabulary]
    index = np.full(len(spelling), -1)
    index[frequent] = np.arange(len(frequent))
    met = cooccurrence(index[inverse], len(frequent), window=window)
    if not met.size or not met.any():
        return []
    joint = (met + smoothing) / jnp.sum(met + smoothing)
    pmi = np.asarray(pointwise_mutual_information(joint, base=2))
    times = np.asarray(met, int)
    first, second = np.nonzero(times >= min_count)
    order = np.lexsort((-times[first, second], -pmi[first, second]))
    names = spelling[frequent]
    return [
        Association(str(names[i]), str(names[j]), int(times[i, j]), float(pmi[i, j]))
        for i, j in zip(first[order], second[order], strict=True)
    ]
