"""The objective of detectors in two steps, with everything drawn inside the compiled step."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import _checks, losses, ops
from jaxdl.metrics import Mean
from jaxdl.models.rcnn import (
    RCNN,
    FastRCNN,
    RegionPredictions,
    best_proposals,
    sample_regions,
)
from jaxdl.train._objective import Aux, Batch, Objective


def regions(
    model: FastRCNN | RCNN,
    *,
    metrics: Mapping[str, Callable[[RegionPredictions, jax.Array, jax.Array, Batch], Any]]
    | None = None,
    prepare: Callable[[dict], dict] | None = None,
    num_proposals: int = 100,
    num_samples: int = 64,
    beta: float = 1.0,
) -> Objective:
    """The objective of `models.FastRCNN` and of `models.RCNN`, a mean over images.

    For each image: cross entropy and, on positives, smooth L1 of the offsets of the true class, by
    the number of sampled regions; and with a proposal network the sum of `losses.multibox_loss` by
    the number of its positive anchors (joint training).

    >>> from jaxdl import data, models
    >>> from jaxdl.train import linen_init, make_eval
    >>> body = models.VGG(None, depths=(1, 1), widths=(4, 6), taps=("relu2_1",))
    >>> model, key = models.FastRCNN(body, 10, anchor_sizes=(0.3, 0.5)), jax.random.key(0)
    >>> batch = next(data.batches(data.scatter_digits(2, size=(64, 64)), 2))
    >>> images, proposals = batch["image"] / 255, jnp.zeros((2, 1, 4))
    >>> params, _ = jax.eval_shape(lambda: linen_init(model, key, images, proposals=proposals))
    >>> eval_step = make_eval(regions(model, prepare=data.to_unit))
    >>> sorted(jax.eval_shape(eval_step, params, {}, batch))
    ['classification', 'localisation', 'loss', 'proposals']

    Args:
        model: without a proposal network the batch has "proposals" `[B, R, 4]` and
            "proposal_mask" `[B, R]`. The body of an RCNN keeps its batch statistics in training.
        metrics: by name, `(predictions, proposals, mask, batch)` to a metric state; in evaluation.
        prepare: as in `train.supervised`; the batch has "image" `[B, H, W, C]`, "boxes"
            `[B, M, 4]` in shares of the image, and "classes" `[B, M]`, negative on padding.
        num_proposals: of the proposal network, as `models.best_proposals`.
        num_samples: as `models.sample_regions`.
        beta: as `losses.smooth_l1`.
    The metrics "proposals", "classification" and "localisation" are the parts of the loss.
    Raises: ValueError for a model without their methods `features` and `classify`.
    """
    if not hasattr(model, "features") or not hasattr(model, "classify"):
        raise ValueError(
            "model must have the methods features and classify, as models.FastRCNN does; "
            f"got {type(model).__name__}"
        )

    def objective(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        prepared = dict(batch) if prepare is None else prepare(dict(batch))
        image, boxes, classes = (prepared[name] for name in ("image", "boxes", "classes"))
        real = prepared["mask"]
        image, boxes = (_checks.without_masked(x, real) for x in (image, boxes))

        def run(method: str, *args: Any) -> Any:
            return model.apply({"params": params, **model_state}, *args, method=method)

        maps, new_state = model.apply(
            {"params": params, **model_state}, image, real, train=train, method="features",
            mutable=list(model_state),
        )  # fmt: skip
        parts = {}
        if model.anchor_sizes:
            anchors = model.anchors(maps, image.shape[2] / image.shape[1])
            logits, offsets = run("propose", maps)
            targets = ops.anchor_targets(anchors, boxes, jnp.minimum(classes, 0))
            loss = losses.multibox_loss(
                logits, offsets, targets.classes, targets.offsets, beta=beta
            )
            total = loss.classification + loss.localisation
            parts["proposals"] = total / jnp.maximum(loss.positives, 1)
            proposals, found = best_proposals(logits, offsets, anchors, num_proposals=num_proposals)
        else:
            proposals, found = prepared["proposals"], prepared["proposal_mask"]
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(image)))
        samples = jax.vmap(lambda *args: sample_regions(*args, num_samples=num_samples))(
            keys, proposals, found, boxes, classes
        )
        said = run("classify", maps, samples.boxes)
        count = jnp.maximum(jnp.sum(samples.mask, axis=-1), 1)
        nll = losses.softmax_cross_entropy(said.logits, samples.classes)
        parts["classification"] = jnp.sum(jnp.where(samples.mask, nll, 0), axis=-1) / count
        own = jnp.maximum(samples.classes - 1, 0)[..., None, None]
        own_offsets = jnp.take_along_axis(said.offsets, own, axis=-2)[..., 0, :]
        off = jnp.sum(losses.smooth_l1(own_offsets, samples.offsets, beta=beta), axis=-1)
        parts["localisation"] = jnp.sum(jnp.where(samples.classes > 0, off, 0), axis=-1) / count
        states: dict[str, Any] = {name: Mean.from_values(v, real) for name, v in parts.items()}
        if not train:
            new_state = model_state
            for name, metric in (metrics or {}).items():
                states[name] = metric(run("classify", maps, proposals), proposals, found, prepared)
        return Mean.from_values(sum(parts.values()), real), Aux(states, new_state)

    return objective
