"""Losses for classes, from logits, one number per example."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks


def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> jax.Array:
    """Categorical cross entropy, `-sum_k q_k log softmax(z)_k`, in nats.

    >>> softmax_cross_entropy(jnp.array([[0.0, 0.0]]), jnp.array([1]))
    Array([0.6931472], dtype=float32)

    Args:
        logits: `[..., K]`, computed in float32 or wider; -inf rules a class out.
        labels: integers `[...]` in 0..K-1, or probabilities `[..., K]` (one-hot, say).
        label_smoothing: s in [0, 1): the target becomes `(1 - s) q + s / K`, as in Szegedy et al.
            2016, sec. 7.
        z_loss: c, which adds `c log(sum_k exp z_k)^2` and so keeps logits from drifting together
            (Chowdhery et al. 2022, PaLM, sec. 5: 1e-4).
    Returns: `[...]`, >= 0. An integer outside 0..K-1 gives NaN with a gradient of zero: masks hide
        it, a mean shows it.
    Raises: ValueError if the shapes do not fit, `label_smoothing` is outside [0, 1), `z_loss` is
        negative, or labels on the host (NumPy) are out of range.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
    if z_loss < 0:
        raise ValueError(f"z_loss must not be negative, got {z_loss}")
    scores = _scores(logits)
    log_p = jax.nn.log_softmax(scores, axis=-1)
    nll = -_select(log_p, labels)
    if label_smoothing:
        nll = (1 - label_smoothing) * nll - label_smoothing * jnp.mean(log_p, axis=-1)
    if z_loss:
        nll = nll + z_loss * jax.nn.logsumexp(scores, axis=-1) ** 2
    return nll


def sigmoid_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Binary cross entropy, `-y log s(z) - (1 - y) log(1 - s(z))`, in nats, of each logit.

    With labels `[B, L]` every label is a yes-or-no question of its own (multi-label); their sum or
    mean over L is the caller's.

    >>> sigmoid_cross_entropy(jnp.array([0.0, 2.0]), jnp.array([1, 0]))
    Array([0.693, 2.127], dtype=float32)

    Args:
        logits: any shape, computed in float32 or wider.
        labels: the same shape, 0 or 1, booleans, or probabilities between.
    Returns: the shape of the logits, >= 0.
    Raises: ValueError if the shapes differ.
    """
    logits, labels = _checks.wide(logits), jnp.asarray(labels)
    _checks.same_shape(logits=logits, labels=labels)
    labels = labels.astype(logits.dtype)
    return jax.nn.softplus(-logits) * labels + jax.nn.softplus(logits) * (1 - labels)


def masked_sigmoid_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, mask: ArrayLike
) -> jax.Array:
    """Binary cross entropy of each row, the mean over the places its mask keeps.

    >>> logits, labels = jnp.array([[0.0, 0.0, 9.0]]), jnp.array([[1, 0, 0]])
    >>> masked_sigmoid_cross_entropy(logits, labels, jnp.array([[True, True, False]]))
    Array([0.693], dtype=float32)

    Args:
        logits, labels, mask: one shape `[..., N]`; a row is one example, such as a center word with
            its contexts and negatives.
    Returns: `[...]`, `sum_n m_n l_n / sum_n m_n`, and 0 where a row is masked throughout.
    Raises: ValueError if the shapes differ.
    """
    logits, labels, mask = _scores(logits), jnp.asarray(labels), jnp.asarray(mask)
    _checks.same_shape(logits=logits, labels=labels, mask=mask)
    kept = mask.astype(logits.dtype)
    # Masked before the loss: 0 times the slope at a NaN is NaN.
    logits, labels = (jnp.where(kept == 0, 0, array) for array in (logits, labels))
    loss = sigmoid_cross_entropy(logits, labels)
    total = jnp.sum(kept, axis=-1)
    return jnp.sum(kept * loss, axis=-1) / jnp.where(total == 0, 1, total)


def softmax_kl_divergence(logits: ArrayLike, probabilities: ArrayLike) -> jax.Array:
    """`KL(p || softmax(z)) = sum_k p_k (log p_k - log softmax(z)_k)`, in nats.

    >>> softmax_kl_divergence(jnp.array([0.0, 0.0]), jnp.array([1.0, 0.0]))  # log 2
    Array(0.693, dtype=float32)

    Args:
        logits, probabilities: one shape `[..., K]`; terms with `p_k = 0` count 0.
    Returns: `[...]`, the cross entropy less the entropy of p, >= 0 up to rounding.
    Raises: ValueError if the shapes differ.
    """
    logits, p = _scores(logits), _checks.wide(probabilities)
    _checks.same_shape(logits=logits, probabilities=p)
    entropy = -jnp.sum(p * jnp.log(jnp.where(p > 0, p, 1)), axis=-1)
    return softmax_cross_entropy(logits, p.astype(logits.dtype)) - entropy


def hinge_loss(
    scores: ArrayLike, signs: ArrayLike, *, margin: float = 1.0, squared: bool = False
) -> jax.Array:
    """Hinge loss of a two-class score, `max(0, margin - y s)`, or its square.

    >>> hinge_loss(jnp.array([2.0, 0.5, -1.0]), jnp.array([1, 1, 1]))
    Array([0., 0.5, 2.], dtype=float32)

    Args:
        scores: any shape.
        signs: the same shape, -1 or +1.
    Returns: the shape of the scores; the slope at the kink is 0.
    Raises: ValueError if the shapes differ, or signs on the host are not -1 or +1.
    """
    _checks.one_of("signs", signs, (-1, 1))
    scores, signs = _checks.wide(scores), jnp.asarray(signs)
    _checks.same_shape(scores=scores, signs=signs)
    loss = jax.nn.relu(margin - signs.astype(scores.dtype) * scores)
    return jnp.square(loss) if squared else loss


def multiclass_hinge_loss(
    scores: ArrayLike, labels: ArrayLike, *, margin: float = 1.0
) -> jax.Array:
    """Crammer and Singer's hinge, `max(0, margin + max_{j != y} s_j - s_y)`.

    scikit-learn's `hinge_loss`; torch's `MultiMarginLoss` averages over the classes instead.

    >>> multiclass_hinge_loss(jnp.array([[3.0, 2.5, 0.0]]), jnp.array([0]))
    Array([0.5], dtype=float32)

    Args:
        scores: `[..., K]` with K >= 2.
        labels: integers `[...]`; one outside 0..K-1 gives NaN.
    Raises: ValueError if the shapes do not fit, or labels on the host are out of range.
    """
    scores = _scores(scores)
    own = _select(scores, labels)
    others = jnp.where(_one_hot(labels, scores.shape[-1]), -jnp.inf, scores)
    return jax.nn.relu(margin + jnp.max(others, axis=-1) - own)


def sigmoid_focal_loss(
    logits: ArrayLike, labels: ArrayLike, *, gamma: float = 2.0, alpha: float | None = None
) -> jax.Array:
    """Binary focal loss, `-a_t (1 - p_t)^gamma log p_t` (Lin et al. 2017, arXiv:1708.02002).

    >>> sigmoid_focal_loss(jnp.array([0.0, 9.0]), jnp.array([1, 1]))  # .5^2 log 2
    Array([0.173, 0.], dtype=float32)

    Args:
        logits, labels: one shape; labels 0 or 1.
        gamma: >= 0; at 0 it is the binary cross entropy.
        alpha: weight of the positives, `1 - alpha` that of the negatives; the paper's is 0.25 with
            gamma 2. None weighs both with 1.
    Returns: the shape of the logits.
    Raises: ValueError if the shapes differ, gamma is negative, or alpha is outside [0, 1].
    """
    if gamma < 0 or (alpha is not None and not 0 <= alpha <= 1):
        raise ValueError(f"need gamma >= 0 and alpha in [0, 1], got {gamma} and {alpha}")
    logits, labels = _checks.wide(logits), jnp.asarray(labels)
    nll = sigmoid_cross_entropy(logits, labels)
    labels = labels.astype(logits.dtype)
    # log(1 - p_t) straight from the logit, so that neither the power nor its slope overflows.
    log_miss = jax.nn.log_sigmoid(logits * (1 - 2 * labels))
    loss = jnp.exp(gamma * log_miss) * nll
    return loss if alpha is None else loss * (alpha * labels + (1 - alpha) * (1 - labels))


def softmax_focal_loss(logits: ArrayLike, labels: ArrayLike, *, gamma: float = 2.0) -> jax.Array:
    """Focal loss over classes, `-(1 - p_y)^gamma log p_y`, p the softmax of `[..., K]` logits.

    >>> softmax_focal_loss(jnp.array([[0.0, 0.0]]), jnp.array([1]))  # .5^2 log 2
    Array([0.173], dtype=float32)

    Args, Returns, Raises: as `softmax_cross_entropy` with integer labels; gamma >= 0.
    """
    if gamma < 0:
        raise ValueError(f"need gamma >= 0, got {gamma}")
    logits = _scores(logits)
    nll = softmax_cross_entropy(logits, labels)
    # 1 - p_y as the sum of the others, so that nothing cancels when p_y is close to 0 or 1.
    others = jnp.where(_one_hot(labels, logits.shape[-1]), 0, jax.nn.softmax(logits, axis=-1))
    miss = jnp.sum(others, axis=-1)
    possible = miss > 0
    factor = jnp.where(possible, jnp.where(possible, miss, 1) ** gamma, 0.0**gamma)
    # NaN from labels out of range stays in nll alone: a product would carry it to the gradient.
    known = jnp.isfinite(nll)
    return jnp.where(known, factor * jnp.where(known, nll, 0), nll)


def _scores(values: ArrayLike) -> jax.Array:
    array = _checks.wide(values)
    if array.ndim == 0:
        raise ValueError("logits need a last axis of classes, got a scalar")
    return array


def _one_hot(labels: ArrayLike, num_classes: int) -> jax.Array:
    return jax.nn.one_hot(labels, num_classes, dtype=bool)


def _select(values: jax.Array, labels: ArrayLike) -> jax.Array:
    """`sum_k q_k v_k` for labels as classes (NaN out of range) or as probabilities q."""
    num_classes = values.shape[-1]
    if jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        if jnp.shape(labels) != values.shape[:-1]:
            raise ValueError(
                f"integer labels need shape {values.shape[:-1]} for logits {values.shape}, "
                f"got {jnp.shape(labels)}"
            )
        _checks.integers_in("labels", labels, num_classes)
        labels = jnp.asarray(labels)
        # Negative integers would count from the end, so they are sent out of range first.
        index = jnp.where(labels < 0, num_classes, labels)[..., None]
        picked = jnp.take_along_axis(values, index, axis=-1, mode="fill", fill_value=math.nan)
        return picked[..., 0]
    labels = jnp.asarray(labels)
    if labels.shape != values.shape:
        raise ValueError(
            f"labels are integers {values.shape[:-1]}, or probabilities in the shape of the logits "
            f"{values.shape}; got {labels.dtype} {labels.shape}"
        )
    return jnp.sum(labels * jnp.where(labels == 0, 0, values), axis=-1)
