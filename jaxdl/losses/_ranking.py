"""Losses that compare a preferred item with another one. Scores are logits: no sigmoid before."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks


def bpr_loss(positive: ArrayLike, negative: ArrayLike) -> jax.Array:
    """Bayesian personalized ranking, `-log sigmoid(s_ui - s_uj)` (Rendle et al. 2009).

    >>> bpr_loss(jnp.array([2.0, 0.0]), jnp.array([0.0, 2.0]))
    Array([0.127, 2.127], dtype=float32)

    Args:
        positive, negative: scores of one shape, of the chosen item and of another.
    Returns: their shape; linear, not infinite, where the order is badly wrong.
    Raises: ValueError if the shapes differ.
    """
    return jax.nn.softplus(-_difference(positive, negative))


def pairwise_hinge_loss(
    positive: ArrayLike, negative: ArrayLike, *, margin: float = 1.0
) -> jax.Array:
    """Pairwise hinge, `max(0, margin - s_ui + s_uj)`: zero once the lead reaches the margin.

    >>> pairwise_hinge_loss(jnp.array([2.0, 0.5]), jnp.array([0.0, 0.0]))
    Array([0., 0.5], dtype=float32)

    Args, Returns, Raises: as `bpr_loss`.
    """
    return jax.nn.relu(margin - _difference(positive, negative))


def sampled_softmax_loss(
    positive: ArrayLike,
    negatives: ArrayLike,
    *,
    log_expected_positive: ArrayLike | None = None,
    log_expected_negatives: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> jax.Array:
    """Cross entropy of one item among itself and N sampled ones (Jean et al. 2015).

    >>> positive, negatives = jnp.array([0.0]), jnp.array([[0.0, 0.0]])
    >>> sampled_softmax_loss(  # log 3
    ...     positive,
    ...     negatives,
    ...     log_expected_positive=jnp.zeros(1),
    ...     log_expected_negatives=jnp.zeros((1, 2)),
    ... )
    Array([1.099], dtype=float32)

    Args:
        positive: scores `[...]`.
        negatives: scores `[..., N]`.
        log_expected_positive, log_expected_negatives: `log Q`, the log of how often the sampler
            is expected to draw each, subtracted from the scores; without them the softmax is over
            the sample as it is.
        mask: boolean `[..., N]`, False where a negative is the positive by accident.
    Returns: `[...]`, 0 where no negative is left.
    Raises: ValueError if the shapes do not fit.
    """
    positive, negatives = _checks.wide(positive), _checks.wide(negatives)
    if negatives.shape[:-1] != positive.shape or negatives.ndim == 0:
        raise ValueError(f"negatives {negatives.shape} need one axis more than {positive.shape}")
    if log_expected_positive is not None:
        log_q = jnp.asarray(log_expected_positive)
        _checks.same_shape(positive=positive, log_expected_positive=log_q)
        positive = positive - log_q
    if log_expected_negatives is not None:
        log_q = jnp.asarray(log_expected_negatives)
        _checks.same_shape(negatives=negatives, log_expected_negatives=log_q)
        negatives = negatives - log_q
    lead = jnp.expand_dims(positive, -1) - negatives
    if mask is not None:
        mask = jnp.asarray(mask)
        _checks.same_shape(negatives=negatives, mask=mask)
        lead = jnp.where(mask, lead, jnp.inf)
    # -log(e^p / (e^p + sum e^n)) = log(1 + sum e^(n - p))
    stay = jnp.zeros((*positive.shape, 1), lead.dtype)
    return jax.nn.logsumexp(jnp.concatenate([stay, -lead], axis=-1), axis=-1)


def _difference(positive: ArrayLike, negative: ArrayLike) -> jax.Array:
    positive, negative = _checks.wide(positive), _checks.wide(negative)
    _checks.same_shape(positive=positive, negative=negative)
    return positive - negative
