"""Regions of a detector in two steps: those to train on, and the best of a proposal network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdl.ops._anchors import decode_boxes, encode_boxes
from jaxdl.ops._boxes import box_iou, clip_boxes
from jaxdl.ops._nms import nms


class RegionSamples(NamedTuple):
    """Regions of an image that the second step is trained on."""

    boxes: jax.Array  # [..., S, 4]
    classes: jax.Array  # int32 [..., S]: 0 background, else 1 + the label
    offsets: jax.Array  # [..., S, 4], 0 for background
    mask: jax.Array  # bool [..., S]: False where there was none left to draw


def sample_regions(
    key: jax.Array,
    proposals: jax.Array,
    mask: jax.Array,
    boxes: jax.Array,
    classes: jax.Array,
    *,
    num_samples: int = 64,
    positive_share: float = 0.25,
    iou_threshold: float = 0.5,
) -> RegionSamples:
    """Draws positives and negatives among the proposals of an image, and its ground truth.

    >>> proposals, mask = jnp.array([[0.0, 0.5, 0.5, 1.0]]), jnp.array([True])  # meets no object
    >>> boxes, classes = jnp.array([[0.0, 0.0, 0.5, 0.5]]), jnp.array([7])
    >>> drawn = sample_regions(jax.random.key(0), proposals, mask, boxes, classes, num_samples=4)
    >>> drawn.classes, drawn.mask  # 1 + 7, the object itself; one negative, and one is lacking
    (Array([8, 0, 0], dtype=int32), Array([ True,  True, False], dtype=bool))

    Args:
        proposals, mask: `[R, 4]` and boolean `[R]`.
        boxes, classes: ground truth `[M, 4]` and `[M]`, negative classes are padding.
        num_samples: S.
        positive_share: so many of S at most are positive, the others negative.
        iou_threshold: positive from here on, for the object of the greatest IoU.
    Returns: RegionSamples of that image; no gradient goes to the proposals.
    """
    boxes, classes = jnp.asarray(boxes), jnp.asarray(classes)
    all_boxes = lax.stop_gradient(jnp.concatenate([proposals, boxes]))
    real = jnp.concatenate([mask, classes >= 0])
    iou = jnp.where((classes >= 0)[:, None], box_iou(boxes, all_boxes), 0)
    best, own = jnp.max(iou, axis=0), jnp.argmax(iou, axis=0)
    positive = real & (best >= iou_threshold)
    luck = jax.random.uniform(key, best.shape)
    num_positives = min(round(num_samples * positive_share), len(luck))
    num_negatives = min(num_samples - num_positives, len(luck))
    drawn = [
        lax.top_k(jnp.where(kind, luck, -1.0), count)
        for kind, count in ((positive, num_positives), (real & ~positive, num_negatives))
    ]
    score, index = (jnp.concatenate(part) for part in zip(*drawn, strict=True))
    kept = score >= 0
    of_object = kept & (jnp.arange(len(index)) < num_positives)
    object_boxes, regions = boxes[own[index]], all_boxes[index]
    offsets = encode_boxes(object_boxes, regions)
    return RegionSamples(
        regions,
        jnp.where(of_object, 1 + classes[own[index]], 0).astype(jnp.int32),
        jnp.where(of_object[:, None], offsets, 0),
        kept,
    )


def best_proposals(
    logits: jax.Array,
    offsets: jax.Array,
    anchors: jax.Array,
    *,
    num_proposals: int = 100,
    iou_threshold: float = 0.7,
) -> tuple[jax.Array, jax.Array]:
    """The surest boxes of a proposal network after suppression, `[B, R, 4]`, and their mask.

    >>> logits, offsets = jnp.array([[[0.0, 2.0], [0.0, 3.0]]]), jnp.zeros((1, 2, 4))
    >>> anchors = jnp.array([[0.0, 0.0, 0.5, 0.5], [0.25, 0.75, 0.75, 1.25]])
    >>> best_proposals(logits, offsets, anchors, num_proposals=3)
    (Array([[[0.25, 0.75, 0.75, 1.  ],
             [0.  , 0.  , 0.5 , 0.5 ],
             [0.  , 0.  , 0.5 , 0.5 ]]], dtype=float32), Array([[ True,  True, False]], dtype=bool))

    Args: logits and offsets of `FastRCNN.propose`, anchors of its `anchors`.
    Returns: boxes without gradient, cut at the border of the image; where the mask is False
        they mean nothing.
    """
    boxes = decode_boxes(offsets, jnp.broadcast_to(anchors, offsets.shape))
    boxes = lax.stop_gradient(clip_boxes(boxes))
    scores = lax.stop_gradient(logits[..., 1] - logits[..., 0])
    index = nms(boxes, scores, iou_threshold=iou_threshold, max_outputs=num_proposals)
    return jnp.take_along_axis(boxes, jnp.maximum(index, 0)[..., None], axis=1), index >= 0
