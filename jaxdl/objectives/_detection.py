"""Objectives of detectors, from boxes to targets inside the compiled step."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import losses, ops
from jaxdl.metrics import Mean
from jaxdl.models import Predictions, RegionPredictions
from jaxdl.objectives._core import Augment, Batch, Objective, Preprocess, build
from jaxdl.ops import best_proposals, sample_regions


def multibox(
    module: Any,
    *,
    metrics: Mapping[str, Callable[[Predictions, jax.Array, Batch], Any]] | None = None,
    preprocess: Preprocess | None = None,
    augment: Augment | None = None,
    iou_threshold: float = 0.5,
    negative_ratio: float = 3.0,
    focal_gamma: float | None = None,
    beta: float = 1.0,
) -> Objective:
    """The objective of a single-shot detector: `losses.multibox_loss` per positive anchor.

    >>> from jaxdl import data, models
    >>> model, key = models.TinySSD(num_classes=10), jax.random.key(0)
    >>> batch = next(data.batches(data.images.scatter_digits(2, size=(64, 64)), 2))
    >>> objective = multibox(model, preprocess=data.images.to_unit)
    >>> params, state = jax.eval_shape(objective.init, key, batch)
    >>> loss, aux = jax.eval_shape(
    ...     lambda p, s: objective(p, s, batch, key, train=False), params, state)
    >>> sorted(aux.metrics)
    ['classification', 'localization']

    Args:
        module: of `models.ssd`, or one with its two methods.
        metrics: by name, `(predictions, anchors, batch)` to a metric state; in evaluation only,
            for suppressing boxes takes longer than a small network does.
        preprocess, augment: as in `build`; the batch has "image" `[B, H, W, C]`, "boxes"
            `[B, M, 4]` in shares of the image, and "classes" `[B, M]`, negative on padding.
        iou_threshold: as `ops.match_anchors`.
        negative_ratio, focal_gamma, beta: as `losses.multibox_loss`.
    The metrics "classification" and "localization" are the two parts of the loss.
    """

    def score(forward: Callable, batch: Batch, *, key: Any, train: bool) -> tuple[Mean, Any]:
        predictions = forward(batch["image"])
        anchors = module.anchors(*batch["image"].shape[1:3])
        classes = batch["classes"]
        targets = ops.anchor_targets(
            anchors, batch["boxes"], classes, classes >= 0, iou_threshold=iou_threshold
        )
        loss = losses.multibox_loss(
            predictions.logits, predictions.offsets, targets.classes, targets.offsets,
            negative_ratio=negative_ratio, focal_gamma=focal_gamma, beta=beta,
        )  # fmt: skip

        def per_positive(total: jax.Array) -> Mean:
            real = batch["mask"]
            kept, weight = jnp.where(real, total, 0), jnp.where(real, loss.positives, 0)
            return Mean(total=jnp.sum(kept), weight=jnp.sum(weight))

        states: dict[str, Any] = {
            "classification": per_positive(loss.classification),
            "localization": per_positive(loss.localization),
        }
        if not train:
            for name, metric in (metrics or {}).items():
                states[name] = metric(predictions, anchors, batch)
        return per_positive(loss.classification + loss.localization), states

    return build(module, score, inputs=_image, preprocess=preprocess, augment=augment)


def regions(
    module: Any,
    *,
    metrics: Mapping[str, Callable[[RegionPredictions, jax.Array, jax.Array, Batch], Any]]
    | None = None,
    preprocess: Preprocess | None = None,
    num_proposals: int = 100,
    num_samples: int = 64,
    beta: float = 1.0,
) -> Objective:
    """The objective of `models.FastRCNN` and `models.RCNN`, a mean over images.

    For each image: cross entropy and, on positives, smooth L1 of the offsets of the true class, by
    the number of sampled regions; and with a proposal network the sum of `losses.multibox_loss` by
    the number of its positive anchors (joint training).

    >>> from jaxdl import data, models
    >>> body = models.VGG(None, depths=(1, 1), widths=(4, 6), taps=("relu2_1",))
    >>> model, key = models.FastRCNN(body, 10, anchor_sizes=(0.3, 0.5)), jax.random.key(0)
    >>> batch = next(data.batches(data.images.scatter_digits(2, size=(64, 64)), 2))
    >>> objective = regions(model, preprocess=data.images.to_unit)
    >>> params, state = jax.eval_shape(objective.init, key, batch)
    >>> loss, aux = jax.eval_shape(
    ...     lambda p, s: objective(p, s, batch, key, train=False), params, state)
    >>> sorted(aux.metrics)
    ['classification', 'localization', 'proposals']

    Args:
        module: without a proposal network the batch has "proposals" `[B, R, 4]` and
            "proposal_mask" `[B, R]`. The body of an RCNN keeps its batch statistics in training.
        metrics: by name, `(predictions, proposals, mask, batch)` to a metric state; in evaluation.
        preprocess: as in `build`; the batch has "image" `[B, H, W, C]`, "boxes" `[B, M, 4]` in
            shares of the image, and "classes" `[B, M]`, negative on padding.
        num_proposals: of the proposal network, as `ops.best_proposals`.
        num_samples: as `ops.sample_regions`.
        beta: as `losses.smooth_l1_loss`.
    The metrics "proposals", "classification" and "localization" are the parts of the loss.
    Raises: ValueError for a model without their methods `features` and `classify`.
    """
    if not hasattr(module, "features") or not hasattr(module, "classify"):
        raise ValueError(
            "the model must have the methods features and classify, as models.FastRCNN does; "
            f"got {type(module).__name__}"
        )
    proposes = bool(getattr(module, "anchor_sizes", ()))

    def inputs(batch: Batch) -> tuple:
        if "proposals" in batch:
            return batch["image"], batch["proposals"]
        return batch["image"], jnp.zeros((len(batch["image"]), 1, 4))

    def score(forward: Callable, batch: Batch, *, key: Any, train: bool) -> tuple[Mean, Any]:
        image, boxes, classes = (batch[name] for name in ("image", "boxes", "classes"))
        real, parts = batch["mask"], {}
        maps = forward(image, real, method="features")

        def classify(proposals: jax.Array) -> RegionPredictions:
            return forward(maps, proposals, method="classify")

        if proposes:
            anchors = module.anchors(maps, image.shape[2] / image.shape[1])
            logits, offsets = forward(maps, method="propose")
            targets = ops.anchor_targets(anchors, boxes, jnp.minimum(classes, 0))
            loss = losses.multibox_loss(
                logits, offsets, targets.classes, targets.offsets, beta=beta
            )
            total = loss.classification + loss.localization
            parts["proposals"] = total / jnp.maximum(loss.positives, 1)
            proposals, found = best_proposals(logits, offsets, anchors, num_proposals=num_proposals)
        else:
            proposals, found = batch["proposals"], batch["proposal_mask"]
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(image)))
        samples = jax.vmap(lambda *args: sample_regions(*args, num_samples=num_samples))(
            keys, proposals, found, boxes, classes
        )
        predictions = classify(samples.boxes)
        count = jnp.maximum(jnp.sum(samples.mask, axis=-1), 1)
        nll = losses.softmax_cross_entropy(predictions.logits, samples.classes)
        parts["classification"] = jnp.sum(jnp.where(samples.mask, nll, 0), axis=-1) / count
        own = jnp.maximum(samples.classes - 1, 0)[..., None, None]
        own_offsets = jnp.take_along_axis(predictions.offsets, own, axis=-2)[..., 0, :]
        off = jnp.sum(losses.smooth_l1_loss(own_offsets, samples.offsets, beta=beta), axis=-1)
        parts["localization"] = jnp.sum(jnp.where(samples.classes > 0, off, 0), axis=-1) / count
        states: dict[str, Any] = {name: Mean.from_values(v, real) for name, v in parts.items()}
        if not train:
            for name, metric in (metrics or {}).items():
                states[name] = metric(classify(proposals), proposals, found, batch)
        return Mean.from_values(sum(parts.values()), real), states

    return build(module, score, inputs=inputs, preprocess=preprocess)


def _image(batch: Batch) -> tuple:
    return (batch["image"],)
