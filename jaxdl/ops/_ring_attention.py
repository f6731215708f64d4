"""Attention over a sequence that is cut along a mesh axis (Liu et al. 2023, arXiv:2310.01889).

Each device keeps its queries; keys and values go around the ring, one block at a time, and softmax
is put together as they pass (maximum, sum and mean so far). Nobody ever holds all keys. The
backward pass sends them around once more, their gradients with them. Numbers are those of `plain`,
which sees all at once, up to rounding.

As in `_fused_attention` the derivative is a linear map with a transpose, so that forward mode and
higher derivatives are there as well.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdl.ops._fused_attention import Rules, Sight, scores, visible
from jaxdl.ops._linear import linear_map, vary_with


class Ring(NamedTuple):
    """What is known while tracing: the axis, and where a query may look."""

    axis_name: str
    rules: Rules


class _Seen(NamedTuple):
    """What a query has seen so far, in float32 or wider."""

    most: jax.Array  # [B, N, T], the largest score
    total: jax.Array  # [B, N, T], of exp(score - most)
    mean: jax.Array  # [B, T, N, E], of values, times `total`


def ring(q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight, rules: Rules, axis: str) -> Any:
    """Means `[B, T, N, E]` of the values on all devices of an axis, for this one's queries.

    Of `sight`, `lengths` count over the whole sequence, `segments` are those of this device's part.
    """
    if sight.lengths is not None:  # what nobody looks at may hold NaN
        at = lax.axis_index(axis) * k.shape[1] + jnp.arange(k.shape[1])[None]
        k, v = (_kept(x, at < sight.lengths[:, None]) for x in (k, v))
    if sight.segments is not None:
        k, v = (_kept(x, sight.segments > 0) for x in (k, v))
    return _ring(Ring(axis, rules), q, k, v, sight)


def _kept(x: jax.Array, real: jax.Array) -> jax.Array:
    return jnp.where(real[..., None, None], x, 0)


def _block(q: jax.Array, keys: tuple, turn: Any, sight: Sight, how: Ring) -> tuple:
    """Where this device's queries may look in the keys of `turn` devices before it; and those."""
    k, _, segments = keys
    T, S = q.shape[1], k.shape[1]
    here, size = lax.axis_index(how.axis_name), lax.axis_size(how.axis_name)
    start = (here - turn) % size * S
    positions = jnp.broadcast_to(here * T - start + jnp.arange(T), (len(q), T))
    lengths = None if sight.lengths is None else sight.lengths - start
    part = sight._replace(lengths=lengths, segments=segments, positions=positions)
    allowed = visible(part, how.rules, T, S)
    if allowed is None:
        return q, None
    blind = ~jnp.moveaxis(jnp.any(allowed, -1), 1, 2)[..., None]  # they may hold NaN
    return jnp.where(blind, 0, q), allowed


def _passed_on(tree: Any, how: Ring) -> Any:
    """What the device before this one has."""
    size = lax.axis_size(how.axis_name)
    return lax.ppermute(tree, how.axis_name, [(i, (i + 1) % size) for i in range(size)])


def _around(step: Any, made: Any, keys: tuple, others: Any, how: Ring) -> Any:
    """`made, moving = step(turn, made, keys, moving)` for each device's keys, back to the own ones.

    `made` is a pair: what stays here, and what goes around with the keys it belongs to.
    """
    others = (others, keys, lax.axis_index(how.axis_name))  # all vary over what one of them does
    carry = vary_with(others, (made, keys))

    def turn(carry: tuple, number: jax.Array) -> tuple:
        made, keys = carry
        stays, moves = vary_with(others, step(number, made, keys))
        return vary_with(others, ((stays, _passed_on(moves, how)), _passed_on(keys, how))), None

    return lax.scan(turn, carry, jnp.arange(lax.axis_size(how.axis_name)))[0][0]


def _forward(how: Ring, q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight) -> tuple:
    """The means, in float32 or wider, and the logarithm of the sum of exponentials `[B, N, T]`."""
    (B, T, N, _), E = q.shape, v.shape[-1]
    wide = jnp.promote_types(q.dtype, jnp.float32)
    least = jnp.finfo(wide).min / 2
    first = _Seen(
        jnp.full((B, N, T), least, wide), jnp.zeros((B, N, T), wide), jnp.zeros((B, T, N, E), wide)
    )

    def step(turn: jax.Array, made: tuple, keys: tuple) -> tuple:
        seen = made[0]
        own, allowed = _block(q, keys, turn, sight, how)
        s = scores(own, keys[0], how.rules)
        s = s if allowed is None else jnp.where(allowed, s, least)
        most = lax.stop_gradient(jnp.maximum(seen.most, jnp.max(s, axis=-1)))
        weights = jnp.exp(s - most[..., None])
        weights = weights if allowed is None else jnp.where(allowed, weights, 0)
        shrink = jnp.exp(lax.stop_gradient(seen.most) - most)
        total = seen.total * shrink + jnp.sum(weights, axis=-1)
        mean = seen.mean * _last(shrink) + _weighted(weights.astype(v.dtype), keys[1])
        return _Seen(most, total, mean), ()

    seen, _ = _around(step, (first, ()), (k, v, sight.segments), (q, sight), how)
    total = jnp.where(seen.total > 0, seen.total, 1)
    return seen.mean / _last(total), seen.most + jnp.log(total)


def _last(x: jax.Array) -> jax.Array:
    """`[B, N, T]` as `[B, T, N, 1]`."""
    return jnp.moveaxis(x, 1, 2)[..., None]


def _weighted(weights: jax.Array, v: jax.Array) -> jax.Array:
    """Sums `[B, T, N, E]` of values `[B, S, K, E]` by weights `[B, N, T, S]`."""
    (B, N, T, S), K = weights.shape, v.shape[2]
    wide = jnp.promote_types(v.dtype, jnp.float32)
    grouped = weights.reshape(B, K, N // K, T, S)
    out = jnp.einsum("bkgts,bske->btkge", grouped, v, preferred_element_type=wide)
    return out.reshape(B, T, N, -1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _ring(how: Ring, q: jax.Array, k: jax.Array, v: jax.Array, sight: Sight) -> jax.Array:
    return _forward(how, q, k, v, sight)[0].astype(v.dtype)


def _backward(how: Ring, qkv: tuple, sight: Sight, g: jax.Array) -> tuple:
    """Gradients of q, k and v; those of k and v go around with them and end where they belong."""
    q, k, v = qkv
    mean, log_total = _forward(how, q, k, v, sight)
    wide = mean.dtype
    along = jnp.moveaxis(jnp.sum(g.astype(wide) * mean, axis=-1), 1, 2)  # [B, N, T]

    def step(turn: jax.Array, made: tuple, keys: tuple) -> tuple:
        to_q, (to_k, to_v) = made
        own, allowed = _block(q, keys, turn, sight, how)
        s, pull_scores = jax.vjp(lambda q, k: scores(q, k, how.rules), own, keys[0])
        weights = jnp.exp(s - log_total[..., None])
        weights = weights if allowed is None else jnp.where(allowed, weights, 0)
        _, pull_mean = jax.vjp(_weighted, weights.astype(v.dtype), keys[1])
        to_weights, more_v = pull_mean(g.astype(wide))
        more_q, more_k = pull_scores(weights * (to_weights.astype(wide) - along[..., None]))
        sums = (to_q, more_q), (to_k, more_k), (to_v, more_v)
        to_q, to_k, to_v = (a + b.astype(wide) for a, b in sums)
        return to_q, (to_k, to_v)

    zeros = (jnp.zeros_like(q, wide), (jnp.zeros_like(k, wide), jnp.zeros_like(v, wide)))
    to_q, (to_k, to_v) = _around(step, zeros, (k, v, sight.segments), (q, sight, g), how)
    return to_q.astype(q.dtype), to_k.astype(k.dtype), to_v.astype(v.dtype)


@_ring.defjvp
def _(how: Ring, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    q, k, v, sight = primals

    def along(residuals: Any, moved: Any) -> jax.Array:
        qkv, sight = residuals

        def values(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            return _forward(how, q, k, v, sight)[0].astype(v.dtype)

        return jax.jvp(values, qkv, moved)[1]

    def back(residuals: Any, g: jax.Array) -> tuple:
        qkv, sight = residuals
        return _backward(how, qkv, sight, g)

    y = _ring(how, q, k, v, sight)
    return y, linear_map(along, back, ((q, k, v), sight), tuple(tangents[:3]))
