"""Naive Bayes over counts and over presence; both are linear in what they count."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.classical._linear import PRECISE, Linear, Report, checked


def fit_multinomial_bayes(
    counts: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    num_classes: int,
    smoothing: float = 1.0,
) -> tuple[Linear, Report]:
    """Naive Bayes of counts: `log p(k) + sum_v counts_v log p(v | k)`.

    `p(v | k) = (n_kv + smoothing) / (n_k + smoothing V)`, additive (Laplace) smoothing.

    >>> counts, labels = jnp.array([[3, 1], [0, 4]]), jnp.array([0, 1])
    >>> params, _ = fit_multinomial_bayes(counts, labels, num_classes=2)
    >>> jnp.exp(params.coefficients.T)  # (3 + 1) / (4 + 2) for the first word of class 0
    Array([[0.667, 0.333],
           [0.167, 0.833]], dtype=float32)

    Args:
        counts: `[N, V]`, >= 0.
        labels: integers `[N]`.
        weights: `[N]`, >= 0.
        num_classes: K.
        smoothing: added to every count; 0 makes an unseen word impossible (-inf).
    Returns: `Linear` with coefficients `[V, K]`, and `Report`; `linear` gives joint
        log-probabilities `[N, K]`, their softmax the posterior. A class without examples has logit
        -inf.
    Raises: ValueError on shapes that do not belong together or a negative smoothing.
    """
    by_class, class_weight = _class_totals(counts, labels, weights, num_classes, smoothing)
    smoothed = by_class + smoothing
    log_p = jnp.log(smoothed) - jnp.log(jnp.sum(smoothed, axis=1, keepdims=True))
    return _counted(log_p.T, jnp.log(class_weight) - jnp.log(jnp.sum(class_weight)))


def fit_bernoulli_bayes(
    presence: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    num_classes: int,
    smoothing: float = 1.0,
) -> tuple[Linear, Report]:
    """Naive Bayes of presence: absent words speak too, with `log(1 - p(v | k))`.

    `p(v | k) = (n_kv + smoothing) / (n_k + 2 smoothing)` over the `n_k` examples of class k.

    >>> presence, labels = jnp.array([[1, 0], [1, 0], [0, 1]]), jnp.array([0, 0, 1])
    >>> params, _ = fit_bernoulli_bayes(presence, labels, num_classes=2)
    >>> joint = jnp.exp(presence[0] @ params.coefficients + params.intercept)
    >>> joint  # 2/3 * 3/4 * 3/4, and 1/3 * 1/3 * 1/3
    Array([0.375, 0.037], dtype=float32)

    Args, Returns, Raises: as in `fit_multinomial_bayes`; `presence` is `[N, V]` in {0, 1} (counts
        are binarized).
    """
    present = (jnp.asarray(presence) > 0).astype(jnp.float32)
    by_class, class_weight = _class_totals(present, labels, weights, num_classes, smoothing)
    log_total = jnp.log(class_weight + 2 * smoothing)[:, None]
    log_in = jnp.log(by_class + smoothing) - log_total
    log_out = jnp.log(class_weight[:, None] - by_class + smoothing) - log_total
    prior = jnp.log(class_weight) - jnp.log(jnp.sum(class_weight))
    return _counted((log_in - log_out).T, prior + jnp.sum(log_out, axis=1))


def _counted(coefficients: jax.Array, intercept: jax.Array) -> tuple[Linear, Report]:
    known = ~(jnp.any(jnp.isnan(coefficients)) | jnp.any(jnp.isnan(intercept)))
    return Linear(coefficients, intercept), Report(jnp.ones((), jnp.int32), known)


def _class_totals(
    counts: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None,
    num_classes: int,
    smoothing: float,
) -> tuple[jax.Array, jax.Array]:
    """Weighted counts `[K, V]` and example weights `[K]`."""
    if smoothing < 0:
        raise ValueError(f"smoothing must be >= 0, got {smoothing}")
    labels = jnp.asarray(labels)
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels need integers [N], got {labels.dtype} {labels.shape}")
    counts, _, weights = checked(counts, labels, weights)
    members = weights[:, None] * jax.nn.one_hot(labels, num_classes, dtype=counts.dtype)
    return jnp.dot(members.T, counts, precision=PRECISE), jnp.sum(members, axis=0)
