"""Word vectors that predict words from their neighbors: word2vec's tables, trees and losses.

Parameters are `{"input": [V, D], "output": [O, D]}`: v of a word that predicts (after training, the
word vectors) and u of a word, or of an inner node of the tree (O = V - 1), that is predicted.

    skip-gram   h = v[center], predicts each of its contexts
    CBOW        h = mean (the paper's sum: `combine="sum"`) of v[contexts], predicts the center

The three ways to predict a target from h are `softmax_loss`, `negative_sampling_loss` and
`hierarchical_loss`, one number per example; `jaxdl.word_vectors.make_word2vec` is the fast trainer
of all.
Conventions that differ between implementations: `keep_probability` is the paper's unless
asked for the C program's; a negative sample never counts where it is the target itself.

Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546; Mnih & Hinton 2009 (trees).
"""

import heapq
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from jaxdl import losses
from jaxdl.word_vectors import _losses
from jaxdl.word_vectors._losses import hierarchical_softmax_loss

Params = dict[str, jax.Array]


def init(key: jax.Array, vocab_size: int, dim: int, num_outputs: int | None = None) -> Params:
    """Parameters as word2vec starts them: inputs `U(-1/2D, 1/2D)`, outputs zero.

    >>> params = init(jax.random.key(0), vocab_size=1000, dim=50)
    >>> params["input"].shape, jnp.abs(params["input"]).max().round(2), params["output"].any()
    ((1000, 50), Array(0.01, dtype=float32), Array(False, dtype=bool))

    Args:
        vocab_size: rows of "input": words, or words and buckets of subwords.
        num_outputs: rows of "output"; `vocab_size` by default.
    Raises: ValueError if a size is not positive.
    """
    num_outputs = vocab_size if num_outputs is None else num_outputs
    if min(vocab_size, num_outputs, dim) < 1:
        raise ValueError(f"sizes must be positive: {vocab_size=}, {num_outputs=}, {dim=}")
    spread = 0.5 / dim
    return {
        "input": jax.random.uniform(key, (vocab_size, dim), minval=-spread, maxval=spread),
        "output": jnp.zeros((num_outputs, dim)),
    }


def context_vector(
    inputs: jax.Array,
    contexts: jax.Array,
    mask: jax.Array,
    *,
    combine: Literal["mean", "sum"] = "mean",
) -> jax.Array:
    """CBOW's h `[B, D]` from the context ids `[B, W]` where the mask `[B, W]` is True, else 0.

    >>> inputs, contexts = jnp.array([[1.0], [3.0], [9.0]]), jnp.array([[0, 1, 2]])
    >>> context_vector(inputs, contexts, jnp.array([[True, True, False]]))
    Array([[2.]], dtype=float32)

    Raises: ValueError if contexts and mask differ in shape.
    """
    if contexts.shape != mask.shape:
        raise ValueError(f"contexts {contexts.shape} and mask {mask.shape} need one shape")
    total = jnp.einsum("bw,bwd->bd", mask.astype(inputs.dtype), inputs[contexts])
    if combine == "sum":
        return total
    return total / jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)


def softmax_loss(output: jax.Array, h: jax.Array, targets: jax.Array) -> jax.Array:
    """`-log p(target | h)` over the whole vocabulary: h `[B, D]`, targets `[B]` -> `[B]`.

    >>> output = jnp.log(jnp.array([[0.1], [0.7], [0.2]]))
    >>> softmax_loss(output, jnp.ones((1, 1)), jnp.array([1]))  # -log 0.7
    Array([0.357], dtype=float32)
    """
    return losses.softmax_cross_entropy(h @ output.T, targets)


def negative_sampling_loss(
    output: jax.Array, h: jax.Array, targets: jax.Array, negatives: jax.Array
) -> jax.Array:
    """`-log s(u_t . h) - sum_k log s(-u_k . h)` over the negatives that are not the target.

    >>> output, h = jnp.zeros((5, 2)), jnp.ones((1, 2))
    >>> negative_sampling_loss(output, h, jnp.array([1]), jnp.array([0, 1, 3]))  # 3 log 2
    Array([2.079], dtype=float32)

    Args:
        h, targets, negatives: `[B, D]`, `[B]`, and `[B, K]` or, shared by all, `[K]`.
    Returns: `[B]`.
    """
    negatives = jnp.broadcast_to(negatives, (len(targets), negatives.shape[-1]))
    positive = jnp.einsum("bd,bd->b", h, output[targets])
    pushed = jnp.einsum("bd,bkd->bk", h, output[negatives])
    return _losses.negative_sampling_loss(positive, pushed, negatives != targets[:, None])


def hierarchical_loss(
    output: jax.Array, h: jax.Array, targets: jax.Array, tree: "HuffmanTree"
) -> jax.Array:
    """`-log p(target | h)` along its path in the tree: h `[B, D]`, targets `[B]` -> `[B]`.

    >>> tree = HuffmanTree.build([5, 2, 1])  # word 0 is one turn from the root, word 2 two
    >>> hierarchical_loss(jnp.zeros((2, 2)), jnp.ones((2, 2)), jnp.array([0, 2]), tree)
    Array([0.693, 1.386], dtype=float32)
    """
    scores = jnp.einsum("bd,bld->bl", h, output[tree.nodes[targets]])
    return hierarchical_softmax_loss(scores, tree.left[targets], tree.mask[targets])


def keep_probability(
    counts: ArrayLike, threshold: float = 1e-3, *, rule: Literal["paper", "c"] = "paper"
) -> np.ndarray:
    """Share of each word's occurrences that subsampling keeps, `[V]`, for f = count / total.

    The paper's `min(1, sqrt(t/f))` (0.316 at f = 10t), or `min(1, sqrt(t/f) + t/f)` of its C
    program and gensim (0.416). A threshold of 0 keeps all.

    >>> keep_probability([90, 9, 1], threshold=0.01)
    array([0.105, 0.333, 1.   ], dtype=float32)

    Raises: ValueError for a negative threshold, or counts that are negative or all zero.
    """
    counts = _counts(counts)
    if threshold < 0:
        raise ValueError(f"threshold must not be negative, got {threshold}")
    if threshold == 0:
        return np.ones(len(counts), np.float32)
    ratio = threshold * counts.sum() / np.maximum(counts, 1e-30)
    kept = np.sqrt(ratio) if rule == "paper" else np.sqrt(ratio) + ratio
    return np.minimum(1, kept).astype(np.float32)


@struct.dataclass
class AliasTable:
    """A distribution over 0..V-1 that is drawn from in constant time (Walker 1977).

    >>> noise = AliasTable.build([1, 4])
    >>> noise.draw(jax.random.key(0), (1000,)).mean().round(1)  # ones among zeros
    Array(0.8, dtype=float32)
    """

    own: jax.Array  # [V], the share of cell i that is i's own
    alias: jax.Array  # [V], whose the rest is

    @classmethod
    def build(cls, weights: ArrayLike) -> "AliasTable":
        """From weights `[V]`; word2vec's noise is `counts ** 0.75`."""
        share = _counts(weights)
        share = share * len(share) / share.sum()
        own, alias = np.ones(len(share)), np.arange(len(share))
        small, large = (list(np.flatnonzero(side)) for side in (share < 1, share >= 1))
        while small and large:
            poor, rich = small.pop(), large[-1]
            own[poor], alias[poor] = share[poor], rich
            share[rich] -= 1 - share[poor]
            if share[rich] < 1:
                small.append(large.pop())
        return cls(jnp.asarray(own, jnp.float32), jnp.asarray(alias, jnp.int32))

    def draw(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Independent ids of that shape."""
        cell, coin = jax.random.uniform(key, (2, *shape))
        i = jnp.minimum((cell * len(self.own)).astype(jnp.int32), len(self.own) - 1)
        return jnp.where(coin < self.own[i], i, self.alias[i])


@struct.dataclass
class HuffmanTree:
    """The path of every word, from the root down; a frequent word has a short one.

    >>> HuffmanTree.build([5, 2, 1]).mask.sum(axis=1)  # lengths of the paths
    Array([1, 2, 2], dtype=int32)
    """

    nodes: jax.Array  # [V, L], inner nodes 0..V-2 in the order they were made, so V-2 is the root
    left: jax.Array  # [V, L], True where the path goes left, with probability s(u_node . h)
    mask: jax.Array  # [V, L], False beyond the end of the path

    @classmethod
    def build(cls, counts: ArrayLike) -> "HuffmanTree":
        """The tree of least mean path length under counts `[V]`; ties go to the older node."""
        counts = _counts(counts)
        V = len(counts)
        if V < 2:
            raise ValueError("a tree needs a vocabulary of at least 2 words, got 1")
        heap = [(count, i) for i, count in enumerate(counts.tolist())]
        heapq.heapify(heap)
        parent, is_left = np.zeros(2 * V - 1, int), np.zeros(2 * V - 1, bool)
        for node in range(V, 2 * V - 1):
            (a, right), (b, left) = heapq.heappop(heap), heapq.heappop(heap)
            parent[[left, right]], is_left[left] = node, True
            heapq.heappush(heap, (a + b, node))
        paths = []
        for word in range(V):
            path = []
            while word != 2 * V - 2:
                path.append((parent[word] - V, is_left[word]))
                word = parent[word]
            paths.append(path[::-1])
        shape = (V, max(map(len, paths)))
        nodes, turns, mask = np.zeros(shape, np.int32), np.zeros(shape, bool), np.zeros(shape, bool)
        for i, path in enumerate(paths):
            nodes[i, : len(path)], turns[i, : len(path)] = zip(*path, strict=True)
            mask[i, : len(path)] = True
        return cls(jnp.asarray(nodes), jnp.asarray(turns), jnp.asarray(mask))


def _counts(counts: ArrayLike) -> np.ndarray:
    counts = np.array(counts, np.float64)
    if counts.ndim != 1 or not len(counts):
        raise ValueError(f"counts need shape [V], got {counts.shape}")
    if not (counts >= 0).all() or not 0 < counts.sum() < np.inf:
        raise ValueError("counts must be finite, not negative, and not all zero")
    return counts
