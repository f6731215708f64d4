"""Anchors matched to boxes (6,000 x 20, batch 32) and boxes suppressed (6,000), beside torch.

Torch as the D2L book writes it: a loop over images, and inside over boxes. The results are the
mean box an anchor answers for, and the mean index of the boxes that are kept.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.peers._side import Row, Side
from jaxdl import ops

BATCH = 32


def anchors() -> np.ndarray:
    """6,000 of them: five maps with four boxes a cell, and some of the coarse ones moved."""
    sizes = [(0.1, 0.141), (0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.88, 0.961)]
    maps = [(32, 32), (16, 16), (8, 8), (4, 4), (1, 1)]
    placed = np.asarray(ops.pyramid_anchor_boxes(maps, sizes, [(1.0, 2.0, 0.5)] * 5))
    return np.concatenate([placed, placed[len(placed) - 6000 :] + np.float32(0.003)])


def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    center, extent = rng.uniform(0.1, 0.9, (BATCH, 20, 2)), rng.uniform(0.05, 0.4, (BATCH, 20, 2))
    return np.concatenate([center - extent / 2, center + extent / 2], -1).astype(np.float32)


def predicted() -> tuple[np.ndarray, np.ndarray]:
    rng, placed = np.random.default_rng(1), anchors()
    boxes = (placed + 0.02 * rng.normal(size=(BATCH, *placed.shape))).astype(np.float32)
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + 0.01)
    return boxes, rng.random(boxes.shape[:2]).astype(np.float32)


def matching(smoke: bool) -> Side:
    placed, boxes = jnp.asarray(anchors()), jnp.asarray(truth()[: 2 if smoke else BATCH])
    match = jax.jit(ops.match_anchors)
    return Side(lambda: match(placed, boxes), len(boxes), float(match(placed, boxes)[0].mean()))


def suppression(smoke: bool) -> Side:
    boxes, scores = (jnp.asarray(a[: 2 if smoke else BATCH]) for a in predicted())

    @jax.jit
    def suppress(boxes: jax.Array, scores: jax.Array) -> jax.Array:
        return ops.nms(boxes, scores, iou_threshold=0.5, max_outputs=boxes.shape[1])

    first = np.asarray(suppress(boxes, scores)[0])
    return Side(lambda: suppress(boxes, scores), len(boxes), float(first[first >= 0].mean()))


def torch_iou(a: Any, b: Any) -> Any:
    import torch

    def area(boxes: Any) -> Any:
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    low, high = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    return inter / (area(a)[:, None] + area(b) - inter)


def torch_matching(smoke: bool) -> Side:
    import torch

    placed, boxes = torch.tensor(anchors()), torch.tensor(truth()[: 2 if smoke else BATCH])

    def match(truth: Any) -> Any:
        iou = torch_iou(placed, truth)
        answer = torch.full((len(placed),), -1)
        best, column = iou.max(1)
        answer[best >= 0.5] = column[best >= 0.5]
        for _ in range(len(truth)):
            row, box = divmod(int(iou.argmax()), len(truth))
            answer[row] = box
            iou[:, box] = -1
            iou[row, :] = -1
        return answer

    result = float(match(boxes[0]).float().mean())
    return Side(lambda: [match(image) for image in boxes], len(boxes), result)


def torch_suppression(smoke: bool) -> Side:
    import torch

    boxes, scores = (torch.tensor(a[:2]) for a in predicted())  # two are enough to tell the rate

    def suppress(boxes: Any, scores: Any) -> Any:
        order, kept = scores.argsort(descending=True), []
        while len(order):
            kept.append(order[0])
            rest = order[1:]
            iou = torch_iou(boxes[order[:1]], boxes[rest])[0]
            order = rest[iou <= 0.5]
        return torch.stack(kept)

    result = float(suppress(boxes[0], scores[0]).float().mean())
    pairs = list(zip(boxes, scores, strict=True))
    return Side(lambda: [suppress(*pair) for pair in pairs], len(pairs), result)


ROWS = {
    "matching": Row({"jaxdl": matching, "torch": torch_matching}, "images", 1e-6),
    "nms": Row({"jaxdl": suppression, "torch": torch_suppression}, "images", 1e-6),
}
