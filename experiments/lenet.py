"""LeNet on handwritten digits.

    python -m experiments.lenet                                        # scikit-learn's digits
    python -m experiments.lenet --data mnist --data-dir DIR --epochs 10

LeCun et al., Gradient-based learning applied to document recognition, 1998, fig. 2.
"""

import dataclasses
import functools
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments import _errors
from jaxdl import cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files (MNIST, Fashion-MNIST)
    # ReLU and max pooling; sigmoid and mean pooling; sigmoid, max pooling, no padding at all
    form: Literal["relu", "sigmoid", "unpadded"] = "relu"
    epochs: int = 40  # passes over the training set
    batch_size: int = 32  # examples per step, over all devices
    learning_rate: float = 3e-3  # of Adam, at the start of a cosine to zero
    seed: int = 0  # of the weights and the order of the data
    driver: train.Driver = "auto"  # how batches reach the device
    precision: Literal["float32", "bfloat16"] = "float32"  # what the step computes in
    max_shift: int = 2  # augmentation: pixels by which a training image may be moved
    smoke: bool = False  # a few seconds: little data, two epochs
    out: pathlib.Path | None = None  # run folder; runs/lenet/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


FORMS: dict[str, Any] = {
    "relu": models.LeNet,
    "sigmoid": models.LeNetSigmoid,
    "unpadded": models.LeNetUnpadded,
}
PUBLISHED = {"mnist": 0.9905}


def main(config: Config) -> dict[str, float]:
    if not 0 < config.learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be positive and finite, got {config.learning_rate}")
    if config.max_shift < 0:
        raise ValueError(f"max_shift must not be negative, got {config.max_shift}")
    # Data: "image" [N, H, W, 1] uint8, "label" [N]; batches add "mask" [B], False on padding.
    splits = data.load(config.data, config.data_dir, limit=256 if config.smoke else None)
    epochs = min(config.epochs, 2) if config.smoke else config.epochs

    # The 8x8 digits are drawn twice as large.
    size = splits["train"]["image"].shape[1] * (2 if config.data == "digits" else 1)

    def augment(key: jax.Array, batch: dict) -> dict:
        return {**batch, "image": shift(key, batch["image"], config.max_shift)}

    # What is minimized, by what: three pure functions.
    model = FORMS[config.form](num_classes=len(splits.info.class_names))
    steps = data.num_steps(len(splits["train"]), config.batch_size, epochs)
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    prepare = functools.partial(data.images.to_unit, size=(size, size))
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={
            "accuracy": metrics.Accuracy.from_batch,
            "confusion": metrics.ConfusionMatrix.from_batch,
        },
        preprocess=prepare,
        augment=augment if config.max_shift else None,
    )
    compute_dtype = None if config.precision == "float32" else jnp.dtype(config.precision)
    trainer = train.make(
        objective, optax.adam(schedule), compute_dtype=compute_dtype, grad_norm=True
    )

    def observe(state: train.TrainState, row: dict[str, float]) -> None:
        row["learning_rate"] = schedule(state.step)

    with runs.open(config, name="lenet", out=config.out, resume=config.resume, data=splits) as run:
        result = train.fit(
            trainer,
            splits["train"],
            epochs=epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": splits["test"]},
            after_epoch=observe,
            run=run,
            driver=config.driver,
        )
        final = train.evaluate(trainer, result.state, splits["test"])
        run.figure("curves", plots.curves(result.history))
        run.figure(
            "confusion", plots.confusion(final["confusion"].compute(), splits.info.class_names)
        )

        def predict(variables: Any, batch: Any) -> Any:
            return model.apply(variables, prepare(batch)["image"], train=False)

        variables = {"params": result.state.params, **result.state.model_state}
        _errors.show(run, predict, variables, splits["test"], splits.info.class_names)
        if config.data in PUBLISHED and not config.smoke:
            run.note(f"published test accuracy {PUBLISHED[config.data]}")
        majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
        return run.finish({**train.scalars(final, "test/"), "majority/accuracy": majority})


def shift(key: jax.Array, images: jax.Array, most: int) -> jax.Array:
    """Moves each image of `[B, H, W, C]` by up to `most` pixels either way; zeros come in."""
    offsets = jax.random.randint(key, (len(images), 2), 0, 2 * most + 1)
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))

    def crop(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

    return jax.vmap(crop)(padded, offsets)


if __name__ == "__main__":
    cli.run(main, Config)
