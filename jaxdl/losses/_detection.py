"""The loss of single-shot detectors: classes of anchors, most of them background, and offsets."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxdl import _checks
from jaxdl.losses._classification import softmax_cross_entropy, softmax_focal_loss
from jaxdl.losses._regression import smooth_l1_loss


class MultiboxLoss(NamedTuple):
    """Sums over the anchors of each image; the loss is total / positives over all of them."""

    classification: jax.Array  # [...]
    localization: jax.Array  # [...]
    positives: jax.Array  # [...], how many anchors answer for a box, float32


def multibox_loss(
    logits: ArrayLike,
    offsets: ArrayLike,
    classes: ArrayLike,
    target_offsets: ArrayLike,
    *,
    negative_ratio: float = 3.0,
    focal_gamma: float | None = None,
    beta: float = 1.0,
) -> MultiboxLoss:
    """Cross entropy of positives and of the hardest negatives, and smooth L1 of the offsets.

    The mean to descend on is `(classification + localization) / positives`, each summed over a
    batch first (SSD, eq. 1, alpha 1); an image without objects then adds neither.

    >>> offsets = jnp.zeros((2, 4))
    >>> loss = multibox_loss(jnp.zeros((2, 3)), offsets + 2.0, jnp.array([1, 0]), offsets)
    >>> print(f"{loss.classification:.3f} {loss.localization:.3f} {loss.positives:.0f}")
    2.197 6.000 1

    Args:
        logits: `[..., A, 1 + K]` of A anchors, background first.
        offsets: `[..., A, 4]`.
        classes: integers `[..., A]`, 0 for background, as from `ops.anchor_targets`.
        target_offsets: `[..., A, 4]`, read where the class is not 0.
        negative_ratio: so many background anchors for each positive one, those of the greatest
            cross entropy in their image; inf counts all of them.
        focal_gamma: in place of mining, the focal loss of every anchor with this gamma.
        beta: where smooth L1 turns linear; 0 is L1.
    Raises: ValueError if the shapes do not fit or a number is negative.
    Reference: Liu et al. 2016, SSD, arXiv:1512.02325, sec. 2.2; Lin et al. 2017, arXiv:1708.02002.
    """
    if negative_ratio < 0:
        raise ValueError(f"negative_ratio must not be negative, got {negative_ratio}")
    classes, offsets = jnp.asarray(classes), jnp.asarray(offsets)
    if jnp.shape(logits)[:-1] != classes.shape or offsets.shape != (*classes.shape, 4):
        raise ValueError(
            "need logits [..., A, 1 + K], offsets [..., A, 4] and classes [..., A], got "
            f"{jnp.shape(logits)}, {offsets.shape} and {classes.shape}"
        )
    positive = classes > 0
    positives = jnp.sum(positive, axis=-1)
    if focal_gamma is None:
        nll = softmax_cross_entropy(logits, classes)
        if negative_ratio < math.inf:
            wanted = jnp.ceil(negative_ratio * positives).astype(jnp.int32)
            counted = positive | hard_negative_mining(nll, ~positive, wanted)
            nll = jnp.where(counted, nll, 0)
    else:
        nll = softmax_focal_loss(logits, classes, gamma=focal_gamma)
    offsets, target_offsets = (
        jnp.where(positive[..., None], array, 0) for array in (offsets, target_offsets)
    )
    return MultiboxLoss(
        jnp.sum(nll, axis=-1),
        jnp.sum(smooth_l1_loss(offsets, target_offsets, beta=beta), axis=(-2, -1)),
        positives.astype(jnp.float32),
    )


def hard_negative_mining(values: ArrayLike, candidates: ArrayLike, counts: ArrayLike) -> jax.Array:
    """Marks the `counts` greatest values among the candidates: exactly so many, or all there are.

    Of equal values those of lower index come first. No sort: the bits of a float that is not
    negative are ordered like a whole number, so 31 counts find the least value to be marked.

    >>> hard_negative_mining(
    ...     jnp.array([0.1, 3.0, 2.0]), jnp.array([True, False, True]), jnp.array(1)
    ... )
    Array([False, False,  True], dtype=bool)

    >>> hard_negative_mining(jnp.array([3.0, 1.0, 2.0]), jnp.array([False, True, True]), 1)
    Array([False, False, True], dtype=bool)

    Args:
        values: `[..., A]`, not negative, taken in float32; NaN counts as the greatest.
        candidates: boolean `[..., A]`.
        counts: integers `[...]`.
    Returns: boolean `[..., A]`, without gradient.
    Raises: ValueError if the shapes do not fit.
    """
    values, candidates, counts = jnp.asarray(values), jnp.asarray(candidates), jnp.asarray(counts)
    _checks.same_shape(values=values, candidates=candidates)
    if counts.shape != values.shape[:-1]:
        raise ValueError(f"counts need shape {values.shape[:-1]}, got {counts.shape}")
    values = lax.stop_gradient(values).astype(jnp.float32)
    bits = lax.bitcast_convert_type(jnp.abs(values), jnp.int32)
    bits = jnp.where(candidates, bits, -1)

    def narrow(place: jax.Array, threshold: jax.Array) -> jax.Array:
        """Sets a bit of the greatest threshold that `counts` candidates reach."""
        raised = threshold | (1 << (30 - place))
        reach = jnp.sum(bits >= raised[..., None], axis=-1)
        return jnp.where(reach >= counts, raised, threshold)

    threshold = lax.fori_loop(0, 31, narrow, jnp.zeros_like(counts, jnp.int32))[..., None]
    above = bits > threshold
    equal = bits == threshold
    room = counts[..., None] - jnp.sum(above, axis=-1, keepdims=True)
    return above | (equal & (jnp.cumsum(equal, axis=-1) <= room))
