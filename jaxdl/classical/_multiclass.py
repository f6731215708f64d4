"""From two classes to many, and from scores to classes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def one_vs_rest(
    fit: Callable[[jax.Array, jax.Array], Any], x: ArrayLike, labels: ArrayLike, num_classes: int
) -> Any:
    """Trains one two-class learner a class, its class against all others, in one program.

    Args:
        fit: `fit(x, y)` with y `[N]` in {0, 1}; whatever pytree it returns.
        x: `[N, D]`.
        labels: integers `[N]` in 0..num_classes-1.
    Returns: the learners' pytree with a leading axis K; score with `one_vs_rest_scores`.
    """
    x, labels = jnp.asarray(x), jnp.asarray(labels)
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels need integers [N], got {labels.dtype} {labels.shape}")
    members = labels[None] == jnp.arange(num_classes)[:, None]
    return jax.vmap(lambda y: fit(x, y.astype(jnp.float32)))(members)


def one_vs_rest_scores(
    decide: Callable[[Any, jax.Array], jax.Array], params: Any, x: ArrayLike
) -> jax.Array:
    """Decision values `[N, K]` of stacked learners, `decide(params, x)` being one learner's."""
    return jax.vmap(decide, (0, None), 1)(params, jnp.asarray(x))


def classify(logits: ArrayLike, *, threshold: float = 0.5) -> jax.Array:
    """Class 1 where the probability `sigmoid(logit)` reaches `threshold`, else class 0.

    Args:
        logits: any shape; for several classes take `argmax` of `[N, K]` instead.
        threshold: strictly between 0 and 1; 0.5 is a logit of 0.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie strictly between 0 and 1, got {threshold}")
    return (jax.nn.sigmoid(jnp.asarray(logits)) >= threshold).astype(jnp.int32)
