"""From two classes to many, and from scores to classes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def fit_one_vs_rest(
    fit: Callable[[jax.Array, jax.Array], Any], x: ArrayLike, labels: ArrayLike, num_classes: int
) -> Any:
    """Trains one two-class learner a class, its class against all others, in one program.

    >>> from jaxdl import classical
    >>> x, labels = jnp.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), jnp.array([0, 1, 2])
    >>> params = fit_one_vs_rest(lambda x, y: classical.fit_perceptron(x, y)[0], x, labels, 3)
    >>> params.coefficients.shape, one_vs_rest_scores(classical.linear, params, x).argmax(axis=1)
    ((3, 2), Array([0, 1, 2], dtype=int32))

    Args:
        fit: `fit(x, y)` with y `[N]` in {0, 1}; whatever pytree it returns.
        x: `[N, D]`.
        labels: integers `[N]` in 0..num_classes-1.
    Returns: the learners' pytree with a leading axis K; score with `one_vs_rest_scores`.
    Raises: ValueError for labels of another shape or dtype.
    """
    x, labels = jnp.asarray(x), jnp.asarray(labels)
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels need integers [N], got {labels.dtype} {labels.shape}")
    members = labels[None] == jnp.arange(num_classes)[:, None]
    return jax.vmap(lambda y: fit(x, y.astype(jnp.float32)))(members)


def one_vs_rest_scores(
    decide: Callable[[Any, jax.Array], jax.Array], params: Any, x: ArrayLike
) -> jax.Array:
    """Decision values `[N, K]` of stacked learners, `decide(params, x)` being one learner's.

    >>> from jaxdl import classical
    >>> params = classical.Linear(jnp.array([[1.0], [-1.0]]), jnp.zeros(2))  # two learners
    >>> one_vs_rest_scores(classical.linear, params, jnp.array([[3.0], [-2.0]]))
    Array([[ 3., -3.],
           [-2.,  2.]], dtype=float32)
    """
    return jax.vmap(decide, (0, None), 1)(params, jnp.asarray(x))


def classify(logits: ArrayLike, *, threshold: float = 0.5) -> jax.Array:
    """Class 1 where the probability `sigmoid(logit)` reaches `threshold`, else class 0.

    >>> classify([-2.0, 0.0, 2.0]), classify([-2.0, 0.0, 2.0], threshold=0.8)
    (Array([0, 1, 1], dtype=int32), Array([0, 0, 1], dtype=int32))

    Args:
        logits: any shape; for several classes take `argmax` of `[N, K]` instead.
        threshold: strictly between 0 and 1; 0.5 is a logit of 0.
    Returns: int32 of the shape of `logits`.
    Raises: ValueError for another threshold.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie strictly between 0 and 1, got {threshold}")
    # Compared as logits: the sigmoid of a small negative one rounds to 0.5.
    level = math.log(threshold) - math.log1p(-threshold)
    return (jnp.asarray(logits) >= level).astype(jnp.int32)
