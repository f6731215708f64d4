"""Fast R-CNN on digits scattered over photographs: proposals first, then what is in them.

    python -m experiments.fast_rcnn                                  # with a proposal network
    python -m experiments.fast_rcnn --proposals selective_search     # OpenCV's

Girshick 2015, arXiv:1504.08083, and Ren et al. 2015, arXiv:1506.01497. The headline is the mean
average precision at an IoU of .5 over the whole test split, beside `experiments.ssd`.
"""

import dataclasses
import functools
import pathlib
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, metrics, models, nn, objectives, ops, plots, runs, train

NAMES = tuple("0123456789")


@dataclasses.dataclass(frozen=True)
class Config:
    proposals: Literal["network", "selective_search"] = "network"  # where regions come from
    images: int = 4000  # of the training split; the test split has 500
    epochs: int = 6  # passes over the training set
    batch_size: int = 16  # images per step
    learning_rate: float = 3e-3  # of Adam, at the top of a cosine to zero
    num_proposals: int = 60  # regions an image; selective search finds about 120
    pooling: Literal["align", "pool"] = "align"  # RoIAlign, or the first paper's maximum
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: an epoch of 16 images of 64x96
    out: pathlib.Path | None = None  # run folder; runs/fast_rcnn/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if config.images < config.batch_size or config.num_proposals < 1:
        raise ValueError("need images >= batch_size and num_proposals >= 1")
    splits = load(config)
    epochs = 1 if config.smoke else config.epochs
    own = config.proposals == "network"
    body = models.VGG(None, depths=(2, 2, 1), widths=(24, 48, 64), norm=nn.BatchNorm,
                      taps=("relu2_2", "relu3_1"))  # fmt: skip
    model = models.FastRCNN(
        body, len(NAMES), output_size=(4, 4), dense_size=128, pooling=config.pooling,
        anchor_sizes=(0.15, 0.2, 0.27, 0.36) if own else (), anchor_ratios=(0.6, 0.4, 0.9),
    )  # fmt: skip

    def average_precision(outputs: Any, proposals: Any, mask: Any, batch: Any) -> Any:
        return metrics.MeanAveragePrecision.from_batch(
            ops.detect_regions(outputs, proposals, mask, max_outputs=50), batch["boxes"],
            batch["classes"], batch["mask"], num_classes=len(NAMES), thresholds=(0.5,),
            capacity=50 * len(splits["test"]),
        )  # fmt: skip

    objective = objectives.regions(
        model,
        metrics={"boxes": average_precision},
        preprocess=fold,
        num_proposals=config.num_proposals,
        num_samples=48,
    )
    num_steps = data.num_steps(len(splits["train"]), config.batch_size, epochs)
    rate = optax.warmup_cosine_decay_schedule(0, config.learning_rate, num_steps // 10, num_steps)
    trainer = train.make(objective, optax.adam(rate), clip_norm=10.0)

    with runs.open(
        config, name="fast_rcnn", out=config.out, resume=config.resume, data=splits
    ) as run:
        started = time.perf_counter()
        result = train.fit(
            trainer, splits["train"], epochs=epochs, batch_size=config.batch_size,
            seed=config.seed, run=run,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        found = train.evaluate(trainer, result.state, splits["test"], 25)["boxes"]
        each = dict(zip(NAMES, found.average_precision()[0].tolist(), strict=True))
        curves = {name: found.curve(k)[:2] for k, name in enumerate(NAMES)}
        run.figure("precision_recall", plots.precision_recall(curves, scores=each))
        run.figure("predictions", pictures(model, config, result.state, splits["test"]))
        run.figure("curves", plots.curves(result.history))
        return run.finish({"test/mAP@0.5": found.compute()["mAP@0.5"], "time/train": seconds})


def load(config: Config) -> dict[str, data.Dataset]:
    """Training and test split, with the proposals of selective search if it is to make them."""
    if config.smoke:
        splits = {
            name: data.images.scatter_digits(16, split=name, size=(64, 96))
            for name in ("train", "test")
        }
    else:
        both = data.load("scattered_digits")
        splits = {"train": both["train"].take(slice(config.images)), "test": both["test"]}
    if config.proposals == "selective_search":
        for name, split in splits.items():
            boxes, mask = data.images.selective_search(split["image"], config.num_proposals)
            given = {"proposals": boxes, "proposal_mask": mask}
            splits[name] = data.Dataset({**split.columns, **given})
    return splits


def fold(batch: dict) -> dict:
    """Pixels in 0..1, squares of four of them as the channels of one: a CPU is faster so."""
    image = batch["image"]
    B, H, W, C = image.shape
    x = image.reshape(B, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 2, 4, 5)
    return {**batch, "image": x.reshape(B, H // 2, W // 2, 4 * C).astype(jnp.float32) / 255}


def pictures(
    model: models.FastRCNN, config: Config, state: train.TrainState, split: data.Dataset
) -> Any:
    """The first test images with the boxes of a probability above one half, truth dashed."""
    some = split.take(slice(8))

    batch = fold({name: jnp.asarray(column) for name, column in some.columns.items()})

    @jax.jit
    def find(variables: Any, batch: dict[str, jax.Array]) -> Any:
        image, apply = batch["image"], functools.partial(model.apply, variables)
        maps: Any = apply(image, train=False, method="features")
        if "proposals" in batch:
            boxes, mask = batch["proposals"], batch["proposal_mask"]
        else:
            anchors = model.anchors(maps, image.shape[2] / image.shape[1])
            proposed: Any = apply(maps, method="propose")
            boxes, mask = ops.best_proposals(
                proposed[0], proposed[1], anchors, num_proposals=config.num_proposals
            )
        outputs: Any = apply(maps, boxes, method="classify")
        return ops.detect_regions(outputs, boxes, mask, score_threshold=0.5, max_outputs=50)

    found = find({"params": state.params, **state.model_state}, batch)
    texts = [
        [f"{NAMES[k]} {p:.2f}" for k, p in zip(classes, scores, strict=True)]
        for classes, scores in zip(np.asarray(found.classes), np.asarray(found.scores), strict=True)
    ]
    return plots.framed(some["image"], np.asarray(found.boxes), texts, truth=some["boxes"])


if __name__ == "__main__":
    cli.run(main, Config)
