"""ResNet-18 with the small stem on CIFAR-10: the recipe that everybody compares with.

    python -m experiments.cifar --data-dir DIR        # the binary version, 50,000 images
    python -m experiments.cifar --smoke               # digits in color, seconds on a CPU

SGD at 0.1 with Nesterov momentum 0.9 and decay 5e-4, a cosine to zero over 200 epochs, crops after
padding by 4 pixels, and flips; published results of this recipe lie above 95 %.
He et al. 2016, arXiv:1512.03385, sec. 4.2; Loshchilov & Hutter 2017, arXiv:1608.03983.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments import _errors
from jaxdl import cli, data, losses, metrics, models, objectives, optim, plots, runs, train

MEAN = (0.4914, 0.4822, 0.4465)  # of the training images, by channel
DEVIATION = (0.2470, 0.2435, 0.2616)


@dataclasses.dataclass(frozen=True)
class Config:
    data_dir: pathlib.Path | None = None  # folder with data_batch_1.bin ... test_batch.bin
    epochs: int = 200  # passes over the training set
    batch_size: int = 128  # examples per step, over all devices
    learning_rate: float = 0.1  # at the start of the cosine
    weight_decay: float = 5e-4  # coupled, on kernels only
    width: int = 64  # channels of the first stage
    bfloat16: bool = False  # compute in bfloat16, parameters in float32
    seed: int = 0  # of the weights, the order of the data and the augmentation
    smoke: bool = False  # a few seconds: digits in color, a narrow network, two epochs
    out: pathlib.Path | None = None  # run folder; runs/cifar/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def preprocess(batch: dict) -> dict:
    image = data.images.to_unit(batch)["image"]
    image = jnp.broadcast_to(image, (*image.shape[:-1], 3))
    mean, deviation = (jnp.asarray(v)[None, None, None] for v in (MEAN, DEVIATION))
    return {**batch, "image": (image - mean) / deviation}


def augment(key: jax.Array, batch: dict) -> dict:
    """A crop after zero padding by 4 pixels, and a flip of every other image."""
    crop_key, flip_key = jax.random.split(key)
    images = batch["image"]
    offsets = jax.random.randint(crop_key, (len(images), 2), 0, 9)
    flips = jax.random.bernoulli(flip_key, 0.5, (len(images),))
    padded = jnp.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))

    def one(image: jax.Array, offset: jax.Array, flip: jax.Array) -> jax.Array:
        image = jax.lax.dynamic_slice(image, (*offset, 0), images.shape[1:])
        return jnp.where(flip, image[:, ::-1], image)

    return {**batch, "image": jax.vmap(one)(padded, offsets, flips)}


def main(config: Config) -> dict[str, float]:
    name = "digits" if config.smoke and config.data_dir is None else "cifar10"
    splits = data.load(name, config.data_dir, limit=96 if config.smoke else None)
    epochs, width = (2, 4) if config.smoke else (config.epochs, config.width)
    stages = (1, 1) if config.smoke else (2, 2, 2, 2)  # ResNet-18
    batch_size = min(config.batch_size, len(splits["train"]))
    model = models.ResNet(
        10, stages, stem="small", width=width, dtype=jnp.bfloat16 if config.bfloat16 else None
    )
    steps = epochs * data.num_batches(len(splits["train"]), batch_size)
    tx = optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=optim.weights_only),
        optax.sgd(
            optax.cosine_decay_schedule(config.learning_rate, steps), momentum=0.9, nesterov=True
        ),
    )
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=preprocess,
        augment=augment,
    )
    trainer = train.make(objective, tx)
    with runs.open(config, name="cifar", out=config.out, resume=config.resume, data=splits) as run:
        result = train.fit(
            trainer,
            splits["train"],
            epochs=epochs,
            batch_size=batch_size,
            seed=config.seed,
            held_out={"test": splits["test"]},
            run=run,
        )
        run.figure("curves", plots.curves(result.history))

        def predict(variables: Any, batch: Any) -> Any:
            return model.apply(variables, preprocess(batch)["image"], train=False)

        variables = {"params": result.state.params, **result.state.model_state}
        _errors.show(run, predict, variables, splits["test"], splits.info.class_names)
        run.note("published with this recipe: above 0.95 after 200 epochs")
        final = train.evaluate(trainer, result.state, splits["test"])
        majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
        return run.finish({**train.scalars(final, "test/"), "majority/accuracy": majority})


if __name__ == "__main__":
    cli.run(main, Config)
