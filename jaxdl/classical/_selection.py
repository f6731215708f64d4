"""Model selection: folds as masks, so that folds, sizes and penalties are axes of one program.

A learner here is `fit(x, y, weights) -> params`, a score `score(params, x, y, weights) -> number`
(or an array of numbers, where `fit` returns a path of models). Weights of 0 and 1 choose the
examples; no data is copied and one compilation serves every fold and size.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl import ops
from jaxdl.classical._linear import PRECISE, weighted_mean

Fit = Callable[[jax.Array, jax.Array, jax.Array], Any]
Score = Callable[[Any, jax.Array, jax.Array, jax.Array], jax.Array]


class Folds(NamedTuple):
    """Which examples train and which validate, `[F, N]` booleans on the host."""

    train: np.ndarray
    validation: np.ndarray


def k_folds(
    num_examples: int,
    k: int,
    *,
    seed: int | None = None,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    by_time: bool = False,
) -> Folds:
    """Splits examples into k folds, each validating once; the folds are scikit-learn's own.

    >>> folds = k_folds(4, 2)
    >>> folds.validation.astype(int)
    array([[1, 1, 0, 0],
           [0, 0, 1, 1]])

    Args:
        num_examples: N.
        k: 2..N.
        seed: shuffles first; None keeps the order.
        labels: `[N]`; keeps the share of every class in every fold (stratified).
        groups: `[N]`; examples of one group never stand on both sides.
        by_time: the examples are in order of time and every fold trains on the past only (the
            first stretch never validates).
    Returns: `Folds`.
    Raises: ValueError for fewer examples, groups or members of a class than folds, for one class
        only, or for options that exclude each other.
    """
    from sklearn import model_selection

    chosen = [labels is not None, groups is not None, by_time]
    if sum(chosen) > 1:
        raise ValueError("choose one of labels, groups and by_time")
    if by_time and seed is not None:
        raise ValueError("folds by time keep the order: seed must be None")
    if not 2 <= k <= num_examples:
        raise ValueError(f"k must lie in 2..{num_examples} (the examples), got {k}")
    target = None if labels is None else np.asarray(labels)
    shuffle = {"shuffle": seed is not None, "random_state": seed}
    if by_time:
        if num_examples < k + 1:
            raise ValueError(f"{k} folds by time need at least {k + 1} examples")
        splitter = model_selection.TimeSeriesSplit(k)
    elif groups is not None:
        splitter = model_selection.GroupKFold(k, **shuffle)
        if len(np.unique(np.asarray(groups))) < k:
            raise ValueError(f"{len(np.unique(np.asarray(groups)))} groups do not fill {k} folds")
    elif target is not None:
        splitter = model_selection.StratifiedKFold(k, **shuffle)
        counts = np.unique(target, return_counts=True)[1]
        if len(counts) < 2 or counts.min() < k:
            raise ValueError(
                f"stratified folds need two classes with at least {k} examples each, got {counts}"
            )
    else:
        splitter = model_selection.KFold(k, **shuffle)
    train, validation = np.zeros((2, k, num_examples), bool)
    pairs = splitter.split(np.zeros(num_examples), target, groups)
    for fold, (rows, held_out) in enumerate(pairs):
        train[fold, rows] = True
        validation[fold, held_out] = True
    return Folds(train, validation)


def train_test_split(
    num_examples: int,
    shares: Sequence[float],
    *,
    seed: int | None = None,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> list[np.ndarray]:
    """Splits examples into parts, (0.6, 0.2, 0.2) for training, validation and test, say.

    >>> train_test_split(10, (0.6, 0.2, 0.2))
    [array([0, 1, 2, 3, 4, 5]), array([6, 7]), array([8, 9])]

    Args:
        num_examples: N.
        shares: of each part, > 0, adding up to 1.
        seed: shuffles; None keeps the order (a split by time).
        labels: `[N]`; splits every class by itself (stratified).
        groups: `[N]`; a group goes to one part as a whole (shares then count groups).
    Returns: index arrays, increasing, disjoint, together 0..N-1; none is empty.
    Raises: ValueError for shares that do not add up, labels and groups at once, or an empty part.
    """
    if labels is not None and groups is not None:
        raise ValueError("choose one of labels and groups")
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be positive and add up to 1, got {tuple(shares)}")
    rng = np.random.default_rng(seed)
    part = np.zeros(num_examples, int)

    def cut(items: np.ndarray) -> np.ndarray:
        """Part of each item, the cuts at rounded cumulative shares."""
        order = np.arange(len(items)) if seed is None else rng.permutation(len(items))
        edges = np.round(np.cumsum(shares)[:-1] * len(items)).astype(int)
        parts = np.empty(len(items), int)
        parts[order] = np.searchsorted(edges, np.arange(len(items)), side="right")
        return parts

    if groups is not None:
        names, member = np.unique(np.asarray(groups), return_inverse=True)
        part = cut(names)[member]
    elif labels is not None:
        for label in np.unique(np.asarray(labels)):
            rows = np.flatnonzero(np.asarray(labels) == label)
            part[rows] = cut(rows)
    else:
        part = cut(np.arange(num_examples))
    parts = [np.flatnonzero(part == index) for index in range(len(shares))]
    if any(len(rows) == 0 for rows in parts):
        raise ValueError(f"{num_examples} examples leave a part of {tuple(shares)} empty")
    return parts


class Scores(NamedTuple):
    """Scores on the examples trained on and on those held out: folds, sizes, the fit's own axes."""

    train: jax.Array
    validation: jax.Array


def cross_validate(
    fit: Fit,
    score: Score,
    x: ArrayLike,
    y: ArrayLike,
    folds: Folds,
    *,
    vectorize: ops.Vectorize = "auto",
) -> Scores:
    """Trains and scores a learner on every fold at once.

    >>> fit = lambda x, y, weights: jnp.average(y, weights=weights)
    >>> score = lambda params, x, y, weights: mean_squared_error(params, y, weights)
    >>> x, y = jnp.zeros((4, 1)), jnp.array([1.0, 1.0, 3.0, 3.0])
    >>> cross_validate(fit, score, x, y, k_folds(4, 2)).validation
    Array([4., 4.], dtype=float32)

    Args:
        fit: `(x, y, weights) -> params`; hyper-parameters are its own axes (a path, a `vmap`).
        score: `(params, x, y, weights) -> [...]`.
        x: `[N, ...]`.
        y: `[N, ...]`.
        folds: `Folds`, masks `[F, N]` (or `[F, S, N]`).
        vectorize: one fold after another in one program ("map"), or all at once ("vmap"); "auto"
            takes turns on a CPU, where caches then hold and no fit waits for the slowest.
    Returns: `Scores` with leading axes F (and S), then the axes of the score.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)

    def one(masks: tuple[jax.Array, jax.Array]) -> Scores:
        train, held_out = (mask.astype(jnp.float32) for mask in masks)
        params = fit(x, y, train)
        return Scores(score(params, x, y, train), score(params, x, y, held_out))

    lead = folds.train.shape[:-1]
    size = folds.train.shape[-1]
    masks = (
        jnp.asarray(folds.train).reshape(-1, size),
        jnp.asarray(folds.validation).reshape(-1, size),
    )
    scores = ops.vectorized(one, masks, vectorize)
    return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), scores)


def growing(folds: Folds, sizes: Sequence[int]) -> Folds:
    """Folds `[F, S, N]` whose training sets are the first `sizes[s]` examples of each fold's.

    Shuffle beforehand where the order of the examples means something.

    >>> growing(k_folds(4, 2), [1, 2]).train[0].astype(int)  # fold 0 trains on the last two
    array([[0, 0, 1, 0],
           [0, 0, 1, 1]])

    Raises: ValueError for a size below 1 or above the smallest training set.
    """
    smallest = int(folds.train.sum(axis=1).min())
    if min(sizes) < 1 or max(sizes) > smallest:
        raise ValueError(f"sizes must lie in 1..{smallest}, got {min(sizes)}..{max(sizes)}")
    rank = np.cumsum(folds.train, axis=1)
    train = folds.train[:, None] & (rank[:, None] <= np.asarray(sizes)[None, :, None])
    validation = np.broadcast_to(folds.validation[:, None], train.shape)
    return Folds(train, validation)


def learning_curve(
    fit: Fit,
    score: Score,
    x: ArrayLike,
    y: ArrayLike,
    folds: Folds,
    sizes: Sequence[int],
    *,
    vectorize: ops.Vectorize = "auto",
) -> Scores:
    """Scores over the number of training examples: `cross_validate` on `growing(folds, sizes)`.

    >>> fit = lambda x, y, weights: jnp.average(y, weights=weights)
    >>> score = lambda params, x, y, weights: mean_squared_error(params, y, weights)
    >>> x, y = jnp.zeros((4, 1)), jnp.array([1.0, 3.0, 1.0, 3.0])
    >>> learning_curve(fit, score, x, y, k_folds(4, 2), [1, 2]).validation  # [F, S]
    Array([[2., 1.],
           [2., 1.]], dtype=float32)
    """
    return cross_validate(fit, score, x, y, growing(folds, sizes), vectorize=vectorize)


def mean_squared_error(predictions: ArrayLike, y: ArrayLike, weights: ArrayLike) -> jax.Array:
    """`sum_i weights_i (p_i - y_i)^2 / sum_i weights_i` over `[N]`; weight 0 is unseen.

    >>> mean_squared_error([1.0, 2.0, 9.0], [1.0, 4.0, 0.0], [1.0, 1.0, 0.0])
    Array(2., dtype=float32)
    """
    weights, predictions, y = map(_floating, (weights, predictions, y))
    squares = jnp.where(weights > 0, (predictions - y) ** 2, 0)
    return jnp.dot(weights, squares, precision=PRECISE) / jnp.sum(weights)


def r_squared(predictions: ArrayLike, y: ArrayLike, weights: ArrayLike) -> jax.Array:
    """`1 - MSE / variance of y` over `[N]`, the variance about these examples' own mean.

    >>> r_squared([1.0, 2.0, 2.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    Array(0.5, dtype=float32)
    """
    weights, y = _floating(weights), _floating(y)
    kept = jnp.where(weights > 0, y, 0)
    spread = mean_squared_error(weighted_mean(kept, weights), kept, weights)
    return 1 - mean_squared_error(predictions, y, weights) / spread


def accuracy(predictions: ArrayLike, y: ArrayLike, weights: ArrayLike) -> jax.Array:
    """Weighted share of `predictions == y` over `[N]`, classes on both sides.

    >>> accuracy([0, 1, 2, 2], [0, 1, 1, 0], [1.0, 1.0, 1.0, 0.0])
    Array(0.667, dtype=float32)
    """
    weights = _floating(weights)
    hits = (jnp.asarray(predictions) == jnp.asarray(y)).astype(weights.dtype)
    return jnp.dot(weights, hits, precision=PRECISE) / jnp.sum(weights)


def _floating(values: ArrayLike) -> jax.Array:
    """Masks and integers as float32: their sums and squares would be cut off or overflow."""
    values = jnp.asarray(values)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
