"""Sampling from logits, and generating token by token."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Step = Callable[[Any, jax.Array], tuple[Any, jax.Array]]  # (carry, token [B]) -> (carry, logits)


def sample(
    key: jax.Array,
    logits: jax.Array,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> jax.Array:
    """Draws from `softmax(logits / temperature)`, cut to its most probable entries.

    >>> logits = jnp.log(jnp.array([[0.1, 0.7, 0.2]]))
    >>> sample(jax.random.key(0), logits, temperature=0.0)
    Array([1], dtype=int32)
    >>> sample(jax.random.key(0), logits, top_k=1)
    Array([1], dtype=int32)

    Args:
        key: of the draw.
        logits: `[..., V]`.
        temperature: below 1 sharpens, above 1 flattens; 0 is the greatest logit, the first of ties.
        top_k: only the k greatest logits may come (more where the k-th ties).
        top_p: only the fewest entries whose probabilities, at this temperature and after `top_k`,
            add up to `top_p` or more, the first of ties (nucleus sampling; Holtzman et al. 2020,
            arXiv:1904.09751); 1 keeps all.
    Returns: ids `[...]`, int32.
    Raises: ValueError for a negative temperature, `top_k` outside 1..V, `top_p` outside (0, 1].
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 or more, got {temperature}")
    if top_k is not None and not 1 <= top_k <= logits.shape[-1]:
        raise ValueError(f"top_k must lie in 1..{logits.shape[-1]}, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {top_p}")
    if temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits.astype(jnp.float32) / temperature
    if top_k is not None:
        least = jax.lax.top_k(logits, top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if top_p is not None and top_p < 1:
        logits = jnp.where(_nucleus(logits, top_p), logits, -jnp.inf)
    return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)


def _nucleus(logits: jax.Array, top_p: float) -> jax.Array:
    """Boolean `[..., V]`: the fewest entries, and at least one, that hold `top_p` of the whole."""
    ascending = jnp.sort(logits, axis=-1)
    up_to = jnp.cumsum(jax.nn.softmax(ascending, axis=-1), axis=-1)  # from the smallest, exactly
    inside = (up_to > 1 - top_p).at[..., -1].set(True)  # without it what is greater falls short
    least = jnp.min(jnp.where(inside, ascending, jnp.inf), axis=-1, keepdims=True)
    above, equal = logits > least, logits == least
    room = jnp.sum(inside, axis=-1, keepdims=True) - jnp.sum(above, axis=-1, keepdims=True)
    return above | (equal & (jnp.cumsum(equal, axis=-1) <= room))


def generate(
    step: Step,
    carry: Any,
    logits: jax.Array,
    key: jax.Array,
    num_steps: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[jax.Array, Any]:
    """Samples `num_steps` tokens, each fed back to give the logits of the next.

    >>> def step(count, token):
    ...     return count + 1, 99.0 * jax.nn.one_hot(token + 1, 5)  # the next number comes next
    >>> tokens, count = generate(step, 0, jnp.array([[99.0, 0, 0, 0, 0]]), jax.random.key(0), 4)
    >>> tokens, int(count)
    (Array([[0, 1, 2, 3]], dtype=int32), 4)

    Args:
        step: `(carry, token [B]) -> (carry, logits [B, V])`.
        carry: after the warm-up, that is after the model has read the given beginning.
        logits: `[B, V]`, of the first token to come.
        key: token n is drawn with `fold_in(key, n)`, so a longer text begins with the shorter one.
        num_steps: N.
        temperature, top_k, top_p: see `sample`.
    Returns: ids `[B, N]`, and the carry after the last of them.
    """

    def body(state: Any, n: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = state
        token = sample(
            jax.random.fold_in(key, n), logits, temperature=temperature, top_k=top_k, top_p=top_p
        )
        return step(carry, token), token

    (carry, _), tokens = jax.lax.scan(body, (carry, logits), jnp.arange(num_steps))
    return tokens.T, carry
