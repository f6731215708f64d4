"""The fast trainer of word2vec and fastText: corpus on the device, work as matrix products.

A chunk of the corpus is cut into groups of G centre tokens. What a group predicts, or is predicted
from, stands next to it in the text, so all its inner products are one product `[G, D] x [D, Y]`
under a band mask; its negatives are drawn once for the group, a pool of K that each weigh
`negatives / K`, the same in expectation. The gradient of every objective in its scores is
`probability - label`, two more products, and rows are added to the tables once a chunk. Plain SGD,
as in word2vec. Pairs with negatives of their own would leave no matrix product.

Ji et al., Parallelizing word2vec in shared and distributed memory, 2016, arXiv:1604.04661.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxdl import metrics
from jaxdl.models import word2vec

Epoch = Callable[..., tuple[word2vec.Params, metrics.Mean]]


class _Pull(NamedTuple):
    """The loss of a group `[]` and its gradients; `ids` None means every row of the table."""

    loss: jax.Array
    d_h: jax.Array  # [G, D]
    ids: jax.Array | None  # [R]
    d_rows: jax.Array  # [R, D]


def make_word2vec(
    counts: ArrayLike,
    *,
    method: Literal["skip_gram", "cbow"] = "skip_gram",
    output: Literal["negative", "hierarchical", "softmax"] = "negative",
    window: int = 5,
    shrink: bool = True,
    negatives: int = 5,
    pool: int = 6,
    power: float = 0.75,
    subsample: float = 1e-3,
    keep_rule: Literal["paper", "c"] = "paper",
    combine: Literal["mean", "sum"] = "mean",
    subwords: tuple[ArrayLike, ArrayLike] | None = None,
    group: int | None = None,
    chunk: int | None = None,
    sharding: jax.sharding.Sharding | None = None,
) -> Epoch:
    """Builds `epoch(params, tokens, sentences, key, start, end) -> (params, loss)`, compiled.

    Tokens and sentences `[N]` are those of a `data.Corpus`, or of a block of one; the learning
    rate goes from `start` to `end` in a line; params are donated. Subsampling, window sizes and
    negatives are drawn inside, from the key. The loss is a mean over predicted words, each with
    all its negatives, of every 16th chunk.

    Args:
        counts: of the words, `[V]`.
        method, output: what predicts what, and how; "hierarchical" has V - 1 rows of "output".
        window: largest distance of a context; with `shrink` each centre draws its own in 1..window.
        negatives: how many negatives each prediction counts.
        pool: K, how many are drawn for a group.
        power: of the counts in the distribution of the negatives.
        subsample, keep_rule: of `models.word2vec.keep_probability`; 0 keeps all.
        combine: CBOW's mean or sum.
        subwords: ids and weights `[V, S]` of the input rows that make up a word (fastText).
        group: G, centres that share a product and a pool.
        chunk: centres between two updates. Updates of a chunk add up, and too many of one row
            overshoot: by default the most frequent word is met about 16 times.
        sharding: of groups over devices; the vectors are the same to rounding.
    Raises: ValueError if an option is out of range or fewer than two words occur.
    """
    counts = np.asarray(counts, np.float64)
    options = {"window": window, "negatives": negatives, "pool": pool, "group": group}
    for name, value in {**options, "chunk": chunk}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be positive, got {value}")
    if np.count_nonzero(counts) < 2:
        raise ValueError(f"word vectors need 2 words that occur, got {np.count_nonzero(counts)}")
    keep = word2vec.keep_probability(counts, subsample, rule=keep_rule)
    # Wide groups multiply every path of a tree with every centre, mostly in vain.
    group = group or {"negative": 16, "hierarchical": 8, "softmax": 128}[output]
    if chunk is None:
        most = np.max(counts * keep) / np.sum(counts * keep)
        chunk = min(1024, int(16 / most)) if output == "negative" else 128
    num_groups = max(1, chunk // group)
    C, G, w = num_groups * group, group, window

    noise = word2vec.AliasTable.build(counts**power)
    pull_of_group: Callable[..., _Pull]
    if output == "negative":
        pull_of_group = functools.partial(_negative, share=negatives / pool)
    elif output == "hierarchical":
        pull_of_group = functools.partial(_hierarchical, tree=word2vec.HuffmanTree.build(counts))
    else:
        pull_of_group = _softmax
    if subwords is None:
        subwords = np.arange(len(counts))[:, None], np.ones((len(counts), 1))
    parts, shares = jnp.asarray(subwords[0]), jnp.asarray(subwords[1], jnp.float32)
    kept_share = jnp.asarray(keep)

    # Places in a slice of C + 2w tokens: the centres of every group, and all their neighbours.
    start_of_group = np.arange(num_groups)[:, None] * G
    centres, nearby = start_of_group + np.arange(G) + w, start_of_group + np.arange(G + 2 * w)
    distance = np.abs(np.arange(G)[:, None] + w - np.arange(G + 2 * w))[None]  # [1, G, X]

    def group_step(params: Any, words: jax.Array, inputs: jax.Array, band: jax.Array, key: Any):
        """One group: its words `[X]`, those that are inputs, and the band `[G, X]` of its pairs."""
        rows, share = parts[inputs], shares[inputs]  # [., S]
        vectors = jnp.einsum("xs,xsd->xd", share, params["input"][rows])
        if method == "skip_gram":
            h, targets, weight = vectors, words, band
        else:
            length = jnp.sum(band, axis=1, keepdims=True)
            mix = band / jnp.maximum(length, 1) if combine == "mean" else band
            h, targets, weight = mix @ vectors, words[w : w + G], jnp.eye(G) * (length > 0)
        sampled = noise.draw(key, (pool,)) if output == "negative" else None
        pull = pull_of_group(h, targets, weight, params["output"], sampled)
        d_vectors = pull.d_h if method == "skip_gram" else mix.T @ pull.d_h
        return pull, jnp.sum(weight), rows, share[:, :, None] * d_vectors[:, None]

    def add(table: jax.Array, ids: jax.Array, d_rows: jax.Array, rate: Any) -> jax.Array:
        return table.at[ids.ravel()].add(-rate * d_rows.reshape(-1, table.shape[1]))

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(params: Any, tokens: Any, sentences: Any, key: Any, start: Any, end: Any) -> Any:
        keep_key, window_key, noise_key = jax.random.split(key, 3)

        # Subsampling takes words out before windows are laid, so those that are left move up.
        kept = (jax.random.uniform(keep_key, tokens.shape) < kept_share[tokens]) & (sentences >= 0)
        size = tokens.size + C + 2 * w
        place = jnp.where(kept, jnp.cumsum(kept) - 1 + w, size)
        tokens = jnp.zeros(size, jnp.int32).at[place].set(tokens, mode="drop")
        sentences = jnp.full(size, -1, jnp.int32).at[place].set(sentences, mode="drop")
        reach = jax.random.randint(window_key, (size,), 1, w + 1) if shrink else jnp.full(size, w)
        num_chunks = -(-jnp.sum(kept) // C)

        def groups(c: jax.Array, params: Any) -> Any:
            def piece(x: jax.Array) -> jax.Array:
                return jax.lax.dynamic_slice_in_dim(x, c * C, C + 2 * w)

            words, sentence, far = piece(tokens)[nearby], piece(sentences), piece(reach)
            if sharding is not None:
                words = jax.lax.with_sharding_constraint(words, sharding)
            here = sentence[centres][:, :, None]
            band = (distance > 0) & (distance <= far[centres][:, :, None])
            band &= (here >= 0) & (here == sentence[nearby][:, None])
            inputs = words[:, w : w + G] if method == "skip_gram" else words
            keys = jax.random.split(jax.random.fold_in(noise_key, c), num_groups)
            step = functools.partial(group_step, params)
            return jax.vmap(step)(words, inputs, band.astype(jnp.float32), keys)

        def body(c: jax.Array, params: Any) -> Any:
            pull, _, rows, d_rows = groups(c, params)
            rate = start + (end - start) * c / num_chunks
            new = {"input": add(params["input"], rows, d_rows, rate)}
            if pull.ids is None:
                new["output"] = params["output"] - rate * jnp.sum(pull.d_rows, axis=0)
            else:
                new["output"] = add(params["output"], pull.ids, pull.d_rows, rate)
            return new

        def sixteen(c: jax.Array, carry: Any) -> Any:
            """The loss, whose logarithms cost as much as the products, is that of the first."""
            params, total, weights = carry
            pull, weight, _, _ = groups(16 * c, params)
            total, weights = total + jnp.sum(pull.loss), weights + jnp.sum(weight)
            stop = jnp.minimum(16 * (c + 1), num_chunks)
            return jax.lax.fori_loop(16 * c, stop, body, params), total, weights

        zero = jnp.zeros(())
        carry = params, zero, zero
        params, loss, weight = jax.lax.fori_loop(0, -(-num_chunks // 16), sixteen, carry)
        return params, metrics.Mean(total=loss, weight=weight)

    return epoch


# Groups: h `[G, D]` predicts the targets `[Y]`, each pair under its weight `[G, Y]`.


def _negative(h: Any, targets: Any, weight: Any, table: Any, sampled: Any, *, share: float) -> Any:
    ids = jnp.concatenate([targets, sampled])
    u = table[ids]  # [Y+K, D]
    differ = (targets[:, None] != sampled[None]).astype(h.dtype)  # its own target is no negative
    push = weight @ differ * share
    weights, scores = jnp.concatenate([weight, push], axis=1), h @ u.T
    label = (jnp.arange(len(ids)) < len(targets))[None]
    d_scores = weights * (jax.nn.sigmoid(scores) - label)
    loss = jnp.sum(weights * jax.nn.softplus(jnp.where(label, -scores, scores)))
    return _Pull(loss, d_scores @ u, ids, d_scores.T @ h)


def _hierarchical(
    h: Any, targets: Any, weight: Any, table: Any, sampled: Any, *, tree: word2vec.HuffmanTree
) -> _Pull:
    nodes = tree.nodes[targets]  # [Y, L]
    left, mask = tree.left[targets][None], tree.mask[targets][None]
    u = table[nodes]
    scores = jnp.einsum("gd,yld->gyl", h, u)
    d_scores = weight[:, :, None] * jnp.where(mask, jax.nn.sigmoid(scores) - left, 0)
    turned = jax.nn.softplus(jnp.where(left, -scores, scores))
    loss = jnp.sum(weight[:, :, None] * jnp.where(mask, turned, 0))
    d_u = jnp.einsum("gyl,gd->yld", d_scores, h)
    d_h = jnp.einsum("gyl,yld->gd", d_scores, u)
    return _Pull(loss, d_h, nodes.ravel(), d_u.reshape(-1, h.shape[1]))


def _softmax(h: Any, targets: Any, weight: Any, table: Any, sampled: Any) -> _Pull:
    scores = h @ table.T  # [G, V]
    times = jnp.sum(weight, axis=1, keepdims=True)
    log_p = jax.nn.log_softmax(scores)
    d_scores = (times * jnp.exp(log_p)).at[:, targets].add(-weight)
    loss = -jnp.sum(weight * log_p[:, targets])
    return _Pull(loss, d_scores @ table, None, d_scores.T @ h)
