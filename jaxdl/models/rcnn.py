"""Detectors in two steps, proposals and what is in them: R-CNN, Fast R-CNN, Faster R-CNN.

    model = models.FastRCNN(body, num_classes)
    maps = model.apply(variables, images, train=False, method="features")  # once an image
    said = model.apply(variables, maps, proposals, method="classify")
    found = models.detect_regions(said, proposals, mask)
    found = model.apply(variables, images, proposals, mask, method="detect")  # all three

Proposals are boxes `[B, R, 4]` in shares of the image, with a mask: of `models.selective_search`,
or of the model's own proposal network (`anchor_sizes`), which makes it a Faster R-CNN. A body is
any of the feature bodies: called as `body(images, mask, train=...)`, it returns its `taps` by name.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import Conv


class RegionPredictions(NamedTuple):
    """What the second step says of each of R regions."""

    logits: jax.Array  # [B, R, 1 + K], background first
    offsets: jax.Array  # [B, R, K, 4], those of each class


class FastRCNN(nn.Module):
    """Classes and boxes of regions, from features computed once an image.

    >>> from jaxdl import models
    >>> model = FastRCNN(models.ResNet18(None, taps=("layer3", "layer4")), num_classes=20)
    >>> key, images, proposals = jax.random.key(0), jnp.zeros((2, 64, 96, 3)), jnp.zeros((2, 5, 4))
    >>> jax.eval_shape(lambda: model.init_with_output(key, images, proposals, train=False)[0])
    RegionPredictions(logits=ShapeDtypeStruct(shape=(2, 5, 21), dtype=float32),
    offsets=ShapeDtypeStruct(shape=(2, 5, 20, 4), dtype=float32))

    Girshick 2015, arXiv:1504.08083; with a proposal network, Ren et al. 2015, arXiv:1506.01497.
    """

    body: Any  # its first tap is what regions are cut from, its last what proposals come from
    num_classes: int  # K, without background
    output_size: tuple[int, int] = (7, 7)  # of a region's features
    dense_size: int = 1024  # of the two dense layers on them
    pooling: str = "align"  # or "pool", the first paper's maximum over rounded bins
    anchor_sizes: Sequence[float] = ()  # of the proposal network, shares of the height
    anchor_ratios: Sequence[float] = (1.0, 2.0, 0.5)  # width over height, in pixels

    def setup(self) -> None:
        if self.pooling not in ("align", "pool"):
            raise ValueError(f"pooling must be 'align' or 'pool', got {self.pooling!r}")
        if not self.body.taps:
            raise ValueError("the body needs taps, the features to cut regions from")
        self.dense = [nn.Dense(self.dense_size, name=f"dense{i}") for i in (1, 2)]
        # Small at the start, as published, so that all is background and boxes stay as proposed.
        small = nn.initializers.normal
        self.head = nn.Dense(self.num_classes + 1, kernel_init=small(0.01))
        self.box_head = nn.Dense(4 * self.num_classes, kernel_init=small(0.001))
        if self.anchor_sizes:
            self.proposal_conv = Conv(self.dense_size, 3, padding=1)
            self.proposal_head = Conv(6 * self._per_cell, 1)

    def __call__(
        self,
        images: jax.Array,
        proposals: jax.Array,
        mask: jax.Array | None = None,
        *,
        train: bool,
    ) -> RegionPredictions:
        """Maps images `[B, H, W, C]` and proposals `[B, R, 4]` to what is in them.

        `mask [B]`, False on padding, keeps those images out of the batch statistics.
        """
        maps = self.features(images, mask, train=train)
        if self.anchor_sizes:
            self.propose(maps)
        return self.classify(maps, proposals)

    def features(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> tuple[jax.Array, ...]:
        """The body's feature maps, in the order of its taps."""
        check_images(images, "FastRCNN")
        maps = self.body(images, mask, train=train)
        return tuple(maps[name] for name in self.body.taps)

    def classify(self, maps: Sequence[jax.Array], proposals: jax.Array) -> RegionPredictions:
        """Classes and offsets of regions `[B, R, 4]`, shares of the image."""
        boxes = _scaled(proposals, maps[0])
        cut = ops.roi_align if self.pooling == "align" else ops.roi_pool
        x = cut(maps[0], boxes, self.output_size)
        x = x.reshape(*x.shape[:2], -1)
        for layer in self.dense:
            x = nn.relu(layer(x))
        offsets = self.box_head(x)
        return RegionPredictions(
            self.head(x), offsets.reshape(*offsets.shape[:2], self.num_classes, 4)
        )

    def propose(self, maps: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Logits `[B, A, 2]` of background and object, and offsets `[B, A, 4]`, of `anchors`."""
        if not self.anchor_sizes:
            raise ValueError("this model has no proposal network: give it anchor_sizes")
        x = self.proposal_head(nn.relu(self.proposal_conv(maps[-1])))
        x = x.reshape(len(x), -1, 6)
        return x[..., :2], x[..., 2:]

    def detect(
        self,
        images: jax.Array,
        proposals: jax.Array | None = None,
        mask: jax.Array | None = None,
        *,
        num_proposals: int = 100,
        **options: Any,
    ) -> ops.Detections:
        """Detections in images: `model.apply(variables, images, method="detect")`.

        Args:
            proposals, mask: given, or else from the model's proposal network, `num_proposals`.
            options: as `detect_regions`.
        """
        maps = self.features(images, train=False)
        if proposals is None:
            anchors = self.anchors(maps, images.shape[2] / images.shape[1])
            proposals, mask = best_proposals(
                *self.propose(maps), anchors, num_proposals=num_proposals
            )
        elif mask is None:
            mask = jnp.ones(proposals.shape[:-1], bool)
        return detect_regions(self.classify(maps, proposals), proposals, mask, **options)

    def anchors(self, maps: Sequence[jax.Array], aspect: float) -> jax.Array:
        """Anchors `[A, 4]` of the proposal network for images of this width over height."""
        H, W = maps[-1].shape[1:3]
        return ops.anchor_boxes(H, W, self.anchor_sizes, self.anchor_ratios, aspect=aspect)

    @property
    def _per_cell(self) -> int:
        return len(self.anchor_sizes) + len(self.anchor_ratios) - 1


class RCNN(nn.Module):
    """Every region cut out of the image, brought to one size and sent through the network.

    Girshick et al. 2014, arXiv:1311.2524: the slow reference, for neighbours share no work. One
    network is trained throughout, where the paper adds support vector machines.

    >>> from jaxdl import models
    >>> model = RCNN(models.ResNet18(num_classes=None), num_classes=20)
    >>> key, images, proposals = jax.random.key(0), jnp.zeros((2, 64, 96, 3)), jnp.zeros((2, 5, 4))
    >>> jax.eval_shape(lambda: model.init_with_output(key, images, proposals, train=False)[0])
    RegionPredictions(logits=ShapeDtypeStruct(shape=(2, 5, 21), dtype=float32),
    offsets=ShapeDtypeStruct(shape=(2, 5, 20, 4), dtype=float32))
    """

    body: Any  # maps images to features: a model with `num_classes=None`
    num_classes: int  # K, without background
    crop_size: tuple[int, int] = (224, 224)

    anchor_sizes = ()  # no field: it has no proposal network

    def setup(self) -> None:
        self.head = nn.Dense(self.num_classes + 1)
        self.box_head = nn.Dense(4 * self.num_classes)

    def __call__(
        self, images: jax.Array, proposals: jax.Array, *, train: bool
    ) -> RegionPredictions:
        """As `FastRCNN`."""
        return self.classify(self.features(images, train=train), proposals, train=train)

    def features(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> tuple[jax.Array, ...]:
        """The images themselves, which regions are cut from."""
        check_images(images, "RCNN")
        return (images,)

    def classify(
        self, maps: Sequence[jax.Array], proposals: jax.Array, *, train: bool = False
    ) -> RegionPredictions:
        """Classes and offsets of regions `[B, R, 4]`, shares of the image."""
        boxes = _scaled(proposals, maps[0])
        crops = ops.roi_align(maps[0], boxes, self.crop_size, sampling_ratio=1)
        B, R = crops.shape[:2]
        x = self.body(crops.reshape(B * R, *crops.shape[2:]), train=train)
        x = jnp.mean(x, axis=(1, 2)).reshape(B, R, -1)
        offsets = self.box_head(x).reshape(B, R, self.num_classes, 4)
        return RegionPredictions(self.head(x), offsets)


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
    iou = jnp.where((classes >= 0)[:, None], ops.box_iou(boxes, all_boxes), 0)
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
    offsets = ops.encode_boxes(object_boxes, regions)
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
    boxes = ops.decode_boxes(offsets, jnp.broadcast_to(anchors, offsets.shape))
    boxes = lax.stop_gradient(ops.clip_boxes(boxes))
    scores = lax.stop_gradient(logits[..., 1] - logits[..., 0])
    index = ops.nms(boxes, scores, iou_threshold=iou_threshold, max_outputs=num_proposals)
    return jnp.take_along_axis(boxes, jnp.maximum(index, 0)[..., None], axis=1), index >= 0


def detect_regions(
    predictions: RegionPredictions,
    proposals: jax.Array,
    mask: jax.Array,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.01,
    max_outputs: int = 100,
) -> ops.Detections:
    """Boxes of each class, decoded from proposals, cut at the border, suppressed class by class.

    >>> said = RegionPredictions(jnp.array([[[0.0, 0.0, 9.0]]]), jnp.zeros((1, 1, 2, 4)))
    >>> proposals, mask = jnp.array([[[0.0, 0.5, 0.5, 1.0]]]), jnp.array([[True]])
    >>> found = detect_regions(said, proposals, mask, max_outputs=1)
    >>> found.classes, found.boxes
    (Array([[1]], dtype=int32), Array([[[0. , 0.5, 0.5, 1. ]]], dtype=float32))

    Args: of B images; thresholds and size as `ops.multiclass_nms`.
    """
    probabilities = jax.nn.softmax(predictions.logits.astype(jnp.float32), axis=-1)
    start = jnp.broadcast_to(proposals[..., None, :], predictions.offsets.shape)
    return ops.multiclass_nms(
        ops.clip_boxes(ops.decode_boxes(predictions.offsets, start)),
        probabilities,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_outputs=max_outputs,
        mask=mask,
    )


def selective_search(
    images: np.ndarray, num_proposals: int = 200, *, quality: bool = False, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Proposals by OpenCV's selective search, on the host; the first ones are the largest groups.

    >>> images = np.zeros((1, 64, 64, 3), np.uint8)
    >>> images[:, 16:48, 16:48] = 255
    >>> boxes, mask = selective_search(images, num_proposals=20)
    >>> boxes.shape, bool(np.any(np.all(np.abs(boxes - [0.25, 0.25, 0.75, 0.75]) < 0.1, axis=-1)))
    ((1, 20, 4), True)

    Args:
        images: uint8 `[B, H, W, 3]`.
        num_proposals: R; most images have several hundred.
        quality: several times as many from more colour spaces, and several times as slow.
        seed: of OpenCV's generator, which shuffles the order.
    Returns: boxes float32 `[B, R, 4]` in shares of the image, 0 on padding, and the mask `[B, R]`.
    Raises: ImportError that says how to get OpenCV's extra modules; ValueError for other images.
    Reference: Uijlings et al. 2013, Selective search for object recognition.
    """
    try:
        import cv2

        create = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "selective search needs OpenCV's extra modules: pip install 'jaxdl[proposals]'"
        ) from error
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"need images uint8 [B, H, W, 3], got {images.dtype} {images.shape}")
    H, W = images.shape[1:3]
    boxes = np.zeros((len(images), num_proposals, 4), np.float32)
    mask = np.zeros((len(images), num_proposals), bool)
    cv2.setRNGSeed(seed)
    for n, image in enumerate(images):
        search = create()
        search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
        search.switchToSelectiveSearchQuality() if quality else search.switchToSelectiveSearchFast()
        found = np.asarray(search.process()).reshape(-1, 4)[:num_proposals]  # x, y, w, h
        corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=-1)
        boxes[n, : len(found)] = corners / [W, H, W, H]
        mask[n, : len(found)] = True
    return boxes, mask


def _scaled(boxes: jax.Array, image: jax.Array) -> jax.Array:
    """Boxes `[B, R, 4]` from shares to the cells of `[B, H, W, C]`."""
    H, W = image.shape[1:3]
    return jnp.asarray(boxes) * jnp.array([[[W, H, W, H]]], jnp.float32)
