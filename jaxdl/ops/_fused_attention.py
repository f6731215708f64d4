"""Attention without a map: in blocks of queries, by cuDNN on a GPU, by a Pallas kernel on a TPU.

B examples, T queries, S keys, N heads of the queries, K heads of keys and values (N = K G), widths
D and E. All forms add up in float32 and give the same numbers up to rounding.

- `plain`: all scores at once, `[B, N, T, S]`.
- `chunked`: so many rows of scores at a time, computed again in the backward pass.
- `fused`: the kernels where they apply, the forms above elsewhere. Its derivative is a linear map
  with a transpose (`linear_map`), so that forward mode and higher derivatives are there as well;
  the backward pass runs the forward kernel once more.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdl.ops._activations import masked_softmax, softmax
from jaxdl.ops._by_target import by_target
from jaxdl.ops._linear import linear_map

CHUNK = 256  # queries of a block
MOST_SCORES = 1024 * 1024  # of a head, that are held at once
LEAST_SCORES = 512 * 512  # of a head, from which on a kernel is worth it


class Rules(NamedTuple):
    """What is known while tracing."""

    causal: bool
    window: int | None
    scale: float
    soft_cap: float | None


class Sight(NamedTuple):
    """Where a query may look, and what is added to its scores; None if there is no such thing."""

    mask: jax.Array | None = None  # boolean [B, N, T, S], each axis equal or 1
    bias: jax.Array | None = None  # likewise, floating point
    lengths: jax.Array | None = None  # [B]
    segments: jax.Array | None = None  # [B, S], of the keys
    query_segments: jax.Array | None = None  # [B, T]
    positions: jax.Array | None = None  # [B, T], of the queries among the keys


def plain(q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight, rules: Rules) -> jax.Array:
    """Means `[B, T, N, E]` of values `[B, S, K, E]`."""
    B, T, N, _ = q.shape
    S, K = k.shape[1:3]
    allowed = visible(sight, rules, T, S)
    if allowed is not None and not _sees_itself(sight, rules):  # a blind query may hold NaN
        q = jnp.where(jnp.moveaxis(jnp.any(allowed, -1), 1, 2)[..., None], q, 0)
    wide = jnp.promote_types(q.dtype, jnp.float32)
    found = scores(q, k, rules)
    if sight.bias is not None:
        found = found + jnp.broadcast_to(sight.bias, found.shape).astype(wide)
    weights = softmax(found) if allowed is None else masked_softmax(found, allowed)
    weights = weights.astype(v.dtype).reshape(B, K, N // K, T, S)
    means = jnp.einsum("bkgts,bske->btkge", weights, v, preferred_element_type=wide)
    return means.reshape(B, T, N, -1).astype(v.dtype)


def scores(q: jax.Array, k: jax.Array, rules: Rules) -> jax.Array:
    """Scaled and capped products `[B, N, T, S]` of queries `[B, T, N, D]` and keys `[B, S, K, D]`.

    In float32 or wider.
    """
    (B, T, N, D), (S, K) = q.shape, k.shape[1:3]
    wide = jnp.promote_types(q.dtype, jnp.float32)
    grouped = q.reshape(B, T, K, N // K, D)
    found = jnp.einsum("btkgd,bskd->bkgts", grouped, k, preferred_element_type=wide)
    found = found.reshape(B, N, T, S) * rules.scale
    return found if rules.soft_cap is None else rules.soft_cap * jnp.tanh(found / rules.soft_cap)


def chunked(q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight, rules: Rules) -> jax.Array:
    """As `plain`, `CHUNK` queries at a time, with memory for so many rows of scores."""
    T, n = q.shape[1], -(-q.shape[1] // CHUNK)
    if sight.positions is None:
        positions = jnp.broadcast_to(jnp.arange(T), (len(q), T))
        sight = sight._replace(positions=positions)

    def cut(x: jax.Array | None, axis: int) -> jax.Array | None:  # blocks first
        if x is None or x.shape[axis] == 1:
            return x if x is None else jnp.broadcast_to(x[None], (n, *x.shape))
        missing = [(0, n * CHUNK - T if i == axis else 0) for i in range(x.ndim)]
        shape = (*x.shape[:axis], n, CHUNK, *x.shape[axis + 1 :])
        return jnp.moveaxis(jnp.pad(x, missing).reshape(shape), axis, 0)

    @jax.checkpoint
    def block(rows: tuple) -> jax.Array:
        q, mask, bias, positions, segments = rows
        one = sight._replace(mask=mask, bias=bias, positions=positions, query_segments=segments)
        return plain(q, k, v, one, rules)

    extras = (cut(sight.mask, 2), cut(sight.bias, 2))
    rows = (cut(q, 1), *extras, cut(sight.positions, 1), cut(sight.query_segments, 1))
    out = jnp.moveaxis(lax.map(block, rows), 0, 1)
    return out.reshape(len(q), n * CHUNK, *out.shape[3:])[:, :T]


def visible(sight: Sight, rules: Rules, T: int, S: int) -> jax.Array | None:
    """Boolean `[B, N, T, S]`, each axis equal or 1: where to look; None for everywhere."""
    at = jnp.arange(S)[None, None]  # [1, 1, S]
    here = jnp.arange(T)[None] if sight.positions is None else sight.positions
    behind = here[..., None] - at  # [B or 1, T, S]
    parts = []
    if rules.causal:
        parts.append(behind >= 0)
    if rules.window is not None:
        parts.append(jnp.abs(behind) < rules.window)
    if sight.lengths is not None:
        parts.append(at < sight.lengths[:, None, None])
    if sight.segments is not None and sight.query_segments is not None:
        mine, others = sight.query_segments[:, :, None], sight.segments[:, None, :]
        parts.append((mine == others) & (others > 0))
    allowed = functools.reduce(jnp.logical_and, parts)[:, None] if parts else None
    if sight.mask is not None:
        allowed = sight.mask if allowed is None else allowed & sight.mask
    return allowed


def seen(sight: Sight, rules: Rules, T: int, S: int) -> jax.Array | None:
    """Boolean `[B, S]`: keys that some query may look at; None for all."""
    if sight.mask is not None and sight.mask.shape[2] > 1:  # as large as the scores anyway
        allowed = visible(sight, rules, T, S)
        return None if allowed is None else jnp.any(allowed, axis=(1, 2))
    at, parts = jnp.arange(S)[None], []
    if sight.mask is not None:
        parts.append(jnp.any(sight.mask, axis=(1, 2)))
    if sight.lengths is not None:
        parts.append(at < sight.lengths[:, None])
    if sight.segments is not None:
        parts.append(sight.segments > 0)
    if rules.causal and sight.positions is not None:
        parts.append(at <= jnp.max(sight.positions, axis=1, keepdims=True))
    elif rules.causal and T < S:
        parts.append(at < T)
    return functools.reduce(jnp.logical_and, parts) if parts else None


def _sees_itself(sight: Sight, rules: Rules) -> bool:
    """Whether every query may look somewhere, whatever the arrays hold."""
    return all(x is None for x in sight._replace(bias=None)) and rules.causal


def default(q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight, rules: Rules) -> jax.Array:
    """`plain`, or `chunked` where its scores would be too many."""
    small = q.shape[1] * k.shape[1] <= MOST_SCORES or q.shape[1] <= CHUNK
    return (plain if small else chunked)(q, k, v, sight, rules)


def fused(q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight, rules: Rules) -> jax.Array:
    """Attention by the kernel of the target."""
    kernels = _kernels(q, k, v, sight, rules)
    if not kernels:
        return default(q, k, v, sight, rules)
    return _fused(rules, q, k, v, sight)


def _kernels(
    q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight, rules: Rules
) -> dict[str, Callable]:
    """Those that may be asked, by platform."""
    (_, T, _, D), S, E = q.shape, k.shape[1], v.shape[-1]
    special = rules.soft_cap is not None or sight.mask is not None or sight.bias is not None
    same = q.dtype == k.dtype == v.dtype
    if special or sight.positions is not None or not same or D != E or T * S < LEAST_SCORES:
        return {}
    found: dict[str, Callable] = {}
    half = q.dtype in (jnp.bfloat16, jnp.float16)
    one_sided = rules.window is None or rules.causal
    if half and one_sided and sight.segments is None and D % 8 == 0 and D <= 128:
        found["cuda"] = functools.partial(_cudnn, rules)
    square = not rules.causal or T == S
    whole = T % 128 == 0 == S % 128
    if q.dtype in (jnp.bfloat16, jnp.float32) and rules.window is None and square and whole:
        found["tpu"] = functools.partial(_pallas, rules)
    return found


def _cudnn(rules: Rules, q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight) -> jax.Array:
    lengths = None if sight.lengths is None else jnp.clip(sight.lengths, 1, k.shape[1])
    out = jax.nn.dot_product_attention(
        q,
        k,
        v,
        scale=rules.scale,
        is_causal=rules.causal,
        key_value_seq_lengths=None if lengths is None else lengths.astype(jnp.int32),
        local_window_size=None if rules.window is None else (rules.window - 1, 0),
        implementation="cudnn",
    )
    return _blank(out, sight)


def _pallas(rules: Rules, q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight) -> jax.Array:
    from jax.experimental.pallas.ops.tpu import flash_attention as pallas

    (B, T, N, _), S = q.shape, k.shape[1]
    segments = None
    if sight.lengths is not None or sight.segments is not None:
        mine, others = jnp.ones((B, T), jnp.int32), jnp.ones((B, S), jnp.int32)
        if sight.segments is not None and sight.query_segments is not None:
            mine = sight.query_segments.astype(jnp.int32)
            others = jnp.where(sight.segments > 0, sight.segments, -1).astype(jnp.int32)
        if sight.lengths is not None:
            others = jnp.where(jnp.arange(S)[None] < sight.lengths[:, None], others, -1)
        segments = pallas.SegmentIds(mine, others)
    repeat = functools.partial(jnp.repeat, repeats=N // k.shape[2], axis=2)
    heads_first = [jnp.swapaxes(x, 1, 2) for x in (q, repeat(k), repeat(v))]
    block = math.gcd(math.gcd(T, S), 512)
    sizes = pallas.BlockSizes(block, block, block, 1, *[block] * 7)
    out = pallas.flash_attention(
        *heads_first,
        segment_ids=segments,
        causal=rules.causal,
        sm_scale=rules.scale,
        block_sizes=sizes,
    )
    return _blank(jnp.swapaxes(out, 1, 2), sight)


def _blank(out: jax.Array, sight: Sight) -> jax.Array:
    """Zeros for queries that may look nowhere; kernels give them the mean of what they skip."""
    if sight.lengths is not None:
        out = jnp.where((sight.lengths > 0)[:, None, None, None], out, 0)
    if sight.query_segments is not None:
        out = jnp.where((sight.query_segments > 0)[..., None, None], out, 0)
    return out


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _fused(rules: Rules, q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight) -> jax.Array:
    kernels = _kernels(q, k, v, sight, rules)
    return by_target(functools.partial(_default, rules), kernels, q, k, v, sight)


def _default(rules: Rules, q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight) -> jax.Array:
    return default(q, k, v, sight, rules)


@_fused.defjvp
def _(rules: Rules, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    q, k, v, sight = primals

    def along(residuals: Any, moved: Any) -> jax.Array:
        qkv, sight = residuals
        return jax.jvp(lambda q, k, v: default(q, k, v, sight, rules), qkv, moved)[1]

    def back(residuals: Any, g: Any) -> tuple:
        qkv, sight = residuals

        def pulled(function: Callable) -> Callable:
            def pull(q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight, g: jax.Array) -> tuple:
                return jax.vjp(lambda *x: function(rules, *x, sight), q, k, v)[1](g)

            return pull

        kernels = {
            name: pulled(lambda rules, *args, kernel=kernel: kernel(*args))
            for name, kernel in _kernels(qkv[0], qkv[1], qkv[2], sight, rules).items()
        }
        return by_target(pulled(_default), kernels, *qkv, sight, g)

    y = _fused(rules, q, k, v, sight)
    return y, linear_map(along, back, ((q, k, v), sight), tuple(tangents[:3]))
