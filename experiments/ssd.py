"""A small SSD: digits scattered over photographs, or blood cells.

    python -m experiments.ssd
    python -m experiments.ssd --data voc --data-dir BCCD --epochs 40 --batch-size 8

The headline is the mean average precision at an IoU of .5 over the whole test split; a detector
that says background everywhere has 0. Blood cells are the 292 and 72 images of BCCD, brought to
120x160, without pretraining. Published on BCCD: YOLOv5 with a transformer .833 (preprints
202410.1892), YOLO-Dense .86 (as cited in Mathematics 13, 3023), YOLOv8n .924 (doi
10.1049/cvi2.12341).
Liu et al. 2016, SSD, arXiv:1512.02325.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, metrics, models, objectives, ops, plots, runs, train

# Sizes of the anchors of each scale in shares of the height, ratios of width to height.
ANCHORS: dict[str, Any] = {
    "scattered_digits": {
        "sizes": ((0.1, 0.14, 0.19, 0.25), (0.27, 0.34), (0.5,)),
        "ratios": (0.58, 0.4, 0.85),
    },
    "voc": {"sizes": ((0.08, 0.12, 0.2), (0.25, 0.4), (0.6,)), "ratios": (1.0, 0.7, 1.4)},
}


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["scattered_digits", "voc"] = "scattered_digits"  # which images
    data_dir: pathlib.Path | None = None  # folder in the layout of PASCAL VOC (voc)
    form: Literal["small", "book"] = "small"  # three scales, hard negatives; five, all anchors
    size: tuple[int, int] = (120, 160)  # height and width that images are brought to (voc)
    base: tuple[int, ...] = (16, 48)  # channels of the first blocks
    width: int = 64  # channels of the others
    epochs: int = 14  # passes over the training set
    batch_size: int = 16  # images per step
    learning_rate: float = 3e-3  # of Adam, at the top of a cosine to zero
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: an epoch of 16 images of 64x96
    out: pathlib.Path | None = None  # run folder; runs/ssd/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    splits, names = load(config)
    epochs = 1 if config.smoke else config.epochs
    if config.form == "book":  # and L1 for the offsets
        model = models.TinySSD(len(names))
        loss = {"negative_ratio": float("inf"), "beta": 0.0}
    else:
        model = models.TinySSD(
            len(names), base=config.base, width=config.width, fold=2, **ANCHORS[config.data]
        )
        loss = {}

    def average_precision(predictions: models.Predictions, anchors: Any, batch: Any) -> Any:
        return metrics.MeanAveragePrecision.from_batch(
            ops.detect(predictions, anchors, max_outputs=50), batch["boxes"], batch["classes"],
            batch["mask"], num_classes=len(names), ignore=batch.get("difficult"),
            thresholds=(0.5,), capacity=50 * len(splits["test"]),
        )  # fmt: skip

    flips = data.images.random_flip, lambda key, x: data.images.random_flip(key, x, vertical=True)
    objective = objectives.multibox(
        model,
        metrics={"boxes": average_precision},
        preprocess=data.images.to_unit,
        augment=data.images.augmentation(*flips) if config.data == "voc" else None,
        **loss,
    )
    num_steps = data.num_steps(len(splits["train"]), config.batch_size, epochs)
    rate = optax.warmup_cosine_decay_schedule(0, config.learning_rate, num_steps // 10, num_steps)
    trainer = train.make(objective, optax.adam(rate), clip_norm=10.0)

    with runs.open(config, name="ssd", out=config.out, resume=config.resume, data=splits) as run:
        for name, split in splits.items():
            run.note(f"{name}: {len(split)} images, {np.sum(split['classes'] >= 0)} objects")
        started = time.perf_counter()
        result = train.fit(
            trainer, splits["train"], epochs=epochs, batch_size=config.batch_size,
            seed=config.seed, run=run,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        found = train.evaluate(trainer, result.state, splits["test"], 25)["boxes"]
        each = dict(zip(names, found.average_precision()[0].tolist(), strict=True))
        curves = {name: found.curve(k)[:2] for k, name in enumerate(names)}
        run.figure("precision_recall", plots.precision_recall(curves, scores=each))
        run.figure("predictions", pictures(model, result.state, splits["test"], names))
        run.figure("curves", plots.curves(result.history))
        return run.finish(
            {
                "test/mAP@0.5": found.compute()["mAP@0.5"],
                "test/mAP@0.5_voc": found.mean("voc")["mAP@0.5"],
                **{f"test/AP@0.5_{name}": value for name, value in each.items()},
                "time/train": seconds,
            }
        )


def load(config: Config) -> tuple[dict[str, data.Dataset], Sequence[str]]:
    """The splits "train" and "test", and the names of the classes."""
    if config.data == "voc":
        if config.data_dir is None:
            raise ValueError("voc is read from files: name their folder (--data-dir)")
        splits = data.readers.read_voc(config.data_dir, size=config.size)
        return dict(splits), splits.info.class_names
    if config.smoke:
        drawn = (
            data.images.scatter_digits(16, split=name, size=(64, 96)) for name in ("train", "test")
        )
        return dict(zip(("train", "test"), drawn, strict=True)), tuple("0123456789")
    splits = data.load("scattered_digits")
    return dict(splits), splits.info.class_names


def pictures(
    model: models.TinySSD, state: train.TrainState, split: data.Dataset, names: Sequence[str]
) -> Any:
    """The first test images with the boxes of a probability above one half, truth dashed."""
    some = split.take(slice(8))

    @jax.jit
    def find(params: Any, model_state: Any, images: jax.Array) -> Any:
        predictions: Any = model.apply({"params": params, **model_state}, images, train=False)
        anchors = model.anchors(*images.shape[1:3])
        return ops.detect(predictions, anchors, score_threshold=0.5, max_outputs=50)

    found = find(state.params, state.model_state, jnp.asarray(some["image"]) / 255)
    return plots.detected(some["image"], found, names, truth=some["boxes"])


if __name__ == "__main__":
    cli.run(main, Config)
