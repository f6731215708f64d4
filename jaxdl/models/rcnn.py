"""Detectors in two steps, proposals and what is in them: R-CNN, Fast R-CNN, Faster R-CNN.

    model = models.FastRCNN(body, num_classes)
    maps = model.apply(variables, images, train=False, method="features")  # once an image
    outputs = model.apply(variables, maps, proposals, method="classify")
    found = ops.detect_regions(outputs, proposals, mask)

Proposals are boxes `[B, R, 4]` in shares of the image, with a mask: of
`data.images.selective_search`, or of the model's own proposal network (`anchor_sizes`), which makes
it a Faster R-CNN:

    logits, offsets = model.apply(variables, maps, method="propose")
    anchors = model.anchors(maps, aspect=4 / 3)
    proposals, mask = ops.best_proposals(logits, offsets, anchors)

A body is any of the feature bodies: called as `body(images, mask, train=...)`, it returns its
`taps` by name.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import Conv


class RegionPredictions(NamedTuple):
    """What the second step says of each of R regions."""

    logits: jax.Array  # [B, R, 1 + K], background first
    offsets: jax.Array  # [B, R, K, 4], those of each class


class FastRCNN(linen.Module):
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
        self.dense = [linen.Dense(self.dense_size, name=f"dense{i}") for i in (1, 2)]
        # Small at the start, as published, so that all is background and boxes stay as proposed.
        small = linen.initializers.normal
        self.head = linen.Dense(self.num_classes + 1, kernel_init=small(0.01))
        self.box_head = linen.Dense(4 * self.num_classes, kernel_init=small(0.001))
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
            x = linen.relu(layer(x))
        offsets = self.box_head(x)
        return RegionPredictions(
            self.head(x), offsets.reshape(*offsets.shape[:2], self.num_classes, 4)
        )

    def propose(self, maps: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Logits `[B, A, 2]` of background and object, and offsets `[B, A, 4]`, of `anchors`."""
        if not self.anchor_sizes:
            raise ValueError("this model has no proposal network: give it anchor_sizes")
        x = self.proposal_head(linen.relu(self.proposal_conv(maps[-1])))
        x = x.reshape(x.shape[0], -1, 6)
        return x[..., :2], x[..., 2:]

    def anchors(self, maps: Sequence[jax.Array], aspect: float) -> jax.Array:
        """Anchors `[A, 4]` of the proposal network for images of this width over height."""
        H, W = maps[-1].shape[1:3]
        return ops.anchor_boxes(H, W, self.anchor_sizes, self.anchor_ratios, aspect=aspect)

    @property
    def _per_cell(self) -> int:
        return len(self.anchor_sizes) + len(self.anchor_ratios) - 1


class RCNN(linen.Module):
    """Every region cut out of the image, brought to one size and sent through the network.

    Girshick et al. 2014, arXiv:1311.2524: the slow reference, for neighbors share no work. One
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
        self.head = linen.Dense(self.num_classes + 1)
        self.box_head = linen.Dense(4 * self.num_classes)

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


def _scaled(boxes: jax.Array, image: jax.Array) -> jax.Array:
    """Boxes `[B, R, 4]` from shares to the cells of `[B, H, W, C]`."""
    H, W = image.shape[1:3]
    return jnp.asarray(boxes) * jnp.array([[[W, H, W, H]]], jnp.float32)
