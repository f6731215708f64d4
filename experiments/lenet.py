"""LeNet on handwritten digits.

    python -m experiments.lenet                                        # scikit-learn's digits
    python -m experiments.lenet --data mnist --data-dir DIR --epochs 10

LeCun et al., Gradient-based learning applied to document recognition, 1998, fig. 2.
"""

import dataclasses
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from jaxdl import cli, data, losses, metrics, models, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files (MNIST, Fashion-MNIST)
    form: Literal["relu", "sigmoid"] = "relu"  # ReLU and max pooling, or as published
    epochs: int = 30  # passes over the training set
    batch_size: int = 64  # examples per step, over all devices
    learning_rate: float = 2e-3  # of Adam, at the start of a cosine to zero
    seed: int = 0  # of the weights and the order of the data
    driver: train.Driver = "auto"  # how batches reach the device
    smoke: bool = False  # a few seconds: little data, two epochs
    out: pathlib.Path | None = None  # run folder; runs/lenet/DATE-TIME if not given


PUBLISHED = {"mnist": 0.9905}


def main(config: Config) -> dict[str, float]:
    if not 0 < config.learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be positive and finite, got {config.learning_rate}")
    # Data: "image" [N, H, W, 1] uint8, "label" [N]; batches add "mask" [B], False on padding.
    splits = data.load(config.data, config.data_dir, limit=256 if config.smoke else None)
    epochs = min(config.epochs, 2) if config.smoke else config.epochs

    # Model, optimizer and the state of the run.
    model_type = models.LeNet if config.form == "relu" else models.LeNetSigmoid
    model = model_type(num_classes=len(splits.info.class_names))
    key, init_key = jax.random.split(jax.random.key(config.seed))
    images = jnp.zeros((1, *splits["train"]["image"].shape[1:]))
    params, model_state = train.linen_init(model, init_key, images)
    steps = epochs * data.num_batches(len(splits["train"]), config.batch_size)
    tx = optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps))
    state = train.TrainState.create(params=params, model_state=model_state, tx=tx, key=key)

    # What is minimised, one step, one evaluation: pure functions.
    objective = train.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={
            "accuracy": metrics.Accuracy.from_batch,
            "confusion": metrics.ConfusionMatrix.from_batch,
        },
        prepare=data.to_unit,
    )
    step = train.make_step(objective, tx)
    eval_step = jax.jit(train.make_eval(objective))

    def test(state: train.TrainState) -> dict[str, float]:
        return train.scalars(train.evaluate(eval_step, state, splits["test"], 1000), "test/")

    checksums = {name: split.checksum() for name, split in splits.items()}
    with runs.open(config, name="lenet", out=config.out, data=checksums) as run:
        result = train.fit(
            step,
            state,
            splits["train"],
            epochs=epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            evaluate=test,
            run=run,
            driver=config.driver,
        )
        final = train.evaluate(eval_step, result.state, splits["test"], 1000)
        run.figure("curves", plots.curves(result.history))
        run.figure(
            "confusion", plots.confusion(final["confusion"].compute(), splits.info.class_names)
        )
        if config.data in PUBLISHED and not config.smoke:
            run.note(f"published test accuracy {PUBLISHED[config.data]}")
        return run.finish(train.scalars(final, "test/"))


if __name__ == "__main__":
    cli.run(main, Config)
