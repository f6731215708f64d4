"""GloVe: vectors whose inner products, with two biases, are the logarithms of co-occurrence counts.

Counts are symmetric and each pair weighs one over its distance; the word vector is the sum of
center and context, which `vectors` returns. Trained by `word_vectors.make_glove`.

Pennington, Socher & Manning 2014, GloVe: global vectors for word representation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, jax.Array]


class Cells(NamedTuple):
    """The cells of the co-occurrence table that are not 0, by row and column."""

    rows: np.ndarray  # [N], int32
    columns: np.ndarray  # [N], int32
    counts: np.ndarray  # [N], float32


def count_cells(
    tokens: np.ndarray,
    sentences: np.ndarray,
    vocab_size: int,
    *,
    window: int = 10,
    by_distance: bool = True,
    block: int = 1 << 18,
) -> Cells:
    """Counts which words meet within a window, each pair as 1 / distance, in both directions.

    >>> cells = count_cells(np.array([0, 1, 2]), np.zeros(3, int), vocab_size=3, window=2)
    >>> list(zip(*(column.tolist() for column in cells)))
    [(0, 1, 1.0), (0, 2, 0.5), (1, 0, 1.0), (1, 2, 1.0), (2, 0, 0.5), (2, 1, 1.0)]

    Memory holds a block's pairs and, at most twice, the cells found so far, however long the text.

    Args:
        tokens, sentences: `[N]` of a `word_vectors.Corpus`, NumPy arrays or memory maps.
        window: largest distance.
        by_distance: False counts each pair as 1.
        block: tokens counted at a time.
    Raises: ValueError if window or block is not positive, or nothing meets.
    """
    if min(window, block) < 1:
        raise ValueError(f"window and block must be positive, got {window} and {block}")
    runs: list[tuple[np.ndarray, np.ndarray]] = []  # sorted by cell, each over twice the next
    for start in range(0, len(tokens), block):
        pairs, weights = [], []
        for distance in range(1, window + 1):
            stop = min(start + block, len(tokens) - distance)
            here, there = slice(start, stop), slice(start + distance, stop + distance)
            met = (sentences[here] == sentences[there]) & (sentences[here] >= 0)
            a, b = (tokens[at][met].astype(np.int64) for at in (here, there))
            pairs += [a * vocab_size + b, b * vocab_size + a]
            weights.append(np.full(2 * len(a), 1 / distance if by_distance else 1.0))
        run = _add_up(np.concatenate(pairs), np.concatenate(weights))
        while runs and len(runs[-1][0]) <= 2 * len(run[0]):
            run = _merge(runs.pop(), run)
        runs.append(run)
    while len(runs) > 1:
        last = runs.pop()
        runs.append(_merge(runs.pop(), last))
    if not runs or not len(runs[0][0]):
        raise ValueError(f"no two words meet within {window}: the text has {len(tokens)} words")
    keys, counts = runs[0]
    rows, columns = np.divmod(keys, vocab_size)
    return Cells(rows.astype(np.int32), columns.astype(np.int32), counts.astype(np.float32))


def _merge(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    return _add_up(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))


def _add_up(keys: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    if not len(first):
        return keys, weights
    return keys[first], np.add.reduceat(weights[order], first)


def init(key: jax.Array, vocab_size: int, dim: int) -> Params:
    """Vectors `[V, D]` and biases `[V]`, `U(-1/2D, 1/2D)` as in GloVe's program.

    >>> params = jax.eval_shape(lambda: init(jax.random.key(0), vocab_size=1000, dim=50))
    >>> {name: array.shape for name, array in params.items()}
    {'input': (1000, 50), 'input_bias': (1000,), 'output': (1000, 50), 'output_bias': (1000,)}
    """
    shapes = {"input": (dim,), "output": (dim,), "input_bias": (), "output_bias": ()}
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.uniform(k, (vocab_size, *shape), minval=-0.5 / dim, maxval=0.5 / dim)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def scores(rows: Params) -> jax.Array:
    """`u . v + b + c` of parameters gathered for B cells, `[B]`.

    >>> rows = {"input": jnp.array([[1.0, 2.0]]), "output": jnp.array([[3.0, 4.0]])}
    >>> scores({**rows, "input_bias": jnp.array([0.5]), "output_bias": jnp.array([0.25])})
    Array([11.75], dtype=float32)
    """
    product = jnp.einsum("bd,bd->b", rows["input"], rows["output"])
    return product + rows["input_bias"] + rows["output_bias"]


def cross_entropy(params: Params, rows: jax.Array, counts: jax.Array) -> jax.Array:
    """The cost that GloVe's square replaces, `-sum_j x_ij log p(j | i)`, of each center i.

    p is the softmax of `u_j . v_i + c_j` over all j, so that a center costs all V words; b_i plays
    no part in it (Pennington et al. 2014, eq. 13).

    >>> params = jax.tree.map(jnp.zeros_like, init(jax.random.key(0), vocab_size=3, dim=2))
    >>> cross_entropy(params, jnp.array([1]), jnp.array([[2.0, 0.0, 1.0]]))  # 3 log 3
    Array([3.296], dtype=float32)

    Args:
        rows: ids `[B]` of centers.
        counts: `[B, V]`, their rows of the table.
    Returns: `[B]`.
    Raises: ValueError if the shapes do not fit.
    """
    V = len(params["output"])
    if counts.shape != (len(rows), V):
        raise ValueError(f"counts must be [{len(rows)}, {V}], got {counts.shape}")
    logits = params["input"][rows] @ params["output"].T + params["output_bias"][None]
    return -jnp.sum(counts * jax.nn.log_softmax(logits), axis=-1)


def vectors(params: Params) -> jax.Array:
    """The word vectors `[V, D]`, center plus context.

    >>> vectors({"input": jnp.array([[1.0, 2.0]]), "output": jnp.array([[3.0, 4.0]])})
    Array([[4., 6.]], dtype=float32)
    """
    return params["input"] + params["output"]
