"""Non-maximum suppression with outputs of a fixed size, for `jit` and `vmap`."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxdl import _checks
from jaxdl.ops._anchors import each_image, first_argmax
from jaxdl.ops._boxes import box_iou


def nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    *,
    iou_threshold: float,
    max_outputs: int,
    mask: ArrayLike | None = None,
    classes: ArrayLike | None = None,
) -> jax.Array:
    """Keeps the box of the greatest score, removes those that overlap it more, and so on.

    >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [3.0, 3.0, 4.0, 4.0]])
    >>> nms(boxes, jnp.array([0.8, 0.9, 0.7]), iou_threshold=0.5, max_outputs=4)
    Array([ 1,  2, -1, -1], dtype=int32)

    Args:
        boxes: `[..., N, 4]`.
        scores: `[..., N]`; among equals the lower index comes first, and NaN and -inf never come.
        iou_threshold: boxes with an IoU above it (not at it) are removed, as in torchvision.
        max_outputs: how many may be kept.
        mask: boolean `[..., N]`, False where there is no box.
        classes: integers `[..., N]`: only boxes of one class remove each other.
    Returns: int32 `[..., max_outputs]`, indices of the kept by falling score, then -1.
    Raises: ValueError if the shapes do not fit or the numbers are out of range.
    """
    _in_unit("iou_threshold", iou_threshold)
    args = _arguments(boxes, scores, mask, classes, max_outputs)
    return _pick(_remove, max_outputs, (iou_threshold,), *args)[0]


def soft_nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    *,
    max_outputs: int,
    sigma: float | None = 0.5,
    iou_threshold: float = 0.3,
    score_threshold: float = 0.001,
    mask: ArrayLike | None = None,
    classes: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Suppression that lowers the scores of overlapping boxes in place of removing them.

    A box of IoU u with the one just kept has its score multiplied by `exp(-u^2 / sigma)`, or with
    `sigma=None` by `1 - u` where `u > iou_threshold` (linear; the threshold serves it alone).

    >>> boxes = jnp.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]])
    >>> soft_nms(boxes, jnp.array([0.9, 0.8, 0.7]), max_outputs=3)
    (Array([0, 2, 1], dtype=int32), Array([0.9, 0.7, 0.108], dtype=float32))

    Args:
        boxes, max_outputs, mask, classes: as `nms`.
        scores: `[..., N]`, not negative.
        score_threshold: a box whose score has come down to it or below is out; >= 0.
    Returns: int32 indices `[..., max_outputs]`, then -1, and the lowered scores, then 0.
    Raises: ValueError if the shapes do not fit or the numbers are out of range.
    Reference: Bodla et al. 2017, arXiv:1704.04503.
    """
    _in_unit("iou_threshold", iou_threshold)
    if score_threshold < 0 or (sigma is not None and sigma <= 0):
        raise ValueError(f"need score_threshold >= 0, sigma > 0: {score_threshold}, {sigma}")

    _checks.not_negative("scores", scores)
    boxes, scores, classes = _arguments(boxes, scores, mask, classes, max_outputs)
    scores = jnp.where(scores > score_threshold, scores, -jnp.inf)
    lower = _linear if sigma is None else _gaussian
    options = (iou_threshold if sigma is None else sigma, score_threshold)
    return _pick(lower, max_outputs, options, boxes, scores, classes)


class Detections(NamedTuple):
    """Boxes found in an image by falling score, padded to a fixed number D."""

    boxes: jax.Array  # [..., D, 4]
    scores: jax.Array  # [..., D], 0 on padding
    classes: jax.Array  # int32 [..., D]: 0..K-1, without background; -1 on padding
    mask: jax.Array  # bool [..., D]: False on padding


def multiclass_nms(
    boxes: ArrayLike,
    probabilities: ArrayLike,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.01,
    max_outputs: int = 100,
    mask: ArrayLike | None = None,
) -> Detections:
    """Suppression in every class on its own, then the best of all; background is never kept.

    >>> boxes = jnp.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9]])
    >>> found = multiclass_nms(boxes, jnp.array([[0.4, 0.6], [0.1, 0.9]]), max_outputs=2)
    >>> found.scores, found.classes, found.mask
    (Array([0.9, 0.], dtype=float32), Array([0, -1], dtype=int32), Array([True, False], dtype=bool))

    Args:
        boxes: `[..., N, 4]`, or `[..., N, K, 4]` with a box for each class.
        probabilities: `[..., N, 1 + K]`, background first, the classes 0..K-1 after it.
        iou_threshold, mask: as `nms`.
        score_threshold: a box is a candidate of each class whose probability is above it; >= 0.
        max_outputs: D.
    Returns: Detections; one box may come in several classes.
    Raises: ValueError if the shapes do not fit or the numbers are out of range.
    """
    boxes, probabilities = jnp.asarray(boxes), _checks.wide(probabilities)
    num_classes = probabilities.shape[-1] - 1 if probabilities.ndim > 1 else 0
    mask = jnp.ones(probabilities.shape[:-1], bool) if mask is None else jnp.asarray(mask)
    one_box = (*mask.shape, 4)
    if (
        num_classes < 1
        or not mask.shape[-1]
        or max_outputs < 1
        or mask.shape != probabilities.shape[:-1]
        or boxes.shape not in (one_box, (*mask.shape, num_classes, 4))
        or score_threshold < 0
    ):
        raise ValueError(
            "need boxes [..., N, 4] or [..., N, K, 4], probabilities [..., N, 1 + K], mask "
            "[..., N], score_threshold >= 0 and max_outputs >= 1, got "
            f"{boxes.shape}, {probabilities.shape}, {mask.shape}, {score_threshold}, {max_outputs}"
        )
    boxes = boxes[..., None, :] if boxes.shape == one_box else boxes
    options = iou_threshold, score_threshold
    return _multiclass(max_outputs, options, boxes, probabilities, mask)


@functools.partial(jax.jit, static_argnums=0)
def _multiclass(max_outputs: int, options: tuple[float, float], *args: jax.Array) -> Detections:
    iou_threshold, score_threshold = options

    def one(boxes: jax.Array, probabilities: jax.Array, mask: jax.Array) -> Detections:
        scores = probabilities[:, 1:].T  # [K, N]
        of_class = jnp.broadcast_to(jnp.swapaxes(boxes, 0, 1), (*scores.shape, 4))
        candidates = jnp.where((scores > score_threshold) & mask[None], scores, -jnp.inf)
        alike = jnp.zeros(scores.shape, jnp.int32)
        index, scores = _pick(_remove, max_outputs, (iou_threshold,), of_class, candidates, alike)
        own = jnp.take_along_axis(of_class, jnp.maximum(index, 0)[..., None], axis=1)
        scores, best = lax.top_k(scores.reshape(-1), max_outputs)
        found = scores > 0
        kept = jnp.where(found[:, None], own.reshape(-1, 4)[best], 0)
        return Detections(kept, scores, jnp.where(found, best // max_outputs, -1), found)

    return each_image(one, args[-1].ndim - 1, *args)


def _remove(scores: jax.Array, iou: jax.Array, iou_threshold: jax.Array) -> jax.Array:
    return jnp.where(iou > iou_threshold, -jnp.inf, scores)


def _gaussian(scores: jax.Array, iou: jax.Array, sigma: jax.Array, least: jax.Array) -> jax.Array:
    scores = scores * jnp.exp(-jnp.square(iou) / sigma)
    return jnp.where(scores > least, scores, -jnp.inf)


def _linear(
    scores: jax.Array, iou: jax.Array, iou_threshold: jax.Array, least: jax.Array
) -> jax.Array:
    scores = scores * jnp.where(iou > iou_threshold, 1 - iou, 1)
    return jnp.where(scores > least, scores, -jnp.inf)


def _arguments(
    boxes: ArrayLike,
    scores: ArrayLike,
    mask: ArrayLike | None,
    classes: ArrayLike | None,
    max_outputs: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Boxes, scores with -inf for what is never kept, and classes."""
    boxes, scores = _checks.wide(boxes), _checks.wide(scores)
    mask = jnp.ones(scores.shape, bool) if mask is None else jnp.asarray(mask)
    classes = jnp.zeros(scores.shape, jnp.int32) if classes is None else jnp.asarray(classes)
    _checks.same_shape(scores=scores, mask=mask, classes=classes)
    if boxes.shape != (*scores.shape, 4) or scores.ndim == 0 or max_outputs < 0:
        raise ValueError(
            "need boxes [..., N, 4], scores [..., N] and max_outputs >= 0, "
            f"got {boxes.shape}, {scores.shape} and {max_outputs}"
        )
    return boxes, jnp.where(mask & ~jnp.isnan(scores), scores, -jnp.inf), classes


@functools.partial(jax.jit, static_argnums=(0, 1))
def _pick(
    lower: Callable[..., jax.Array],
    max_outputs: int,
    options: tuple[float, ...],
    boxes: jax.Array,
    scores: jax.Array,
    classes: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Picks boxes one by one until only -inf is left; `lower(scores, iou, *options)` after each.

    Returns: their indices `[..., max_outputs]`, then -1, and their scores, then 0.
    """
    if not scores.shape[-1]:
        shape = (*scores.shape[:-1], max_outputs)
        return jnp.full(shape, -1, jnp.int32), jnp.zeros(shape, scores.dtype)

    def pick(boxes: jax.Array, scores: jax.Array, classes: jax.Array):
        def step(state):
            count, scores, indices, values = state
            best, index = first_argmax(scores)
            iou = box_iou(boxes[index][None], boxes)[0]
            iou = jnp.where(classes == classes[index], iou, 0)
            scores = lower(scores, iou, *options).at[index].set(-jnp.inf)
            return count + 1, scores, indices.at[count].set(index), values.at[count].set(best)

        def more(state):
            return (state[0] < max_outputs) & (jnp.max(state[1]) > -jnp.inf)

        empty = jnp.full(max_outputs, -1, jnp.int32), jnp.zeros(max_outputs, scores.dtype)
        return lax.while_loop(more, step, (0, scores, *empty))[2:]

    return each_image(pick, scores.ndim - 1, boxes, scores, classes)


def _in_unit(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in 0..1, got {value}")
