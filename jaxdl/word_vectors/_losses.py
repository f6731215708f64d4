"""Losses of word vectors, from inner products: one number per pair, path or cell."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks


def negative_sampling_loss(
    positive: ArrayLike, negatives: ArrayLike, mask: ArrayLike | None = None
) -> jax.Array:
    """Negative sampling, `-log s(u_o . v_c) - sum_k log s(-u_k . v_c)`.

    >>> negative_sampling_loss(jnp.array([0.0]), jnp.array([[0.0, 0.0]]))  # 3 log 2
    Array([2.079], dtype=float32)

    Args:
        positive: inner products `[...]` with the true context.
        negatives: inner products `[..., K]` with the sampled words.
        mask: boolean `[..., K]`, False where a sample hit the true context or is padding.
    Returns: `[...]`, the sum over the K, not their mean.
    Raises: ValueError if the shapes do not fit.
    Reference: Mikolov et al. 2013, arXiv:1310.4546, eq. 4.
    """
    positive, negatives = _checks.wide(positive), _checks.wide(negatives)
    if negatives.ndim == 0 or negatives.shape[:-1] != positive.shape:
        raise ValueError(f"negatives {negatives.shape} need one axis more than {positive.shape}")
    if mask is not None:
        mask = jnp.asarray(mask)
        _checks.same_shape(negatives=negatives, mask=mask)
        negatives = jnp.where(mask, negatives, -jnp.inf)  # before the loss: softplus(-inf) = 0
    pushed = jax.nn.softplus(negatives)
    return jax.nn.softplus(-positive) + jnp.sum(pushed, axis=-1)


def hierarchical_softmax_loss(scores: ArrayLike, turns: ArrayLike, mask: ArrayLike) -> jax.Array:
    """`-log p(word)` along its path in a binary tree, `-sum_l log s(+-u_l . v_c)`.

    >>> scores, turns = jnp.array([[0.0, 0.0, 9.0]]), jnp.array([[1, 0, 0]])
    >>> hierarchical_softmax_loss(scores, turns, jnp.array([[True, True, False]]))
    Array([1.386], dtype=float32)

    Args:
        scores: inner products `[..., L]` with the inner nodes of the path.
        turns: `[..., L]`, 1 where the path goes left (sigmoid of the score), 0 where right.
        mask: boolean `[..., L]`, False beyond the end of a shorter path.
    Returns: `[...]`.
    Raises: ValueError if the shapes differ.
    """
    scores, turns, mask = _checks.wide(scores), jnp.asarray(turns), jnp.asarray(mask)
    _checks.same_shape(scores=scores, turns=turns, mask=mask)
    signed = jnp.where(turns.astype(bool), scores, -scores)
    return jnp.sum(jax.nn.softplus(jnp.where(mask, -signed, -jnp.inf)), axis=-1)


def glove_loss(
    scores: ArrayLike, counts: ArrayLike, *, max_count: float = 100.0, power: float = 0.75
) -> jax.Array:
    """GloVe's weighted square, `h(x) (u . v + b + c - log x)^2`, `h(x) = min(1, (x / max)^power)`.

    >>> glove_loss(jnp.array([1.0]), jnp.array([100.0]))  # (1 - log 100)^2
    Array([12.997], dtype=float32)

    Args:
        scores: `u . v + b + c`, any shape.
        counts: how often the two words met, the same shape; a cell of 0 counts for nothing.
    Returns: that shape.
    Raises: ValueError if the shapes differ, or counts on the host are negative.
    """
    _checks.not_negative("counts", counts)
    scores, counts = _checks.wide(scores), _checks.wide(counts)
    _checks.same_shape(scores=scores, counts=counts)
    seen = counts > 0
    known = jnp.where(seen, counts, 1)
    weight = jnp.where(seen, jnp.minimum(1, (known / max_count) ** power), 0)
    return weight * jnp.square(jnp.where(seen, scores, 0) - jnp.log(known))
