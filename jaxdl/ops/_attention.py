"""Attention: scores of queries against keys, and the values they weight.

T queries attend to S keys, which carry S values; leading axes `[...]` (examples, heads) are shared.
A boolean mask is True where a query may look, as in torch's `scaled_dot_product_attention` (the
`attn_mask` of torch's `MultiheadAttention` is the other way round). It has as many axes as the
scores, each equal or 1: padding is `mask[:, None, :]`, heads add one more axis. A query that may
look nowhere gets zeros, with zero gradients. What no query may look at may hold NaN.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdl.ops._activations import check_mask, masked_softmax, softmax

_DOT = functools.partial(jnp.einsum, "...td,...sd->...ts")
_MEAN = functools.partial(jnp.einsum, "...ts,...sd->...td")


def dot_scores(queries: jax.Array, keys: jax.Array, *, scale: float = 1.0) -> jax.Array:
    """Dot products `scale * q . k` (Luong et al. 2015, arXiv:1508.04025).

    >>> dot_scores(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [0.0, 1.0]]))
    Array([[11., 2.]], dtype=float32)

    Args:
        queries: `[..., T, D]`.
        keys: `[..., S, D]`.
        scale: `D**-0.5` keeps the variance that the queries and keys had.
    Returns: `[..., T, S]`.
    Raises: ValueError if the shapes differ in more than T and S.
    """
    _check(queries, keys)
    return _summed(_DOT, queries * scale, keys)


def additive_scores(queries: jax.Array, keys: jax.Array, v: jax.Array) -> jax.Array:
    """`v . tanh(q + k)` of projected queries and keys (Bahdanau et al. 2015, arXiv:1409.0473).

    >>> additive_scores(jnp.zeros((1, 2)), jnp.array([[0.0, 0.0], [9.0, 9.0]]), jnp.ones(2))
    Array([[0., 2.]], dtype=float32)

    Args:
        queries: `[..., T, H]`, already projected: `W_q q`.
        keys: `[..., S, H]`, already projected: `W_k k`, once for all queries to come.
        v: `[H]`.
    Returns: `[..., T, S]`.
    Raises: ValueError if the shapes differ in more than T and S.
    """
    _check(queries, keys)
    if v.shape != queries.shape[-1:]:
        raise ValueError(f"v needs shape {queries.shape[-1:]}, got {v.shape}")
    return _summed(jnp.matmul, jnp.tanh(queries[..., :, None, :] + keys[..., None, :, :]), v)


def attend(
    scores: jax.Array, values: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Means of values, weighted by the softmax of scores over S.

    >>> outputs, weights = attend(jnp.zeros((1, 2)), jnp.array([[2.0], [4.0]]))
    >>> outputs, weights
    (Array([[3.]], dtype=float32), Array([[0.5, 0.5]], dtype=float32))

    Args:
        scores: `[..., T, S]`.
        values: `[..., S, D]`.
        mask: boolean, as above; everything by default.
    Returns: outputs `[..., T, D]`, and the weights `[..., T, S]`, which are the attention map.
    Raises: ValueError if scores and values do not fit, or the mask would broadcast the scores.
    """
    return _attend(scores, values, mask, scores.dtype)


def dot_product_attention(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    *,
    mask: jax.Array | None = None,
    scaled: bool = True,
) -> tuple[jax.Array, jax.Array]:
    """`softmax(q k^T / sqrt(D)) v` (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    >>> outputs, weights = dot_product_attention(*[jnp.ones((2, 3, 4))] * 3)
    >>> outputs.shape, weights.shape
    ((2, 3, 4), (2, 3, 3))

    Args:
        queries, keys, values: `[..., T, D]`, `[..., S, D]`, `[..., S, E]`.
        mask: boolean, as above; `jnp.tri(T, dtype=bool)[None]` hides what is to come.
        scaled: whether scores are divided by `sqrt(D)`.
    Returns: outputs `[..., T, E]`, and the weights `[..., T, S]`.
    """
    scale = 1 / math.sqrt(queries.shape[-1]) if scaled else 1.0
    _check(queries, keys)
    if mask is not None:
        check_mask(mask.shape, (*queries.shape[:-1], keys.shape[-2]))
    queries, keys = blank_blind(queries, mask), blank_unseen(keys, mask)
    scores = _DOT(queries * scale, keys, preferred_element_type=_wide(queries, keys))
    return _attend(scores, values, mask, jnp.result_type(queries, keys))


# Padding may hold NaN. It is put out before the products: zero times NaN is NaN, in the output of a
# weighted mean and in the gradients of a masked score.


def blank_unseen(keys: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Keys or values `[..., S, D]`, zero where no query may look."""
    return keys if mask is None else jnp.where(jnp.any(mask, axis=-2)[..., None], keys, 0)


def blank_blind(queries: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Queries `[..., T, D]`, zero where one may look nowhere."""
    return queries if mask is None else jnp.where(jnp.any(mask, axis=-1)[..., None], queries, 0)


def _attend(
    scores: jax.Array, values: jax.Array, mask: jax.Array | None, dtype: jnp.dtype
) -> tuple[jax.Array, jax.Array]:
    """`attend` with weights of another dtype than the scores, which may be kept in float32."""
    if scores.shape[:-2] != values.shape[:-2] or scores.shape[-1] != values.shape[-2]:
        raise ValueError(f"scores {scores.shape} do not fit values {values.shape}")
    weights = softmax(scores) if mask is None else masked_softmax(scores, mask)
    weights = weights.astype(dtype)
    return _summed(_MEAN, weights, blank_unseen(values, mask)), weights


def _wide(*arrays: jax.Array) -> jnp.dtype:
    return jnp.promote_types(jnp.result_type(*arrays), jnp.float32)


def _summed(product: Callable[..., jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    """The product in its own dtype, added up in float32 or wider."""
    return product(x, y, preferred_element_type=_wide(x, y)).astype(jnp.result_type(x, y))


def _check(queries: jax.Array, keys: jax.Array) -> None:
    same = queries.shape[:-2] == keys.shape[:-2] and queries.shape[-1] == keys.shape[-1]
    if queries.ndim < 2 or queries.ndim != keys.ndim or not same:
        raise ValueError(
            f"need queries [..., T, D] and keys [..., S, D], got {queries.shape} and {keys.shape}"
        )
