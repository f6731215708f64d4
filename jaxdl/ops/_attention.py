"""Attention: scores of queries against keys, and the values they weight.

`attention` is what large models use; the other functions show the map. In them T queries attend to
S keys, which carry S values; leading axes `[...]` (examples, heads) are shared.
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
from jaxdl.ops._fused_attention import Rules, Sight, fused, seen
from jaxdl.ops._ring_attention import ring

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


def attention(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    *,
    mask: jax.Array | None = None,
    bias: jax.Array | None = None,
    lengths: jax.Array | None = None,
    segments: jax.Array | None = None,
    positions: jax.Array | None = None,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
    soft_cap: float | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Attention of many heads, without its map: `softmax(scale q k^T + bias) v`.

    On a GPU cuDNN's flash kernel computes it, on a TPU the one of Pallas, where they apply: long
    sequences without mask, bias, soft cap or positions. Otherwise long sequences go in blocks, so
    that memory grows with T + S, not T S. Both modes of derivatives exist for all forms.

    >>> q, kv = jnp.ones((1, 3, 4, 8)), jnp.ones((1, 3, 2, 8))  # two heads of queries share one
    >>> attention(q, kv, kv, causal=True).shape
    (1, 3, 4, 8)

    Args:
        queries: `[B, T, N, D]`.
        keys, values: `[B, S, K, D]` and `[B, S, K, E]`; K divides N, and head n of the queries
            looks at head `n // (N / K)` (grouped queries; Ainslie et al. 2023, arXiv:2305.13245).
        mask: boolean `[B, N, T, S]`, each axis equal or 1, True where a query may look.
        bias: added to the scores, shaped like the mask.
        lengths: integers `[B]`: only the first so many keys are real.
        segments: integers `[B, T]` for T = S: several texts in a row, which do not see each other;
            0 is padding.
        positions: integers `[B, T]`, where the queries stand among the keys; `0..T-1` by default.
        causal: a query sees keys up to its own position.
        window: a query sees keys less than so far away, itself included.
        scale: `D**-0.5` by default.
        soft_cap: `cap tanh(score / cap)` for scores, before the bias (arXiv:2408.00118).
        axis_name: of a mesh, inside `jax.shard_map`: queries, keys, values and segments are this
            device's part of sequences cut along it (context parallelism), while lengths count
            whole ones. Keys and values go around the ring of devices (Liu et al. 2023,
            arXiv:2310.01889); mask, bias and positions are for sequences that are not cut.
    Returns: `[B, T, N, E]` in the dtype of the values, added up in float32; zeros, with zero
        gradients, for a query that may look nowhere. What no query may look at may hold NaN.
    Raises: ValueError for shapes that do not fit, a window or soft cap that is not positive, or
        what does not go with an axis.
    """
    _check_heads(queries, keys, values)
    (B, T, N, D), S = queries.shape, keys.shape[1]
    for name, extra in (("mask", mask), ("bias", bias)):
        if extra is not None:
            _check_fits(name, extra.shape, (B, N, T, S))
    rows = {"lengths": (lengths, (B,)), "segments": (segments, (B, T))}
    rows["positions"] = (positions, (B, T))
    for name, (array, shape) in rows.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} needs shape {shape}, got {array.shape}")
    if segments is not None and T != S:
        raise ValueError(f"segments need as many queries as keys, got {T} and {S}")
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    if soft_cap is not None and not soft_cap > 0:
        raise ValueError(f"soft_cap must be positive, got {soft_cap}")
    sight = Sight(mask, bias, lengths, segments, segments, positions)
    rules = Rules(causal, window, D**-0.5 if scale is None else scale, soft_cap)
    if axis_name is not None:
        given = {"mask": mask, "bias": bias, "positions": positions}
        for name in (name for name, array in given.items() if array is not None):
            raise ValueError(f"{name} does not go with axis_name: sequences cut have none")
        return ring(queries, keys, values, sight, rules, axis_name)
    looked_at = seen(sight, rules, T, S)
    if looked_at is not None:
        keys, values = (jnp.where(looked_at[..., None, None], x, 0) for x in (keys, values))
    return fused(queries, keys, values, sight, rules)


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
    return weighted_values(scores, values, mask, jnp.result_type(queries, keys))


# Padding may hold NaN. It is put out before the products: zero times NaN is NaN, in the output of a
# weighted mean and in the gradients of a masked score.


def blank_unseen(keys: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Keys or values `[..., S, D]`, zero where no query may look."""
    return keys if mask is None else jnp.where(jnp.any(mask, axis=-2)[..., None], keys, 0)


def blank_blind(queries: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Queries `[..., T, D]`, zero where one may look nowhere."""
    return queries if mask is None else jnp.where(jnp.any(mask, axis=-1)[..., None], queries, 0)


def weighted_values(
    scores: jax.Array, values: jax.Array, mask: jax.Array | None, dtype: jnp.dtype
) -> tuple[jax.Array, jax.Array]:
    """Means `[..., T, E]` of values `[..., S, E]`, and their weights `[..., T, S]` in a dtype.

    Scores `[..., T, S]` may be kept in float32 up to here.
    """
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


def _check_heads(queries: jax.Array, keys: jax.Array, values: jax.Array) -> None:
    q, k, v = queries.shape, keys.shape, values.shape
    if not len(q) == len(k) == len(v) == 4 or k[:3] != v[:3] or (q[0], q[3]) != (k[0], k[3]):
        raise ValueError(
            "need queries [B, T, N, D], keys [B, S, K, D] and values [B, S, K, E], "
            f"got {q}, {k} and {v}"
        )
    if not k[2] or q[2] % k[2]:
        raise ValueError(f"{q[2]} heads of queries do not divide by {k[2]} heads of keys")


def _check_fits(name: str, shape: tuple[int, ...], scores: tuple[int, ...]) -> None:
    if len(shape) != 4 or any(m not in (1, n) for m, n in zip(shape, scores, strict=True)):
        raise ValueError(f"{name} {shape} does not fit scores {scores}")


def _check(queries: jax.Array, keys: jax.Array) -> None:
    same = queries.shape[:-2] == keys.shape[:-2] and queries.shape[-1] == keys.shape[-1]
    if queries.ndim < 2 or queries.ndim != keys.ndim or not same:
        raise ValueError(
            f"need queries [..., T, D] and keys [..., S, D], got {queries.shape} and {keys.shape}"
        )
