"""Augmentation: one photograph in many versions, and what it is worth on a small training set.

    python -m experiments.augmentation --examples 100 --seeds 3

The same network sees a few of scikit-learn's digits as they are, or turned, moved and scaled anew
in every epoch; the mean over the seeds is reported.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    examples: int = 100  # training images
    epochs: int = 200  # passes over them
    batch_size: int = 50  # examples per step
    learning_rate: float = 3e-3  # of Adam, at the start of a cosine to zero
    degrees: float = 12.0  # augmentation: turned by up to so many degrees
    translate: float = 0.1  # augmentation: moved by up to this share of the side
    seed: int = 0  # of the first run
    seeds: int = 3  # runs each, with and without
    smoke: bool = False  # a few seconds: twenty epochs, one seed
    out: pathlib.Path | None = None  # run folder; runs/augmentation/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if config.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {config.seeds}")
    splits = data.load("digits")
    if not config.batch_size <= config.examples <= len(splits["train"]):
        raise ValueError(
            f"examples must be between batch_size {config.batch_size} and {len(splits['train'])}, "
            f"got {config.examples}"
        )
    small = splits["train"].take(slice(config.examples))
    move = functools.partial(
        data.images.random_affine,
        degrees=config.degrees,
        translate=config.translate,
        scale=(0.9, 1.1),
    )
    with runs.open(
        config, name="augmentation", out=config.out, resume=config.resume, data=splits
    ) as run:
        run.figure("versions", versions(config.seed))
        accuracy: dict[str, list[float]] = {"plain": [], "augmented": []}
        for seed in range(config.seed, config.seed + (1 if config.smoke else config.seeds)):
            for name, augment in (("plain", None), ("augmented", data.images.augmentation(move))):
                part = run.part(f"{name}-{seed}")
                accuracy[name].append(
                    train_and_test(config, seed, small, splits["test"], augment, part)
                )
                run.note(f"seed {seed} {name}: test accuracy {accuracy[name][-1]:.4f}")
        means = {f"test/{n}": float(np.mean(each)) for n, each in accuracy.items()}
        majority = data.majority_share(small["label"], splits["test"]["label"])
        return run.finish({**means, "majority/accuracy": majority})


def train_and_test(
    config: Config,
    seed: int,
    small: data.Dataset,
    test: data.Dataset,
    augment: Any,
    run: train.Recorder,
) -> float:
    """Test accuracy of a LeNet after training on `small`."""
    epochs = 20 if config.smoke else config.epochs
    steps = data.num_steps(len(small), config.batch_size, epochs)
    objective = objectives.supervised(
        models.LeNet(num_classes=10),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=functools.partial(
            data.images.to_unit, size=(16, 16)
        ),  # twice as large as they are
        augment=augment,
    )
    trainer = train.make(
        objective, optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps))
    )
    result = train.fit(
        trainer, small, epochs=epochs, batch_size=config.batch_size, seed=seed, run=run
    )
    return train.scalars(train.evaluate(trainer, result.state, test))["accuracy"]


def versions(seed: int):
    """A figure of one photograph under every transform."""
    from sklearn.datasets import load_sample_images

    photo = jnp.asarray(load_sample_images().images[1][::4, 50:590:4]) / 255.0
    crop = functools.partial(data.images.random_resized_crop, size=photo.shape[:2])
    turn = functools.partial(data.images.random_affine, degrees=30, translate=0.1, scale=(0.8, 1.2))
    transforms: dict[str, Callable[..., dict[str, jax.Array]]] = {
        "flip": data.images.random_flip,
        "crop": crop,
        "turn, move, scale": turn,
        "color": data.images.random_color,
        "noise": functools.partial(data.images.random_noise, sigma=0.1, specks=0.02),
        "cutout": functools.partial(data.images.cutout, size=40),
    }
    panels: dict[str, jax.Array] = {"as it is": photo}
    for number, (name, transform) in enumerate(transforms.items()):
        batch = {"image": jnp.stack([photo] * 2)}
        key = jax.random.fold_in(jax.random.key(seed), number)
        for version, image in enumerate(data.images.augmentation(transform)(key, batch)["image"]):
            panels[f"{name} {version + 1}"] = image
    every = data.images.augmentation(data.images.random_flip, crop, data.images.random_color)
    batch = {"image": jnp.stack([photo] * 3)}
    for version, image in enumerate(every(jax.random.key(seed), batch)["image"]):
        panels[f"flip, crop, color {version + 1}"] = image
    return plots.gallery(panels)


if __name__ == "__main__":
    cli.run(main, Config)
