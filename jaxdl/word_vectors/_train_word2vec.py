"""The fast trainer of word2vec and fastText: corpus on the device, work as matrix products.

A chunk of the corpus is cut into groups of G center tokens. What a group predicts, or is predicted
from, stands next to it in the text, so all its inner products are one product `[G, D] x [D, Y]`
under a band mask; its negatives are drawn once for the group, a pool of K that each weigh
`negatives / K`, the same in expectation. The gradient of every objective in its scores is
`probability - label`, two more products, and rows are added to the tables once a chunk. Plain SGD,
as in word2vec. Pairs with negatives of their own would leave no matrix product.

Ji et al., Parallelizing word2vec in shared and distributed memory, 2016, arXiv:1604.04661.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxdl import metrics, word_vectors

Epoch = Callable[..., tuple[word_vectors.word2vec.Params, metrics.Mean]]


_FARTHEST = 2.0  # steps: a descent on a bowl of curvature 1 goes apart beyond


class _Pull(NamedTuple):
    """The loss of a group `[]` and its gradients; `ids` None means every row of the table.

    Beside each gradient stands a bound of the curvature along it: pairs count it once each, by the
    squared length of the vector on the other side and the greatest slope of the probability.
    """

    loss: jax.Array
    d_h: jax.Array  # [G, D]
    bend_h: jax.Array  # [G]
    ids: jax.Array | None  # [R]
    d_rows: jax.Array  # [R, D]
    bend_rows: jax.Array  # [R]


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
    avoid: Literal["target", "contexts"] = "target",
    subsample: float = 1e-3,
    keep_rule: Literal["paper", "c"] = "paper",
    combine: Literal["mean", "sum"] = "mean",
    subwords: tuple[ArrayLike, ArrayLike] | None = None,
    group: int | None = None,
    chunk: int | None = None,
    sharding: jax.sharding.Sharding | None = None,
) -> Epoch:
    """Builds `epoch(params, tokens, sentences, key, start, end) -> (params, loss)`, compiled.

    Tokens and sentences `[N]` are those of a `word_vectors.Corpus`, or of a block of one; the
    learning rate goes from `start` to `end` in a line; params are donated. Subsampling, window
    sizes and negatives are drawn inside, from the key. The loss is a mean over predicted words,
    each with all its negatives, of every 16th chunk.

    >>> epoch = make_word2vec([3, 2, 1], window=1, subsample=0, output="softmax")
    >>> params = {"input": jnp.zeros((3, 2)), "output": jnp.zeros((3, 2))}
    >>> tokens, sentences = jnp.array([0, 1, 0, 1, 0, 2]), jnp.zeros(6, int)
    >>> _, loss = epoch(params, tokens, sentences, jax.random.key(0), 0.1, 0.0)
    >>> loss.compute()  # log 3: vectors of 0 find 3 words alike
    Array(1.099, dtype=float32)

    Args:
        counts: of the words, `[V]`.
        method, output: what predicts what, and how; "hierarchical" has V - 1 rows of "output".
        window: largest distance of a context; with `shrink` each center draws its own in 1..window.
        negatives: how many negatives each prediction counts.
        pool: K, how many are drawn for a group.
        power: of the counts in the distribution of the negatives.
        avoid: what a negative does not count as: the target itself, or any context of the center
            (the definition; programs that draw for each pair do not look at the others).
        subsample, keep_rule: of `word_vectors.word2vec.keep_probability`; 0 keeps all.
        combine: CBOW's mean or sum.
        subwords: ids and weights `[V, S]` of the input rows that make up a word (fastText).
        group: G, centers that share a product and a pool.
        chunk: centers between two updates; by default the most frequent word is met about 16
            times. Updates of a chunk add up, and so many of one row would overshoot: it then moves
            by less than the learning rate says, as far as its curvature allows.
        sharding: of groups over devices; the vectors are the same to rounding.
    Raises: ValueError if an option is out of range or fewer than two words occur.
    """
    counts = np.asarray(counts, np.float64)
    options = {"window": window, "negatives": negatives, "pool": pool, "group": group}
    for name, value in {**options, "chunk": chunk}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be positive, got {value}")
    if avoid not in ("target", "contexts"):
        raise ValueError(f"avoid must be 'target' or 'contexts', got {avoid!r}")
    if np.count_nonzero(counts) < 2:
        raise ValueError(f"word vectors need 2 words that occur, got {np.count_nonzero(counts)}")
    keep = word_vectors.word2vec.keep_probability(counts, subsample, rule=keep_rule)
    # Wide groups multiply every path of a tree with every center, mostly in vain.
    group = group or {"negative": 16, "hierarchical": 8, "softmax": 128}[output]
    if chunk is None:
        most = np.max(counts * keep) / np.sum(counts * keep)
        chunk = min(1024, int(16 / most)) if output == "negative" else 128
    pull: Callable[..., _Pull] = _softmax
    if output == "negative":
        pull = functools.partial(
            _negative, share=negatives / pool, all_contexts=avoid == "contexts"
        )
    elif output == "hierarchical":
        pull = functools.partial(
            _hierarchical, tree=word_vectors.word2vec.HuffmanTree.build(counts)
        )
    if subwords is None:
        subwords = np.arange(len(counts))[:, None], np.ones((len(counts), 1))
    plan = _Plan(
        window=window,
        group=group,
        num_groups=max(1, chunk // group),
        skip_gram=method == "skip_gram",
        average=combine == "mean",
        shrink=shrink,
        keep=jnp.asarray(keep),
        parts=jnp.asarray(subwords[0]),
        shares=jnp.asarray(subwords[1], jnp.float32),
        noise=word_vectors.word2vec.AliasTable.build(counts**power)
        if output == "negative"
        else None,
        pool=pool,
        pull=pull,
        sharding=sharding,
    )
    return functools.partial(jax.jit, donate_argnums=0)(functools.partial(_epoch, plan))


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """What does not change from epoch to epoch."""

    window: int  # w
    group: int  # G
    num_groups: int  # of a chunk
    skip_gram: bool  # else CBOW
    average: bool  # CBOW's mean, else its sum
    shrink: bool
    keep: jax.Array  # [V], share of each word that subsampling keeps
    parts: jax.Array  # [V, S], input rows that make up a word
    shares: jax.Array  # [V, S]
    noise: word_vectors.word2vec.AliasTable | None
    pool: int
    pull: Callable[..., _Pull]
    sharding: jax.sharding.Sharding | None

    @property
    def chunk(self) -> int:
        return self.num_groups * self.group


class _Text(NamedTuple):
    """The words that are left, moved up, with a margin of w at the start."""

    tokens: jax.Array  # [N + C + 2w]
    sentences: jax.Array  # -1 where there is no word
    reach: jax.Array  # how far each one looks
    num_chunks: jax.Array


def _epoch(
    plan: _Plan, params: Any, tokens: Any, sentences: Any, key: Any, start: Any, end: Any
) -> tuple[word_vectors.word2vec.Params, metrics.Mean]:
    text_key, noise_key = jax.random.split(key)
    text = _subsampled(plan, tokens, sentences, text_key)

    def body(c: jax.Array, params: Any) -> Any:
        pull, _, rows, d_rows, bend = _chunk(plan, text, noise_key, c, params)
        rate = start + (end - start) * c / text.num_chunks
        new = {"input": _add(params["input"], rows, d_rows, bend, rate)}
        if pull.ids is None:
            d_table, bend_table = jnp.sum(pull.d_rows, axis=0), jnp.sum(pull.bend_rows, axis=0)
            new["output"] = params["output"] - _safe(rate, bend_table)[:, None] * d_table
        else:
            new["output"] = _add(params["output"], pull.ids, pull.d_rows, pull.bend_rows, rate)
        return new

    def sixteen(c: jax.Array, carry: Any) -> Any:
        """The loss, whose logarithms cost as much as the products, is that of the first."""
        params, total, weights = carry
        pull, weight, *_ = _chunk(plan, text, noise_key, 16 * c, params)
        total, weights = total + jnp.sum(pull.loss), weights + jnp.sum(weight)
        stop = jnp.minimum(16 * (c + 1), text.num_chunks)
        return jax.lax.fori_loop(16 * c, stop, body, params), total, weights

    zero = jnp.zeros(())
    carry = params, zero, zero
    params, loss, weight = jax.lax.fori_loop(0, -(-text.num_chunks // 16), sixteen, carry)
    return params, metrics.Mean(total=loss, weight=weight)


def _subsampled(plan: _Plan, tokens: jax.Array, sentences: jax.Array, key: jax.Array) -> _Text:
    """Takes frequent words out before windows are cut, so that those left come closer."""
    keep_key, window_key = jax.random.split(key)
    kept = (jax.random.uniform(keep_key, tokens.shape) < plan.keep[tokens]) & (sentences >= 0)
    w, size = plan.window, tokens.size + plan.chunk + 2 * plan.window
    place = jnp.where(kept, jnp.cumsum(kept) - 1 + w, size)
    reach = jnp.full(size, w)
    if plan.shrink:
        reach = jax.random.randint(window_key, (size,), 1, w + 1)
    return _Text(
        jnp.zeros(size, jnp.int32).at[place].set(tokens, mode="drop"),
        jnp.full(size, -1, jnp.int32).at[place].set(sentences, mode="drop"),
        reach,
        -(-jnp.sum(kept) // plan.chunk),
    )


def _chunk(plan: _Plan, text: _Text, key: jax.Array, c: jax.Array, params: Any) -> Any:
    """The groups of chunk c, all at once."""
    G, C, w = plan.group, plan.chunk, plan.window
    # places in a slice of C + 2w tokens: the centers of every group, and all their neighbors
    first = np.arange(plan.num_groups)[:, None] * G
    centers, nearby = first + np.arange(G) + w, first + np.arange(G + 2 * w)
    distance = np.abs(np.arange(G)[:, None] + w - np.arange(G + 2 * w))[None]  # [1, G, X]

    def piece(x: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(x, c * C, C + 2 * w)

    words, sentence, far = piece(text.tokens)[nearby], piece(text.sentences), piece(text.reach)
    if plan.sharding is not None:
        words = jax.lax.with_sharding_constraint(words, plan.sharding)
    here = sentence[centers][:, :, None]
    band = (distance > 0) & (distance <= far[centers][:, :, None])
    band &= (here >= 0) & (here == sentence[nearby][:, None])
    keys = jax.random.split(jax.random.fold_in(key, c), plan.num_groups)
    step = functools.partial(_group, plan, params)
    return jax.vmap(step)(words, band.astype(jnp.float32), keys)


def _group(plan: _Plan, params: Any, words: jax.Array, band: jax.Array, key: jax.Array) -> Any:
    """One group: its words `[X]` and the band `[G, X]` of its pairs."""
    centers = words[plan.window : plan.window + plan.group]
    inputs = centers if plan.skip_gram else words
    rows, share = plan.parts[inputs], plan.shares[inputs]  # [., S]
    vectors = jnp.einsum("xs,xsd->xd", share, params["input"][rows])
    if plan.skip_gram:
        h, targets, weight = vectors, words, band
    else:
        length = jnp.sum(band, axis=1, keepdims=True)
        mix = band / jnp.maximum(length, 1) if plan.average else band
        h, targets, weight = mix @ vectors, centers, jnp.eye(plan.group) * (length > 0)
    sampled = None if plan.noise is None else plan.noise.draw(key, (plan.pool,))
    pull = plan.pull(h, targets, weight, params["output"], sampled)
    d_vectors, bend = pull.d_h, pull.bend_h
    if not plan.skip_gram:  # all vectors of a window move at once
        d_vectors, bend = mix.T @ d_vectors, mix.T @ (jnp.sum(mix, axis=1) * bend)
    bend = share * (jnp.sum(share, axis=1) * bend)[:, None]
    return pull, jnp.sum(weight), rows, share[:, :, None] * d_vectors[:, None], bend


def _add(table: Any, ids: jax.Array, d_rows: jax.Array, bend: jax.Array, rate: Any) -> jax.Array:
    """Takes a step from the rows that a chunk met, shorter where it met one too often."""
    ids = ids.ravel()
    met = jnp.zeros(len(table)).at[ids].add(bend.ravel())[ids]
    return table.at[ids].add(-_safe(rate, met)[:, None] * d_rows.reshape(-1, table.shape[1]))


def _safe(rate: Any, bend: jax.Array) -> jax.Array:
    """The rate, or less where so much curvature would carry a row past its optimum.

    One by one, pairs of a word would pull less and less as its vector moves; those of a chunk all
    see it where it was.
    """
    return jnp.minimum(rate, _FARTHEST / jnp.maximum(bend, 1e-30))


# Groups: h `[G, D]` predicts the targets `[Y]`, each pair under its weight `[G, Y]`.


def _negative(
    h: Any,
    targets: Any,
    weight: Any,
    table: Any,
    sampled: Any,
    *,
    share: float,
    all_contexts: bool,
) -> _Pull:
    ids = jnp.concatenate([targets, sampled])
    u = table[ids]  # [Y+K, D]
    same = (targets[:, None] == sampled[None]).astype(h.dtype)
    hits = weight @ same  # [G, K], times that a sample is the target
    times = jnp.sum(weight, axis=1, keepdims=True)
    push = (jnp.where(hits > 0, 0, times) if all_contexts else times - hits) * share
    weights, scores = jnp.concatenate([weight, push], axis=1), h @ u.T
    label = (jnp.arange(len(ids)) < len(targets))[None]
    d_scores = weights * (jax.nn.sigmoid(scores) - label)
    loss = jnp.sum(weights * jax.nn.softplus(jnp.where(label, -scores, scores)))
    bend_h, bend_u = weights @ _square(u) / 4, _square(h) @ weights / 4
    return _Pull(loss, d_scores @ u, bend_h, ids, d_scores.T @ h, bend_u)


def _hierarchical(
    h: Any,
    targets: Any,
    weight: Any,
    table: Any,
    sampled: Any,
    *,
    tree: word_vectors.word2vec.HuffmanTree,
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
    bend_h = weight @ jnp.sum(mask[0] * _square(u), axis=1) / 4
    bend_u = (_square(h) @ weight)[:, None] * mask[0] / 4
    return _Pull(loss, d_h, bend_h, nodes.ravel(), d_u.reshape(-1, h.shape[1]), bend_u.ravel())


def _softmax(h: Any, targets: Any, weight: Any, table: Any, sampled: Any) -> _Pull:
    scores = h @ table.T  # [G, V]
    times = jnp.sum(weight, axis=1, keepdims=True)
    log_p = jax.nn.log_softmax(scores)
    p = times * jnp.exp(log_p)
    d_scores = p.at[:, targets].add(-weight)
    loss = -jnp.sum(weight * log_p[:, targets])
    bend_h, bend_u = p @ _square(table), _square(h) @ p
    return _Pull(loss, d_scores @ table, bend_h, None, d_scores.T @ h, bend_u)


def _square(vectors: jax.Array) -> jax.Array:
    """Squared length of each."""
    return jnp.sum(vectors**2, axis=-1)
