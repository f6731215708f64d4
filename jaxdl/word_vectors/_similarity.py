"""What word vectors are judged by, from arrays: neighbors, analogies, rank correlation.

Cosines are taken in chunks of queries, so that no more than `[chunk, V]` of them lie in memory.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike


def nearest(
    vectors: ArrayLike,
    queries: ArrayLike,
    k: int,
    *,
    exclude: ArrayLike | None = None,
    chunk: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of greatest cosine with each query.

    >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.1]])
    >>> cosines, ids = nearest(vectors, np.array([[2.0, 0.0]]), k=2)
    >>> ids
    array([[0, 2]], dtype=int32)

    Args:
        vectors: `[V, D]`; a row of zeros has cosine 0 with everything.
        queries: `[Q, D]`.
        exclude: ids `[Q, E]` of rows that are no answer, -1 for none.
        chunk: queries scored at a time.
    Returns: cosines `[Q, k]`, descending, and ids `[Q, k]`.
    Raises: ValueError if the widths differ, or k is not in 1..V-E.
    """
    vectors, queries = np.asarray(vectors, np.float32), np.asarray(queries, np.float32)
    if vectors.ndim != 2 or queries.ndim != 2 or vectors.shape[1] != queries.shape[1]:
        raise ValueError(f"need [V, D] and [Q, D], got {vectors.shape} and {queries.shape}")
    shape = (len(queries), 0)
    out = np.zeros(shape, np.int32) if exclude is None else np.asarray(exclude, np.int32)
    if not 1 <= k <= len(vectors) - out.shape[1]:
        raise ValueError(f"k must lie in 1..{len(vectors) - out.shape[1]}, got {k}")
    table = jnp.asarray(_unit(vectors))
    chunk = min(chunk, max(1, len(queries)))
    found = []
    for start in range(0, len(queries), chunk):  # one shape, so one program
        pad = ((0, max(0, start + chunk - len(queries))), (0, 0))
        some = np.pad(queries[start : start + chunk], pad)
        found.append(_top(table, _unit(some), np.pad(out[start : start + chunk], pad), k))
    if not found:
        return np.zeros((0, k), np.float32), np.zeros((0, k), np.int32)
    cosines, ids = (np.concatenate(x)[: len(queries)] for x in zip(*found, strict=True))
    return cosines, ids


def analogies(vectors: ArrayLike, questions: ArrayLike, *, chunk: int = 256) -> np.ndarray:
    """Answers "a is to b as c is to ?" by 3CosAdd, the word nearest to `b - a + c` (unit vectors).

    >>> vectors = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> analogies(vectors, np.array([[0, 1, 2]]))  # man is to king as woman is to queen
    array([3], dtype=int32)

    Args:
        vectors: `[V, D]`.
        questions: ids `[Q, 3]`; the three words of a question are no answer to it.
    Returns: ids `[Q]`.
    Reference: Mikolov, Yih & Zweig 2013, Linguistic regularities.
    """
    questions = np.asarray(questions)
    if questions.ndim != 2 or questions.shape[1] != 3:
        raise ValueError(f"questions need shape [Q, 3], got {questions.shape}")
    unit = _unit(np.asarray(vectors, np.float32))
    a, b, c = (unit[questions[:, i]] for i in range(3))
    return nearest(unit, b - a + c, 1, exclude=questions, chunk=chunk)[1][:, 0]


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rho, Pearson's r of ranks, where ties share their mean rank.

    NaN for fewer than two values or where all of one side are equal.

    >>> rank_correlation([1, 2, 3], [10, 20, 15])
    0.5
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"need one shape [N], got {x.shape} and {y.shape}")
    a, b = _ranks(x), _ranks(y)
    scale = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
    return float(np.sum(a * b)) / scale if scale > 0 else float("nan")


@functools.partial(jax.jit, static_argnames="k")
def _top(table: jax.Array, queries: jax.Array, exclude: jax.Array, k: int) -> Any:
    cosines = jnp.dot(queries, table.T, precision=jax.lax.Precision.HIGHEST)
    rows = jnp.broadcast_to(jnp.arange(len(queries))[:, None], exclude.shape)
    place = jnp.where(exclude < 0, len(table), exclude)
    return jax.lax.top_k(cosines.at[rows, place].set(-jnp.inf, mode="drop"), k)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, of whatever scale they are; rows of zeros stay zeros."""
    greatest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    rows = rows / np.where(greatest > 0, greatest, 1)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return ranks - np.mean(ranks) if len(ranks) else ranks
