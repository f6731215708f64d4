"""Any of the image classifiers on MNIST, Fashion-MNIST, CIFAR-10 or the embedded digits.

    python -m experiments.convnets --network lenet_bn                    # scikit-learn's digits
    python -m experiments.convnets --network resnet18 --data fashion_mnist --data-dir DIR

The book's recipe is plain SGD for 10 epochs; the modern one is Nesterov momentum, a cosine to zero,
weight decay and label smoothing. `--limit N` takes the first N images only, for the large networks
on a CPU. Networks with published weights leave theirs in `weights.safetensors`, under torch's
names: with `--network resnet18 --data cifar10` a body for `experiments.finetune`.
"""

import dataclasses
import functools
import pathlib
from typing import Any, Literal

import flax.linen as linen
import jax
import jax.numpy as jnp
import optax

from experiments import _errors
from jaxdl import cli, data, losses, metrics, models, objectives, ops, optim, plots, runs, train
from jaxdl.models import weights
from jaxdl.nn import BatchNorm, Conv


class LeNetBN(linen.Module):
    """LeNet's published form with batch norm before every activation, as in the book."""

    num_classes: int
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, *, train: bool) -> jax.Array:
        conv = functools.partial(Conv, kernel_size=5, dtype=self.dtype)
        dense = functools.partial(linen.Dense, dtype=self.dtype)

        def activate(x: jax.Array) -> jax.Array:
            return linen.sigmoid(BatchNorm()(x, mask, train=train))

        x = ops.avg_pool(activate(conv(6, padding="SAME")(x)), 2)
        x = ops.avg_pool(activate(conv(16)(x)), 2).reshape(len(x), -1)
        x = activate(dense(84)(activate(dense(120)(x))))
        return dense(self.num_classes)(x)


# Network, image size of the book, learning rate of the book at batch 128 (LeNet: 256).
NETWORKS: dict[str, tuple[Any, int, float]] = {
    "lenet": (models.LeNetSigmoid, 28, 0.9),
    "lenet_relu": (models.LeNet, 28, 0.1),
    "lenet_bn": (LeNetBN, 28, 1.0),
    "lenet_unpadded": (models.LeNetUnpadded, 28, 0.9),
    "mnist_cnn": (models.MnistCNN, 28, 0.05),
    "alexnet": (models.AlexNet, 224, 0.01),
    "alexnet_2012": (models.AlexNet2012, 224, 0.01),
    "vgg11": (functools.partial(models.VGG11, widths=(16, 32, 64, 128, 128)), 224, 0.05),
    "nin": (models.NiN, 224, 0.1),
    "googlenet": (models.GoogLeNet, 96, 0.1),
    "googlenet_plain": (models.GoogLeNetPlain, 96, 0.1),
    "resnet18": (models.ResNet18, 96, 0.05),
    "densenet": (models.DenseNetSmall, 96, 0.1),
}
BOOK = {  # test accuracy on Fashion-MNIST after 10 epochs, lowest and highest edition
    "lenet": "0.779-0.789", "lenet_bn": "0.807-0.838", "alexnet": "0.882", "vgg11": "0.922",
    "nin": "0.785-0.790", "googlenet": "0.883-0.886", "resnet18": "0.893-0.918",
    "densenet": "0.821-0.885",
}  # fmt: skip
Network = Literal[
    "lenet", "lenet_relu", "lenet_bn", "lenet_unpadded", "mnist_cnn", "alexnet", "alexnet_2012",
    "vgg11", "nin", "googlenet", "googlenet_plain", "resnet18", "densenet",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    network: Network = "lenet_bn"  # which architecture
    data: Literal["digits", "mnist", "fashion_mnist", "cifar10"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files
    recipe: Literal["book", "modern"] = "book"  # plain SGD, or momentum, cosine and decay
    limit: int | None = None  # the first so many images of each split only
    size: int | None = None  # side of the images in pixels, the book's if not given
    epochs: int = 10  # passes over the training set
    batch_size: int = 256  # examples per step, over all devices
    learning_rate: float = 0.0  # 0 takes the recipe's
    bfloat16: bool = False  # compute in bfloat16, parameters in float32
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: little data, two epochs
    out: pathlib.Path | None = None  # run folder; runs/convnets/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if config.size is not None and config.size < 1:
        raise ValueError(f"size must be at least 1, got {config.size}")
    limit = 128 if config.smoke else config.limit
    splits = data.load(config.data, config.data_dir, limit=limit)
    build, size, rate = NETWORKS[config.network]
    size, epochs = config.size or size, min(config.epochs, 2) if config.smoke else config.epochs
    names = splits.info.class_names or tuple("0123456789")
    model = build(num_classes=len(names))
    if config.bfloat16:
        model = model.clone(dtype=jnp.bfloat16)

    batch_size = min(config.batch_size, len(splits["train"]))
    steps = epochs * data.num_batches(len(splits["train"]), batch_size)
    modern = config.recipe == "modern"
    rate = config.learning_rate or (0.1 if modern else rate)
    tx = optax.sgd(rate)
    if modern:
        decay = optax.add_decayed_weights(5e-4, mask=optim.weights_only)
        schedule = optax.cosine_decay_schedule(rate, steps)
        tx = optax.chain(decay, optax.sgd(schedule, momentum=0.9, nesterov=True))
    prepare = functools.partial(data.images.to_unit, size=(size, size))
    objective = objectives.supervised(
        model,
        functools.partial(losses.softmax_cross_entropy, label_smoothing=0.1 if modern else 0.0),
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=prepare,
    )
    trainer = train.make(objective, tx)
    with runs.open(
        config, name="convnets", out=config.out, resume=config.resume, data=splits
    ) as run:
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
            return model.apply(variables, prepare(batch)["image"], train=False)

        variables = {"params": result.state.params, **result.state.model_state}
        _errors.show(run, predict, variables, splits["test"], names)
        if hasattr(model, "torch_module"):
            weights.save(run.folder / "weights.safetensors", model, variables)
        if config.data == "fashion_mnist" and config.network in BOOK:
            run.note(f"the book's test accuracy after 10 epochs: {BOOK[config.network]}")
        final = train.evaluate(trainer, result.state, splits["test"])
        majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
        return run.finish({**train.scalars(final, "test/"), "majority/accuracy": majority})


if __name__ == "__main__":
    cli.run(main, Config)
