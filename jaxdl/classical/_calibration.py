"""Probabilities that mean what they say, and sets and intervals that hold the truth as promised.

All of it is fitted on examples that the model was not trained on.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

_LOWEST, _HIGHEST = -7.0, 7.0  # of the logarithm of a temperature


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """The temperature T at which `softmax(logits / T)` has the least cross entropy.

    Above 1 where a network is too sure. No decision changes. The minimum is found by halving the
    range of log T on the sign of the slope, since the loss has one minimum in `1 / T`.

    >>> logits = jnp.array([[4.0, 0.0]] * 3 + [[0.0, 4.0]])  # right three times of four
    >>> round(float(fit_temperature(logits, jnp.zeros(4, int))), 3)  # 4 / log 3
    3.641

    Args:
        logits: `[N, K]`.
        labels: `[N]` integers.
    Returns: a scalar, from 1e-3 to 1e3; at an end where every or no decision is right.
    Raises: ValueError if the shapes do not fit.
    Reference: Guo et al., On calibration of modern neural networks, 2017.
    """
    logits, labels = jnp.asarray(logits).astype(jnp.float32), jnp.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"need logits [N, K] and labels [N], got {logits.shape}, {labels.shape}")
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)

    def slope(log_t: jax.Array) -> jax.Array:
        """Derivative of the mean loss by `1 / T`: expected logit less that of the label."""
        expected = jnp.sum(jax.nn.softmax(logits * jnp.exp(-log_t)) * logits, axis=1)
        return jnp.mean(expected - chosen[:, 0])

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        hotter = slope(middle) > 0  # 1 / T is too large
        return jnp.where(hotter, middle, low), jnp.where(hotter, high, middle)

    low, high = jax.lax.fori_loop(0, 40, halve, (jnp.float32(_LOWEST), jnp.float32(_HIGHEST)))
    return jnp.exp((low + high) / 2)


def conformal_quantile(scores: ArrayLike, coverage: float) -> float:
    """The score that a new example stays below or at, with a chance of at least `coverage`.

    The `ceil((N + 1) coverage)`-th smallest of N scores: whatever the model and its scores, the
    chance is at least `coverage` and at most `coverage + 1 / (N + 1)` where no two scores are
    equal, as long as the new example is drawn like the N.

    >>> conformal_quantile(np.arange(1.0, 20.0), 0.9), conformal_quantile([1.0, 2.0], 0.9)
    (18.0, inf)

    Args:
        scores: `[N]`, on the host, each the greater the worse the model did: `|y - prediction|`, or
            one less the probability of the label. N may be 0.
        coverage: in (0, 1).
    Returns: the score; inf where N is too small to promise anything.
    Raises: ValueError for a coverage that is no share, scores that are no list or hold NaN.
    Reference: Vovk, Gammerman & Shafer, Algorithmic learning in a random world, 2005; Lei et al.
        2018.
    """
    scores = np.sort(np.asarray(scores, float))
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie in (0, 1), got {coverage}")
    if scores.ndim != 1 or np.isnan(scores).any():
        raise ValueError(f"scores need a shape [N] and no NaN, got shape {scores.shape}")
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


def conformal_sets(
    probabilities: ArrayLike, labels: ArrayLike, new: ArrayLike, *, coverage: float = 0.9
) -> np.ndarray:
    """For each new example the classes among which its own is, with a chance of `coverage`.

    >>> seen = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
    >>> conformal_sets(seen, [0, 0, 1, 0], np.array([[0.95, 0.05], [0.6, 0.4]]), coverage=0.6)
    array([[ True, False],
           [False, False]])

    Args:
        probabilities, labels: `[N, K]` and `[N]` of examples the model was not trained on.
        new: `[M, K]`, probabilities of the new ones.
        coverage: as in `conformal_quantile`; on average over examples, not for each class.
    Returns: booleans `[M, K]`: the classes whose probability is at least one less the quantile of
        those that the labels missed (the least sets on average; some may be empty).
    Raises: ValueError if the shapes do not fit.
    Reference: Sadinle, Lei & Wasserman, Least ambiguous set-valued classifiers, 2019.
    """
    probabilities, new = np.asarray(probabilities, float), np.asarray(new, float)
    labels = np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"need probabilities [N, K] and labels [N], got {probabilities.shape}, {labels.shape}"
        )
    if new.ndim != 2 or new.shape[1] != probabilities.shape[1]:
        raise ValueError(f"new needs a shape [M, {probabilities.shape[1]}], got {new.shape}")
    missed = 1 - probabilities[np.arange(len(labels)), labels]
    return 1 - new <= conformal_quantile(missed, coverage)


def conformal_interval(
    predictions: ArrayLike, targets: ArrayLike, new: ArrayLike, *, coverage: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """For each new prediction a low and a high end that hold the target with such a chance.

    >>> targets = np.arange(1.0, 10.0)  # predictions of 0 miss by 1 to 9
    >>> conformal_interval(np.zeros(9), targets, np.array([5.0]), coverage=0.8)
    (array([-3.]), array([13.]))

    Args:
        predictions, targets: `[N]` of examples the model was not trained on.
        new: predictions `[M]`.
        coverage: as in `conformal_quantile`.
    Raises: ValueError if the shapes do not fit.
    """
    predictions, targets = np.asarray(predictions, float), np.asarray(targets, float)
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions and targets need one shape [N], got {predictions.shape}, {targets.shape}"
        )
    reach = conformal_quantile(np.abs(targets - predictions), coverage)
    new = np.asarray(new, float)
    return new - reach, new + reach
