"""Searching for a probable sequence: greedy, beam, and all of them.

Conventions (they differ between books and libraries):
- The score of a sequence is the sum of its log-probabilities, the end token's included, divided by
  a penalty of its length L, the end token included. `power_penalty` is `L^0.75` (Zhang et al.,
  Dive into deep learning, eq. 10.8.4), `gnmt_penalty` is `((5 + L) / 6)^0.6` (Wu et al. 2016).
- A sequence that is cut off after `num_steps` competes with those that ended, on the same scale;
  `ended` tells them apart. What follows an end token is filled with end tokens.
- At every step a beam holds the K best of both kinds, ended and live, by that score. Hence a beam
  as wide as the space of sequences finds what exhaustive search finds, and a beam of one is greedy.
- With `finished_only` ended sequences leave the beam and do not compete with those that go on: what
  counts is the K best that ended at any step, and those that were cut off are dropped.

Every function runs under `jit` and searches a whole batch in one loop of fixed length; an example's
result does not depend on the others. At least one logit of each row must be finite, and none +inf
or NaN; -inf forbids a token.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.decode._sample import Step

Penalty = Callable[[jax.Array], jax.Array]  # lengths, float -> what a score is divided by


class Decoded(NamedTuple):
    """Sequences, best first where there are several (`[B, K]` below; greedy search has `[B]`).

    Where fewer than K sequences exist the rest have score -inf and length 0.
    """

    tokens: jax.Array  # [B, K, N] int32
    scores: jax.Array  # [B, K] log-probability / penalty
    lengths: jax.Array  # [B, K] int32, with the end token
    ended: jax.Array  # [B, K] boolean, False if cut off


def power_penalty(alpha: float = 0.75) -> Penalty:
    """`L^alpha`: 0 leaves log-probabilities as they are, 1 gives their mean.

    >>> power_penalty(1.0)(4.0)
    4.0
    """
    return lambda length: length**alpha


def gnmt_penalty(alpha: float = 0.6) -> Penalty:
    """`((5 + L) / 6)^alpha` (Wu et al. 2016, arXiv:1609.08144, eq. 14).

    >>> round(gnmt_penalty()(7.0), 3)
    1.516
    """
    return lambda length: ((5 + length) / 6) ** alpha


def greedy(
    step: Step,
    carry: Any,
    start: jax.Array,
    num_steps: int,
    *,
    end_id: int,
    penalty: Penalty | None = None,
) -> Decoded:
    """Takes the most probable token each time, the first of ties.

    >>> logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.2, 0.1, 0.7]]))  # by the token before
    >>> found = greedy(lambda carry, token: (carry, logits[token]), (), jnp.array([0]), 4, end_id=2)
    >>> found.tokens, found.lengths
    (Array([[1, 2, 2, 2]], dtype=int32), Array([2], dtype=int32))

    Args:
        step: `(carry, token [B]) -> (carry, logits [B, V])`.
        carry: before the first token is read.
        start: ids `[B]`, the tokens to read first; they are not part of the result.
        num_steps: N, where sequences are cut off.
        end_id: the token that ends a sequence.
        penalty: of length, for the scores; `power_penalty()` by default.
    Returns: `Decoded` with tokens `[B, N]`.
    """
    _check(start, num_steps)
    penalty = power_penalty() if penalty is None else penalty
    B = start.shape[0]

    def body(state: Any, _: None) -> tuple[Any, jax.Array]:
        carry, token, total, length, ended = state
        carry, logits = step(carry, token)
        logits = logits.astype(jnp.float32)
        best = jnp.max(logits, axis=-1, keepdims=True)
        ids = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)
        token = jnp.min(jnp.where(logits == best, ids, logits.shape[-1]), axis=-1)  # argmax, faster
        gain = best[:, 0] - jax.nn.logsumexp(logits, axis=-1)
        token = jnp.where(ended, end_id, token)
        total, length = total + jnp.where(ended, 0, gain), length + ~ended
        return (carry, token, total, length, ended | (token == end_id)), token

    zeros = jnp.zeros(B, jnp.int32)
    first = (carry, start.astype(jnp.int32), jnp.zeros(B), zeros, zeros > 0)
    (_, _, total, length, ended), tokens = jax.lax.scan(body, first, None, length=num_steps)
    return Decoded(tokens.T, total / penalty(length.astype(jnp.float32)), length, ended)


def beam_search(
    step: Step,
    carry: Any,
    start: jax.Array,
    num_steps: int,
    *,
    beam_size: int,
    end_id: int,
    penalty: Penalty | None = None,
    finished_only: bool = False,
    carry_axis: Any = 0,
) -> Decoded:
    """Keeps the K best sequences at every step.

    >>> logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.4, 0.3, 0.3]]))  # by the token before
    >>> step = lambda carry, token: (carry, logits[token])
    >>> beam_search(step, (), jnp.array([0]), 2, beam_size=2, end_id=2).tokens
    Array([[[1, 0],
            [1, 1]]], dtype=int32)

    Args:
        step: `(carry, token [B*K]) -> (carry, logits [B*K, V])`; the K beams of an example are
            neighbors, row `b*K + k`. What the beams of an example share (an encoder's outputs)
            is best closed over by `step` and left out of the carry.
        carry: before the first token is read; each leaf has the axis B at `carry_axis`.
        start: ids `[B]`, the tokens to read first; they are not part of the result.
        num_steps: N, where sequences are cut off.
        beam_size: K.
        end_id: the token that ends a sequence.
        penalty: of length, see above; `power_penalty()` by default. It may give 0 to no length.
        finished_only: the result holds sequences that ended, and no other.
        carry_axis: 1 for the state of `nn.Recurrent`, which has layers first; or a tree of them, as
            of `jax.vmap`, whose leaves stand for parts of the carry (`model.carry_axis`).
    Returns: `Decoded` with tokens `[B, K, N]`, best first.
    """
    _check(start, num_steps)
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1, got {beam_size}")
    penalty = power_penalty() if penalty is None else penalty
    B, K, N = start.shape[0], beam_size, num_steps
    rows = jnp.arange(B)[:, None] * K  # of the first beam of each example

    def pick(x: jax.Array, parent: jax.Array) -> jax.Array:  # [B, K, ...] by [B, K]
        return jax.vmap(lambda x, p: x[p])(x, parent)

    def expand(carry: Any, token: jax.Array, total: jax.Array) -> tuple[Any, ...]:
        """The K best continuations `[B, K]` of all beams: sums, parents and tokens."""
        carry, logits = step(carry, token.reshape(B * K))
        logits = logits.reshape(B, K, -1).astype(jnp.float32)
        blocks = block_maxima(logits)
        top = jnp.max(blocks, axis=-1)
        log_z = top + jnp.log(jnp.sum(jnp.exp(logits - top[..., None]), axis=-1))
        live, index = top_k_of_rows(logits, blocks, total - log_z, K)
        return carry, live, index // logits.shape[-1], index % logits.shape[-1]

    def follow(carry: Any, parent: jax.Array) -> Any:
        flat = (rows + parent).reshape(B * K)
        return _each(lambda x, axis: jnp.take(x, flat, axis=axis), carry, carry_axis)

    def body(state: Any, n: jax.Array) -> tuple[Any, None]:
        carry, token, total, length, ended, tokens = state
        carry, live, live_parent, live_token = expand(
            carry, token, jnp.where(ended, -jnp.inf, total)
        )
        # The best K continuations of live beams and the K that ended before, on one scale.
        scale = penalty((n + 1).astype(jnp.float32))
        old = jnp.where(
            ended, total / penalty(jnp.maximum(length, 1).astype(jnp.float32)), -jnp.inf
        )
        scores, winner = jax.lax.top_k(jnp.concatenate([live / scale, old], axis=1), K)
        is_old = winner >= K
        from_live = jnp.minimum(winner, K - 1)
        parent, token = (
            jnp.take_along_axis(x, from_live, axis=1) for x in (live_parent, live_token)
        )
        parent = jnp.where(is_old, winner - K, parent)
        token = jnp.where(is_old, end_id, token).astype(jnp.int32)
        gained = jnp.take_along_axis(live, from_live, axis=1)
        total = jnp.where(is_old, jnp.take_along_axis(total, parent, axis=1), gained)
        exists = scores > -jnp.inf
        total = jnp.where(exists, total, -jnp.inf)
        length = jnp.where(is_old, jnp.take_along_axis(length, parent, axis=1), n + 1)
        ended = exists & (is_old | (token == end_id))
        tokens = pick(tokens, parent).at[:, :, n].set(jnp.where(exists, token, end_id))
        return (follow(carry, parent), token, total, length, ended, tokens), None

    def body_finished(state: Any, n: jax.Array) -> tuple[Any, None]:
        carry, token, total, tokens, (scores, length, done) = state
        carry, total, parent, token = expand(carry, token, total)
        exists = total > -jnp.inf
        token = jnp.where(exists, token, end_id).astype(jnp.int32)
        tokens = pick(tokens, parent).at[:, :, n].set(token)
        ends = exists & (token == end_id)
        new = jnp.where(ends, total / penalty((n + 1).astype(jnp.float32)), -jnp.inf)
        scores, winner = jax.lax.top_k(jnp.concatenate([scores, new], axis=1), K)
        length = pick(jnp.concatenate([length, jnp.full((B, K), n + 1)], axis=1), winner)
        done = pick(jnp.concatenate([done, tokens], axis=1), winner)
        total = jnp.where(ends, -jnp.inf, total)
        return (follow(carry, parent), token, total, tokens, (scores, length, done)), None

    carry = _each(lambda x, axis: jnp.repeat(x, K, axis=axis), carry, carry_axis)
    token = jnp.broadcast_to(start.astype(jnp.int32)[:, None], (B, K))
    # All beams begin alike, so at first only one of them counts.
    total = jnp.broadcast_to(jnp.where(jnp.arange(K) == 0, 0.0, -jnp.inf), (B, K))
    length = jnp.zeros((B, K), jnp.int32)
    tokens = jnp.full((B, K, N), end_id, jnp.int32)
    if finished_only:
        pool = jnp.full((B, K), -jnp.inf), length, tokens
        state, _ = jax.lax.scan(body_finished, (carry, token, total, tokens, pool), jnp.arange(N))
        scores, length, tokens = state[-1]
        found = scores > -jnp.inf
        tokens = jnp.where(found[..., None], tokens, end_id)
        return Decoded(tokens, scores, jnp.where(found, length, 0), found)
    first = (carry, token, total, length, length > 0, tokens)
    (_, _, total, length, ended, tokens), _ = jax.lax.scan(body, first, jnp.arange(N))
    exists = total > -jnp.inf
    scores = jnp.where(exists, total / penalty(length.astype(jnp.float32)), -jnp.inf)
    tokens = jnp.where(exists[..., None], tokens, end_id)
    return Decoded(tokens, scores, jnp.where(exists, length, 0), ended)


def exhaustive(
    step: Step,
    carry: Any,
    start: jax.Array,
    num_steps: int,
    *,
    vocab_size: int,
    num_best: int,
    end_id: int,
    penalty: Penalty | None = None,
    carry_axis: Any = 0,
) -> Decoded:
    """Scores all sequences there are and returns the best: what a beam is tested with.

    >>> logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.4, 0.3, 0.3]]))  # by the token before
    >>> step = lambda carry, token: (carry, logits[token])
    >>> exhaustive(step, (), jnp.array([0]), 2, vocab_size=3, num_best=1, end_id=2).tokens
    Array([[[1, 0]]], dtype=int32)

    Args: as of `beam_search`; `step` gets `B * V**N` rows, and `num_best` is K.
    Raises: ValueError for more than 65,536 sequences.
    """
    _check(start, num_steps)
    B, N, V = start.shape[0], num_steps, vocab_size
    if V**N > 65536:
        raise ValueError(f"vocab_size**num_steps = {V}**{N} are too many sequences to try")
    penalty = power_penalty() if penalty is None else penalty
    every = np.indices((V,) * N).reshape(N, -1).T.astype(np.int32)  # [V**N, N]
    after_end = np.cumsum(every == end_id, axis=1) - (every == end_id) > 0
    every = np.unique(
        np.where(after_end, end_id, every), axis=0
    )  # what follows an end is no choice
    after_end = np.cumsum(every == end_id, axis=1) - (every == end_id) > 0
    M = len(every)

    def body(state: Any, tokens: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        carry, token, total = state
        following, over = tokens
        carry, logits = step(carry, token)
        log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
        gain = jnp.take_along_axis(log_p, following[:, None], axis=1)[:, 0]
        return (carry, following, total + jnp.where(over, 0, gain)), None

    carry = _each(lambda x, axis: jnp.repeat(x, M, axis=axis), carry, carry_axis)
    first = (carry, jnp.repeat(start.astype(jnp.int32), M), jnp.zeros(B * M))
    tiled = (jnp.tile(jnp.asarray(every.T), (1, B)), jnp.tile(jnp.asarray(after_end.T), (1, B)))
    (_, _, total), _ = jax.lax.scan(body, first, tiled)
    length = jnp.asarray(N - after_end.sum(axis=1), jnp.int32)
    scale = jnp.broadcast_to(penalty(length.astype(jnp.float32)), (B, M))
    scores, best = jax.lax.top_k(total.reshape(B, M) / scale, num_best)
    ended = jnp.asarray((every == end_id).any(axis=1))
    return Decoded(jnp.asarray(every)[best], scores, length[best], ended[best])


def _each(function: Callable[[jax.Array, int], jax.Array], carry: Any, axes: Any) -> Any:
    """A function of every leaf of a carry and the axis that its part has."""
    return jax.tree.map(
        lambda axis, part: jax.tree.map(lambda x: function(x, axis), part), axes, carry
    )


# The greatest of many: XLA's `top_k` sorts on CPUs, so it is asked for few candidates only.


def block_maxima(x: jax.Array) -> jax.Array:
    """Maxima of blocks of the last axis `[..., V] -> [..., blocks]`; the last block is the rest."""
    size = _block_size(x.shape[-1])
    whole = x.shape[-1] // size * size
    maxima = jnp.max(x[..., :whole].reshape(*x.shape[:-1], -1, size), axis=-1)
    if whole == x.shape[-1]:
        return maxima
    rest = jnp.max(x[..., whole:], axis=-1, keepdims=True)
    return jnp.concatenate([maxima, rest], axis=-1)


def top_k_of_rows(
    x: jax.Array, blocks: jax.Array, offset: jax.Array, k: int
) -> tuple[jax.Array, jax.Array]:
    """`top_k` over the last two axes of `x + offset`: of block maxima, then of the winning blocks.

    Args:
        x: `[B, K, V]`.
        blocks: `block_maxima(x)`.
        offset: `[B, K]`, added to each row.
        k: how many; places beyond K * V get -inf and index 0.
    Returns: values and flat indices `[B, k]`, descending, the lower index first of ties.
    """
    B, K, V = x.shape
    size, M = _block_size(V), blocks.shape[-1]
    maxima = (blocks + offset[..., None]).reshape(B, K * M)
    wanted = min(k, K * M)
    _, best = jax.lax.top_k(maxima, wanted)
    best = jnp.sort(best, axis=-1)  # so that ties come in the order of their indices
    row, block = best // M, best % M
    begin = jnp.minimum(block * size, V - size)  # the last block begins earlier, to be as wide

    def cut(x: jax.Array, row: jax.Array, begin: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(x, (row, begin), (1, size))[0]

    candidates = jax.vmap(jax.vmap(cut, (None, 0, 0)))(x, row, begin)
    candidates = candidates + jnp.take_along_axis(offset, row, axis=1)[..., None]
    index = begin[..., None] + jnp.broadcast_to(jnp.arange(size), candidates.shape)
    own = index >= (block * size)[..., None]  # and what lies before belongs to its neighbor
    candidates = jnp.where(own, candidates, -jnp.inf).reshape(B, wanted * size)
    values, place = jax.lax.top_k(candidates, min(k, wanted * size))
    index = jnp.take_along_axis((index + row[..., None] * V).reshape(B, -1), place, axis=1)
    missing = k - values.shape[1]
    values = jnp.pad(values, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    return values, jnp.pad(index, ((0, 0), (0, missing)))


def _block_size(vocab_size: int) -> int:
    """Near the square root, and a divisor of V if there is one close by."""
    root = max(1, round(vocab_size**0.5))
    near = [size for size in range(max(1, root // 2), 2 * root + 1) if vocab_size % size == 0]
    return min(near, key=lambda size: abs(size - root)) if near else root


def _check(start: jax.Array, num_steps: int) -> None:
    if start.ndim != 1 or not jnp.issubdtype(start.dtype, jnp.integer):
        raise ValueError(f"start needs shape [B] and integers, got {start.shape} {start.dtype}")
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
