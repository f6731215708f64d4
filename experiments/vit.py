"""A vision transformer beside a residual network: the same images, the same steps.

    python -m experiments.vit                                       # scikit-learn's digits
    python -m experiments.vit --data fashion_mnist --data-dir DIR --limit 10000

A transformer knows nothing of neighbors but what it learns, and learns it from few images badly:
Dosovitskiy et al. 2021, arXiv:2010.11929, fig. 3. Both are trained by AdamW with a warm-up and a
cosine to zero, each at the rate that was better on a fifth of the training digits.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import optax

from experiments import _errors
from jaxdl import cli, data, losses, metrics, models, objectives, optim, plots, runs, train

RATES = {"vit": 2e-3, "resnet": 5e-3}


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist", "fashion_mnist", "cifar10"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder of the original files
    limit: int | None = None  # the first so many images of each split only
    networks: tuple[Literal["vit", "resnet"], ...] = ("vit", "resnet")  # what is trained
    patch: int = 2  # side of the transformer's patches; it divides that of the images
    dim: int = 64  # its width
    layers: int = 4  # one above the other
    heads: int = 4  # of its attention
    width: int = 12  # channels of the first stage of the residual network
    epochs: int = 40  # passes over the training set
    batch_size: int = 64  # images per step
    learning_rate: float | None = None  # of AdamW; each network's own if not given
    weight_decay: float = 0.05  # of matrices and kernels
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # half a minute: little data, narrow networks, ten epochs
    out: pathlib.Path | None = None  # run folder; runs/vit/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    splits = data.load(config.data, config.data_dir, limit=512 if config.smoke else config.limit)
    classes = splits.info.class_names or tuple("0123456789")
    majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
    results: dict[str, float] = {}
    with runs.open(config, name="vit", out=config.out, resume=config.resume, data=splits) as run:
        for name in config.networks:
            run.note(f"{name}:")
            model = make_model(config, name, len(classes))
            trainer, result = fitted(config, model, RATES[name], splits, run.part(name))
            final = train.scalars(train.evaluate(trainer, result.state, splits["test"]), "")
            results |= {f"test/{name}_{key}": value for key, value in final.items()}
            results[f"{name}/parameters"] = float(
                sum(leaf.size for leaf in jax.tree.leaves(result.state.params))
            )

            def predict(variables: Any, batch: Any, model: Any = model) -> jax.Array:
                images = data.images.to_unit(batch)["image"]
                return model.apply(variables, images, train=False)

            variables = {"params": result.state.params, **result.state.model_state}
            _errors.show(run, predict, variables, splits["test"], classes, figure=f"{name}_worst")
            run.figure(f"{name}_curves", plots.curves(result.history))
        return run.finish({**results, "majority/accuracy": majority})


def make_model(config: Config, name: str, num_classes: int) -> Any:
    if name == "vit":
        return models.ViT(
            num_classes,
            patch=config.patch,
            dim=16 if config.smoke else config.dim,
            num_layers=2 if config.smoke else config.layers,
            num_heads=config.heads,
        )
    width = 4 if config.smoke else config.width
    return models.ResNet(num_classes, (1, 1, 1, 1), width=width, stem="small")


def fitted(
    config: Config, model: Any, rate: float, splits: data.DatasetDict, run: Any
) -> tuple[train.Trainer, train.Result]:
    epochs = min(config.epochs, 10) if config.smoke else config.epochs
    steps = data.num_steps(len(splits["train"]), config.batch_size, epochs)
    rate = rate if config.learning_rate is None else config.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, max(1, steps // 20), steps)
    tx = optax.adamw(schedule, weight_decay=config.weight_decay, mask=optim.weights_only)
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )
    trainer = train.make(objective, tx, clip_norm=1.0)
    result = train.fit(
        trainer,
        splits["train"],
        epochs=epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        held_out={"test": splits["test"]},
        run=run,
    )
    return trainer, result


if __name__ == "__main__":
    cli.run(main, Config)
