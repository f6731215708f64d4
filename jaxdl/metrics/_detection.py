"""Average precision of detected boxes, by the rules of COCO and of PASCAL VOC."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jax.typing import ArrayLike

from jaxdl import _checks, ops

Matching = Literal["coco", "voc"]
Interpolation = Literal["coco", "voc", "voc11"]
COCO_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_MISS, _IGNORED, _HIT = -1, 0, 1


@struct.dataclass
class MeanAveragePrecision:
    """Mean over classes of the area under the precision-recall curve of boxes.

    A detection is a hit if it overlaps a ground truth of its class, not found before by a surer
    one, by at least the IoU threshold; surest first, and equal scores in the order of images. Two
    rules say which:

    - "coco": the greatest IoU among those not found yet (the last among equals). Ignored ground
      truth is a crowd: its IoU is the share of the detection inside it, and it takes any number.
    - "voc": the greatest IoU of all (the first among equals); if that is found already, the
      detection is a miss. Ignored ground truth ("difficult") is like any other.

    Detections of ignored ground truth count neither as hits nor as misses.

    >>> box, k, sure = jnp.array([[[0.0, 0.0, 1.0, 1.0]]]), jnp.array([[0]]), jnp.array([[0.9]])
    >>> found = ops.Detections(box, sure, k, jnp.array([[True]]))
    >>> MeanAveragePrecision.from_batch(found, box, k, num_classes=1).compute()["mAP"]
    1.0
    """

    scores: jax.Array  # [N] float32
    classes: jax.Array  # [N] int32, -1 an empty place
    hits: jax.Array  # [N, T] int8: at each IoU threshold 1 hit, -1 miss, 0 ignored
    positives: jax.Array  # [K] int32, ground truths to be found
    dropped: jax.Array  # int32, how many detections found no place
    thresholds: tuple[float, ...] = struct.field(pytree_node=False, default=COCO_THRESHOLDS)
    capacity: int | None = struct.field(pytree_node=False, default=None)

    @classmethod
    def empty(
        cls,
        num_classes: int,
        *,
        thresholds: Sequence[float] = COCO_THRESHOLDS,
        capacity: int | None = None,
    ) -> Self:
        """Nothing detected, nothing to be found.

        Args:
            num_classes: K, without background.
            thresholds: T thresholds of the IoU, in (0, 1].
            capacity: how many detections fit. The state then has one shape, for `scan` and for
                programs that are compiled once; a set that does not fit computes to NaN, never to
                the value of a part. None grows with every merge, outside of programs.
        """
        if not thresholds or not all(0 < t <= 1 for t in thresholds):
            raise ValueError(f"thresholds must lie in (0, 1], got {thresholds}")
        if num_classes < 1 or (capacity or 0) < 0:
            raise ValueError(f"need num_classes >= 1, capacity >= 0: {num_classes}, {capacity}")
        size = capacity or 0
        return cls(
            scores=jnp.zeros(size),
            classes=jnp.full(size, -1, jnp.int32),
            hits=jnp.zeros((size, len(thresholds)), jnp.int8),
            positives=jnp.zeros(num_classes, jnp.int32),
            dropped=jnp.zeros((), jnp.int32),
            thresholds=tuple(thresholds),
            capacity=capacity,
        )

    @classmethod
    def from_batch(
        cls,
        detections: ops.Detections,
        boxes: ArrayLike,
        classes: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        num_classes: int,
        ignore: ArrayLike | None = None,
        matching: Matching = "coco",
        thresholds: Sequence[float] = COCO_THRESHOLDS,
        capacity: int | None = None,
    ) -> Self:
        """Finds the ground truth of each detection in a batch of images.

        Args:
            detections: of B images, as of `ops.multiclass_nms`, in any order; a score of NaN comes
                last.
            boxes: ground truth `[B, M, 4]`, in the unit of the detections, without the +1 of
                PASCAL's pixels. One without area cannot be found.
            classes: integers `[B, M]`; negative ones are padding.
            mask: boolean `[B]`, False on images that are not there.
            num_classes, thresholds, capacity: as in `empty`.
            ignore: boolean `[B, M]`: difficult, or a crowd.
            matching: the rule, see above.
        Raises: ValueError if the shapes do not fit, or classes on the host are num_classes or more
            (in a program such a ground truth is left out, and such a detection).
        """
        start = cls.empty(num_classes, thresholds=thresholds, capacity=capacity)
        if matching not in ("coco", "voc"):
            raise ValueError(f"matching must be 'coco' or 'voc', got {matching!r}")
        if isinstance(classes, np.ndarray):
            _checks.integers_in("classes", classes, num_classes, classes >= 0)
        boxes, classes = jnp.asarray(boxes), jnp.asarray(classes)
        real = jnp.ones(classes.shape[:1], bool) if mask is None else jnp.asarray(mask)
        ignore = jnp.zeros(classes.shape, bool) if ignore is None else jnp.asarray(ignore)
        _checks.same_shape(classes=classes, ignore=ignore)
        if (
            boxes.shape != (*classes.shape, 4)
            or detections.boxes.shape != (*detections.scores.shape, 4)
            or detections.scores.shape[:-1] != real.shape
            or classes.shape[:-1] != real.shape
        ):
            raise ValueError(
                "need detections [B, D], boxes [B, M, 4], classes [B, M] and mask [B], got "
                f"{detections.boxes.shape}, {boxes.shape}, {classes.shape} and {real.shape}"
            )
        present = real[:, None] & (classes >= 0) & (classes < num_classes)
        found = real[:, None] & detections.mask
        found &= (detections.classes >= 0) & (detections.classes < num_classes)
        found_classes = jnp.where(found, detections.classes, -1)
        scores = jnp.where(jnp.isnan(detections.scores), -jnp.inf, detections.scores)

        def one(found_boxes, scores, found_classes, boxes, classes, ignore):
            same = (found_classes[:, None] == classes[None]) & (classes >= 0)[None]
            iou = ops.box_iou(found_boxes, boxes)
            if matching == "coco":
                iou = jnp.where(ignore[None], ops.box_ioa(found_boxes, boxes), iou)
            order = jnp.argsort(-scores, stable=True)
            return _hits(jnp.where(same, iou, 0), order, ignore, thresholds, matching)

        labels = jnp.where(present, classes, -1)
        hits = jax.vmap(one)(detections.boxes, scores, found_classes, boxes, labels, ignore)
        counted = jax.nn.one_hot(jnp.where(ignore, -1, labels), num_classes, dtype=jnp.int32)
        batch = dataclasses.replace(
            start,
            scores=scores.astype(jnp.float32).reshape(-1),
            classes=found_classes.astype(jnp.int32).reshape(-1),
            hits=hits.reshape(-1, len(thresholds)),
            positives=jnp.sum(counted, axis=(0, 1)),
            capacity=None,
        )
        return batch if capacity is None else start.merge(batch)

    def merge(self, other: Self) -> Self:
        if self.thresholds != other.thresholds or self.positives.shape != other.positives.shape:
            raise ValueError(
                f"cannot merge thresholds {self.thresholds} and {other.thresholds}, "
                f"{len(self.positives)} and {len(other.positives)} classes"
            )
        if self.capacity is None and other.capacity is not None:
            raise ValueError("merge into the state that has a capacity, in the order of the images")
        columns = (self.scores, self.classes, self.hits), (other.scores, other.classes, other.hits)
        dropped = self.dropped + other.dropped
        if self.capacity is None:
            scores, classes, hits = map(_joined, *columns)
        else:
            kept, new = self.classes >= 0, other.classes >= 0
            place = jnp.sum(kept) + jnp.cumsum(new) - 1
            place = jnp.where(new, place, self.capacity)
            dropped += jnp.sum(new & (place >= self.capacity), dtype=jnp.int32)
            scores, classes, hits = (
                old.at[place].set(more, mode="drop") for old, more in zip(*columns, strict=True)
            )
        return dataclasses.replace(
            self,
            scores=scores,
            classes=classes,
            hits=hits,
            positives=self.positives + other.positives,
            dropped=dropped,
        )

    def compute(self) -> dict[str, float]:
        """`{"mAP": m, "mAP@0.5": ...}`: COCO's 101 points, over all thresholds and at each.

        On the host. NaN where there is no ground truth, or detections did not fit the capacity.
        """
        return self.mean("coco")

    def mean(self, interpolation: Interpolation) -> dict[str, float]:
        """As `compute`, by any of the interpolations."""
        each = self.average_precision(interpolation)
        some = ~np.isnan(each[0])
        at = each[:, some].mean(axis=1) if some.any() else np.full(len(each), np.nan)
        names = [f"mAP@{threshold:g}" for threshold in self.thresholds]
        return {"mAP": float(at.mean()), **dict(zip(names, at.tolist(), strict=True))}

    def average_precision(self, interpolation: Interpolation = "coco") -> np.ndarray:
        """The average precision of each threshold and class, `[T, K]`, on the host.

        Interpolated precision is the greatest at that recall or beyond. "coco" averages it at 101
        equal steps of recall, "voc11" at 11 (VOC 2007), and "voc" is the area under it (since
        2010). NaN for a class without ground truth.
        """
        if interpolation not in ("coco", "voc", "voc11"):
            raise ValueError(
                f"interpolation must be 'coco', 'voc' or 'voc11', got {interpolation!r}"
            )
        shape = len(self.thresholds), len(self.positives)
        answer = np.full(shape, np.nan)
        if int(self.dropped):
            return answer
        for k in np.flatnonzero(np.asarray(self.positives)):
            for t, threshold in enumerate(self.thresholds):
                recall, precision, _ = self.curve(int(k), threshold)
                best = np.maximum.accumulate(precision[::-1])[::-1]
                if interpolation == "voc":
                    answer[t, k] = np.sum(np.diff(recall, prepend=0.0) * best)
                else:
                    # As pycocotools rounds them: its 0.35 is 0.35000000000000003.
                    coco = interpolation == "coco"
                    points = np.linspace(0, 1, 101) if coco else np.arange(11) / 10
                    at = np.searchsorted(recall, points, side="left")
                    answer[t, k] = np.mean(np.append(best, 0.0)[at])
        return answer

    def curve(
        self, class_index: int, threshold: float = 0.5
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Recall, precision and score after each detection of a class, surest first, on the host.

        Raises: ValueError if `threshold` is none of the state's, or detections did not fit.
        """
        if threshold not in self.thresholds:
            raise ValueError(f"threshold must be one of {self.thresholds}, got {threshold}")
        if int(self.dropped):
            raise ValueError(f"{self.dropped} detections found no place in {self.capacity}")
        hits = np.asarray(self.hits)[:, self.thresholds.index(threshold)]
        own = (np.asarray(self.classes) == class_index) & (hits != _IGNORED)
        scores, hits = np.asarray(self.scores)[own], hits[own] == _HIT
        order = np.argsort(-scores, kind="stable")
        found = np.cumsum(hits[order])
        with np.errstate(invalid="ignore"):
            recall = found / np.float64(self.positives[class_index])
        return recall, found / np.arange(1, len(found) + 1), scores[order]


def _hits(
    iou: jax.Array,
    order: jax.Array,
    ignore: jax.Array,
    thresholds: Sequence[float],
    matching: Matching,
) -> jax.Array:
    """int8 `[D, T]` from the IoU `[D, M]` of detections, read in `order`, with those to find."""
    num_found, num_boxes = iou.shape
    if not num_boxes or not num_found:
        return jnp.full((num_found, len(thresholds)), _MISS, jnp.int8)
    index = jnp.arange(num_boxes)[None]
    least = jnp.array(thresholds, jnp.float32)[:, None]

    def coco(own: jax.Array, taken: jax.Array) -> tuple[jax.Array, jax.Array]:
        free = jnp.where((own >= least) & ~taken & ~ignore[None], own, 0)  # [T, M]
        best = jnp.max(free, axis=1, keepdims=True)
        last = jnp.max(jnp.where(free == best, index, -1), axis=1, keepdims=True)
        hit = best[:, 0] > 0
        crowd = jnp.any((own >= least) & ignore[None], axis=1)
        return jnp.where(hit, _HIT, jnp.where(crowd, _IGNORED, _MISS)), index == last

    def voc(own: jax.Array, taken: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = jnp.min(jnp.where(own == jnp.max(own), index, num_boxes))
        enough = jnp.max(own) >= least[:, 0]
        hit = jnp.where(enough & ~taken[:, first], _HIT, _MISS)
        return jnp.where(enough & ignore[first], _IGNORED, hit), index == first

    def step(taken: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        result, place = (coco if matching == "coco" else voc)(iou[i][None], taken)
        return taken | ((result == _HIT)[:, None] & place), result.astype(jnp.int8)

    nothing = jnp.zeros((len(thresholds), num_boxes), bool)
    _, in_order = lax.scan(step, nothing, order)
    return jnp.zeros_like(in_order).at[order].set(in_order)


def _joined(a: jax.Array, b: jax.Array) -> jax.Array:
    """One after the other; without a compilation for every length where both are concrete."""
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return jnp.concatenate([a, b])
    return np.concatenate([a, b])  # type: ignore[return-value]
