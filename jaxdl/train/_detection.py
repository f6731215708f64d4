"""The objective of single-shot detectors, from boxes to targets inside the compiled step."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import _checks, losses, ops
from jaxdl.metrics import Mean
from jaxdl.models.ssd import Predictions
from jaxdl.train._objective import Aux, Batch, Objective


def multibox(
    model: Any,
    *,
    metrics: Mapping[str, Callable[[Predictions, jax.Array, Batch], Any]] | None = None,
    prepare: Callable[[dict], dict] | None = None,
    augment: Callable[[jax.Array, dict], dict] | None = None,
    iou_threshold: float = 0.5,
    negative_ratio: float = 3.0,
    focal_gamma: float | None = None,
    beta: float = 1.0,
) -> Objective:
    """The objective of a detector: `losses.multibox_loss` per positive anchor of the batch.

    >>> from jaxdl import data, models
    >>> from jaxdl.train import linen_init, make_eval
    >>> model, key = models.TinySSD(num_classes=10), jax.random.key(0)
    >>> batch = next(data.batches(data.scatter_digits(2, size=(64, 64)), 2))
    >>> params, state = jax.eval_shape(lambda: linen_init(model, key, batch["image"] / 255))
    >>> eval_step = make_eval(multibox(model, prepare=data.to_unit))
    >>> sorted(jax.eval_shape(eval_step, params, state, batch))
    ['classification', 'localisation', 'loss']

    Args:
        model: of `models.ssd`, or one with its two methods.
        metrics: by name, `(predictions, anchors, batch)` to a metric state; in evaluation only,
            for suppressing boxes takes longer than a small network does.
        prepare, augment: as in `train.supervised`; the batch has "image" `[B, H, W, C]`, "boxes"
            `[B, M, 4]` in shares of the image, and "classes" `[B, M]`, negative on padding.
        iou_threshold: as `ops.match_anchors`.
        negative_ratio, focal_gamma, beta: as `losses.multibox_loss`.
    The metrics "classification" and "localisation" are the two parts of the loss.
    """

    def objective(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        prepared = dict(batch) if prepare is None else prepare(dict(batch))
        if train and augment is not None:
            prepared = augment(key, prepared)
        image, boxes, classes = (prepared[name] for name in ("image", "boxes", "classes"))
        image, boxes = (_checks.without_masked(x, prepared["mask"]) for x in (image, boxes))
        image = image.astype(jax.tree.leaves(params)[0].dtype)
        variables = {"params": params, **model_state}
        extra = {"mask": prepared["mask"]} if "batch_stats" in model_state else {}
        predictions, new_state = model.apply(
            variables, image, train=train, mutable=list(model_state), **extra
        )
        anchors = model.anchors(*image.shape[1:3])
        targets = ops.anchor_targets(
            anchors, boxes, classes, classes >= 0, iou_threshold=iou_threshold
        )
        loss = losses.multibox_loss(
            predictions.logits, predictions.offsets, targets.classes, targets.offsets,
            negative_ratio=negative_ratio, focal_gamma=focal_gamma, beta=beta,
        )  # fmt: skip

        def per_positive(total: jax.Array) -> Mean:
            real = prepared["mask"]
            kept, weight = jnp.where(real, total, 0), jnp.where(real, loss.positives, 0)
            return Mean(total=jnp.sum(kept), weight=jnp.sum(weight))

        states = {
            "classification": per_positive(loss.classification),
            "localisation": per_positive(loss.localisation),
        }
        if not train:
            new_state = model_state
            for name, metric in (metrics or {}).items():
                states[name] = metric(predictions, anchors, prepared)
        return per_positive(loss.classification + loss.localisation), Aux(states, new_state)

    return objective
