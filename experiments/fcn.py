"""Fully convolutional networks: a class for every pixel.

    python -m experiments.fcn                                      # digits over photographs
    python -m experiments.fcn --data camvid --data-dir DIR --body resnet18 --width 16 --levels 5 \\
        --crop 160 192 --no-zoom --no-color --flip --epochs 60 --batch-size 8
    python -m experiments.fcn --data voc_masks --data-dir DIR --body resnet18 --width 64 \\
        --weights resnet18.pth

Mean IoU and pixel accuracy stand beside those of one class everywhere, the most frequent one.

Long, Shelhamer & Darrell, Fully convolutional networks for semantic segmentation, 2015.
"""

import dataclasses
import functools
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import cli, data, losses, metrics, models, objectives, ops, optim, plots, runs, train
from jaxdl.models import weights


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["scattered_digits", "camvid", "voc_masks"] = "scattered_digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files (CamVid, VOC)
    weights: pathlib.Path | None = None  # torch's ResNet-18 for a body resnet18 of width 64
    body: Literal["small", "resnet18"] = (
        "small"  # one block a stage from stride 2, or the known one
    )
    width: int = 24  # channels of the body's first stage
    levels: int = (
        4  # strides that are scored, coarsest first; FCN-32s, 16s, 8s are 1 to 3 of resnet18
    )
    size: tuple[int, int] = (180, 240)  # height and width that images are read at (CamVid, VOC)
    crop: tuple[int, int] = (96, 96)  # height and width of the random crops to train on
    zoom: bool = True  # crops of other scales too, stretched to that size; else cut out as they are
    color: bool = True  # shift the colors of training images
    flip: bool = False  # mirror half of the training images; digits have a right way round
    epochs: int = 14  # passes over the training set
    batch_size: int = 16  # images per step
    learning_rate: float = 0.02  # of Muon, at the start of a cosine to zero; Adam's is a tenth
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: little data, one epoch
    out: pathlib.Path | None = None  # run folder; runs/fcn/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if config.smoke:
        config = dataclasses.replace(config, width=4, levels=2, crop=(64, 64), epochs=1)
    # Data: "image" [N, H, W, 3] uint8, "segmentation" [N, H, W] uint8 with 255 for void.
    splits = read(config)
    names = splits.info.class_names

    if config.body == "small":
        body = models.ResNet(None, stages=(1, 1, 1, 1), stem="half", width=config.width)
    else:
        body = models.ResNet18(None, width=config.width)
    model = models.fcn.fcn(body, len(names), levels=config.levels)
    steps = data.num_steps(len(splits["train"]), config.batch_size, config.epochs)
    tx = optim.muon(
        optim.cosine_decay(config.learning_rate, decay_steps=steps),
        adam_learning_rate=optim.cosine_decay(config.learning_rate / 10, decay_steps=steps),
        adam=("score_*", "up_*"),
    )
    trainer = train.make(segmentation(model, augmentation(config)), tx)
    example = next(data.batches(splits["train"], 1))
    state = trainer.init(jax.random.key(config.seed), example)
    if config.weights is not None:
        state = with_body(state, body, config.weights)

    with runs.open(config, name="fcn", out=config.out, resume=config.resume, data=splits) as run:
        result = train.fit(
            trainer,
            splits["train"],
            state,
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": splits["test"]},
            run=run,
        )
        final = train.evaluate(trainer, result.state, splits["test"], config.batch_size)
        run.figure("curves", plots.curves(result.history))
        shown = splits["test"].take(slice(4))
        predict = jax.jit(lambda x: logits_of(model, result.state, x).argmax(-1))
        pictures = shown["image"], shown["segmentation"], predict(shown["image"])
        run.figure("pixels", plots.segmentations(*pictures, names))
        results = train.scalars(final, "test/") | most_frequent_class(splits["test"], len(names))
        results["test/pixel_accuracy"] = float(final["iou"].pixel_accuracy())
        return run.finish(results)


def read(config: Config) -> data.DatasetDict:
    if config.data == "scattered_digits" or config.data_dir is None:
        splits = data.load(config.data, config.data_dir, limit=32 if config.smoke else None)
        names = ("background", *splits.info.class_names)
        return data.DatasetDict(dict(splits), dataclasses.replace(splits.info, class_names=names))
    reader = data.readers.read_camvid if config.data == "camvid" else data.readers.read_voc_masks
    return reader(config.data_dir, config.size)


def augmentation(config: Config) -> Any:
    crop = functools.partial(data.images.random_crop, size=config.crop)
    if config.zoom:
        crop = functools.partial(
            data.images.random_resized_crop, size=config.crop, area=(0.35, 1.0), ratio=(0.8, 1.25)
        )
    optional = [data.images.random_flip] * config.flip + [data.images.random_color] * config.color
    return data.images.augmentation(crop, *optional)


def segmentation(model: Any, augment: Any) -> objectives.Objective:
    """Mean cross entropy over the pixels that are not void."""

    def score(forward: Any, batch: Any, *, key: Any, train: bool) -> tuple[metrics.Mean, Any]:
        labels = batch["segmentation"].astype(jnp.int32)
        logits = forward(ops.normalize(batch["image"]))
        real = batch["mask"][:, None, None] & (labels != data.images.UNLABELED)
        mean = metrics.Mean.from_values(losses.softmax_cross_entropy(logits, labels), real)
        # Counting pixels of every class takes time in training.
        return mean, {} if train else {"iou": metrics.MeanIoU.from_batch(logits, labels, real)}

    return objectives.build(
        model,
        score,
        inputs=lambda batch: (batch["image"],),
        preprocess=data.images.to_unit,
        augment=augment,
    )


def with_body(state: train.TrainState, body: Any, path: pathlib.Path) -> train.TrainState:
    """The state with the body's part of the tree filled from torch's file."""
    stats = state.model_state["batch_stats"]
    old = {"params": state.params["body"], "batch_stats": stats["body"]}
    loaded, report = weights.load(path, body, old)
    if not report.complete:
        raise ValueError(f"{path} is not this body: {report}")
    return state.replace(
        params={**state.params, "body": loaded["params"]},
        model_state={"batch_stats": {**stats, "body": loaded["batch_stats"]}},
    )


def logits_of(model: Any, state: train.TrainState, images: jax.Array) -> jax.Array:
    variables = {"params": state.params, **state.model_state}
    return model.apply(variables, ops.normalize(images), train=False)


def most_frequent_class(split: data.Dataset, num_classes: int) -> dict[str, float]:
    """What the most frequent class everywhere would reach."""
    labels = split["segmentation"]
    counts = np.bincount(labels[labels != data.images.UNLABELED], minlength=num_classes)
    share = counts.max() / counts.sum()
    return {"test/pixel_accuracy_one_class": share, "test/iou_one_class": share / num_classes}


if __name__ == "__main__":
    cli.run(main, Config)
