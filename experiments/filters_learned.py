"""What a convolutional network has learned to look for: first kernels and feature maps as figures.

    python -m experiments.filters_learned                         # scikit-learn's digits
    python -m experiments.filters_learned --data fashion_mnist --data-dir DIR

Trains a small convolutional network and draws the 32 kernels of its first layer, before and after,
and what they respond to in one test image of each of four classes.
"""

import dataclasses
import functools
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, ops, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files
    epochs: int = 10  # passes over the training set
    batch_size: int = 64  # examples per step
    learning_rate: float = 1e-3  # of Adam
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: little data, one epoch
    out: pathlib.Path | None = None  # run folder; runs/filters_learned/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


BODY = ((4, 1, 0), (3, 3, 0), (4, 1, 0), (3, 3, 0))  # kernel, stride, padding of the network

preprocess = functools.partial(data.images.to_unit, size=(28, 28))


def main(config: Config) -> dict[str, float]:
    splits = data.load(config.data, config.data_dir, limit=128 if config.smoke else None)
    model = models.MnistCNN(num_classes=len(splits.info.class_names))
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=preprocess,
    )
    trainer = train.make(objective, optax.adam(config.learning_rate))
    state = trainer.init(jax.random.key(config.seed), next(data.batches(splits["train"], 1)))
    before = np.asarray(state.params["conv1"]["kernel"])
    with runs.open(config, name="filters_learned", out=config.out, resume=config.resume) as run:
        result = train.fit(
            trainer,
            splits["train"],
            state,
            epochs=1 if config.smoke else config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            run=run,
        )
        kernels = np.asarray(result.state.params["conv1"]["kernel"])  # [4, 4, 1, 32]
        run.figure("kernels_before", plots.tiles(before[..., 0, :].transpose(2, 0, 1), signed=True))
        run.figure("kernels", plots.tiles(kernels[..., 0, :].transpose(2, 0, 1), signed=True))

        # One test image of each of the first four classes, and the maps that its kernels make.
        labels = splits["test"]["label"]
        chosen = splits["test"].take(np.array([np.flatnonzero(labels == k)[0] for k in range(4)]))
        images = preprocess({"image": jnp.asarray(chosen["image"])})["image"]
        fields = [ops.receptive_field(BODY[: i + 1]).size for i in range(len(BODY))]
        run.note(f"pixels that one number of each layer sees, across: {fields}")
        layer = result.state.params["conv1"]
        maps = jax.nn.relu(ops.conv(images, layer["kernel"], layer["bias"]))  # [4, 25, 25, 32]
        for image, map_, name in zip(images, maps, splits.info.class_names, strict=False):
            run.figure(f"maps_{name.replace(' ', '_')}", plots.tiles(map_.transpose(2, 0, 1)))
            run.figure(f"image_{name.replace(' ', '_')}", plots.tiles(image[None, ..., 0]))
        final = train.evaluate(trainer, result.state, splits["test"])
        changed = np.linalg.norm(kernels - before) / np.linalg.norm(before)
        numbers = {**train.scalars(final, "test/"), "kernels/relative_change": float(changed)}
        majority = data.majority_share(splits["train"]["label"], labels)
        return run.finish({**numbers, "majority/accuracy": majority})


if __name__ == "__main__":
    cli.run(main, Config)
