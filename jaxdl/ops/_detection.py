"""From what a detector says of its anchors or regions to boxes, suppressed class by class."""

from typing import Protocol

import jax
import jax.numpy as jnp

from jaxdl.ops._anchors import decode_boxes
from jaxdl.ops._boxes import clip_boxes
from jaxdl.ops._nms import Detections, multiclass_nms


class Predictions(Protocol):
    """`models.Predictions` of anchors, or `models.RegionPredictions`."""

    @property
    def logits(self) -> jax.Array: ...

    @property
    def offsets(self) -> jax.Array: ...


def detect_regions(
    predictions: Predictions,
    proposals: jax.Array,
    mask: jax.Array,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.01,
    max_outputs: int = 100,
) -> Detections:
    """Boxes of each class, decoded from proposals, cut at the border, suppressed class by class.

    >>> from jaxdl import models
    >>> outputs = models.RegionPredictions(jnp.array([[[0.0, 0.0, 9.0]]]), jnp.zeros((1, 1, 2, 4)))
    >>> proposals, mask = jnp.array([[[0.0, 0.5, 0.5, 1.0]]]), jnp.array([[True]])
    >>> found = detect_regions(outputs, proposals, mask, max_outputs=1)
    >>> found.classes, found.boxes
    (Array([[1]], dtype=int32), Array([[[0. , 0.5, 0.5, 1. ]]], dtype=float32))

    Args: of B images; thresholds and size as `ops.multiclass_nms`.
    """
    probabilities = jax.nn.softmax(predictions.logits.astype(jnp.float32), axis=-1)
    start = jnp.broadcast_to(proposals[..., None, :], predictions.offsets.shape)
    return multiclass_nms(
        clip_boxes(decode_boxes(predictions.offsets, start)),
        probabilities,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_outputs=max_outputs,
        mask=mask,
    )


def detect(
    predictions: Predictions,
    anchors: jax.Array,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.01,
    max_outputs: int = 100,
) -> Detections:
    """Boxes in shares of the image, decoded, cut at its border and suppressed class by class.

    >>> from jaxdl import models
    >>> predictions = models.Predictions(jnp.array([[[0.0, 0.0, 9.0]]]), jnp.zeros((1, 1, 4)))
    >>> found = detect(predictions, jnp.array([[0.5, 0.5, 1.5, 1.0]]), max_outputs=1)
    >>> found.classes, found.boxes
    (Array([[1]], dtype=int32), Array([[[0.5, 0.5, 1. , 1. ]]], dtype=float32))

    Args:
        predictions: of B images.
        anchors: `[A, 4]`, of the model's `anchors`.
        iou_threshold, score_threshold, max_outputs: as `ops.multiclass_nms`.
    """
    probabilities = jax.nn.softmax(predictions.logits.astype(jnp.float32), axis=-1)
    anchors = jnp.broadcast_to(anchors, predictions.offsets.shape)
    boxes = clip_boxes(decode_boxes(predictions.offsets, anchors))
    return multiclass_nms(
        boxes, probabilities, iou_threshold=iou_threshold, score_threshold=score_threshold,
        max_outputs=max_outputs,
    )  # fmt: skip
