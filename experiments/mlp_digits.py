"""Small multi-layer perceptrons on scikit-learn's 8x8 digits.

python -m experiments.mlp_digits                      # is it a one? 64-25-15-1, zeros and ones
python -m experiments.mlp_digits --task ten           # which digit is it? 64-25-15-10
python -m experiments.mlp_digits --task attributes    # odd? above four? with a loop? 64-25-15-3
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import _errors
from jaxdl import cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    task: Literal["one", "ten", "attributes"] = "one"  # the question about a digit
    hidden: tuple[int, ...] = (25, 15)  # widths of the hidden layers
    epochs: int = 60  # passes over the training set
    batch_size: int = 32  # examples per step
    learning_rate: float = 3e-3  # of Adam, at the start of a cosine to zero
    dropout: float = 0.0  # share of each hidden layer that is dropped in training
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: little data, two epochs
    out: pathlib.Path | None = None  # run folder; runs/mlp_digits/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


ATTRIBUTES = {"odd": (1, 3, 5, 7, 9), "above four": (5, 6, 7, 8, 9), "has a loop": (0, 6, 8, 9)}
PUBLISHED = 0.9772  # scikit-learn's MLPClassifier with 100 hidden units, five folds


def main(config: Config) -> dict[str, float]:
    if not 0 < config.learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be positive and finite, got {config.learning_rate}")
    splits = data.load("digits", limit=256 if config.smoke else None)
    epochs = min(config.epochs, 2) if config.smoke else config.epochs
    if config.task == "one":  # zeros and ones alone
        chosen = {name: split.take(split["label"] < 2) for name, split in splits.items()}
    else:
        chosen = dict(splits.items())
    targets, loss, measures = TASKS[config.task]

    def preprocess(batch: dict) -> dict:
        return {**data.images.to_unit(batch), "label": targets(batch["label"])}

    outputs = {"one": 1, "ten": 10, "attributes": len(ATTRIBUTES)}[config.task]
    model = models.MLP((*config.hidden, outputs), dropout=config.dropout)
    steps = epochs * data.num_batches(len(chosen["train"]), config.batch_size)
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    objective = objectives.supervised(model, loss, metrics=measures, preprocess=preprocess)
    trainer = train.make(objective, optax.adam(schedule))

    with runs.open(config, name="mlp_digits", out=config.out, resume=config.resume) as run:
        result = train.fit(
            trainer,
            chosen["train"],
            epochs=epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": chosen["test"]},
            run=run,
        )
        final = train.evaluate(trainer, result.state, chosen["test"])
        run.figure("curves", plots.curves(result.history))
        if config.task == "ten":
            names = splits.info.class_names
            run.figure("confusion", plots.confusion(final["confusion"].compute(), names))

            def predict(variables: Any, batch: Any) -> Any:
                return model.apply(variables, data.images.to_unit(batch)["image"], train=False)

            variables = {"params": result.state.params, **result.state.model_state}
            _errors.show(run, predict, variables, chosen["test"], names)
            run.note(f"published accuracy, scikit-learn's 64-100-10: {PUBLISHED}")
        if config.task == "attributes":
            each = dataclasses.replace(final["labels"], average=None).compute()
            for name, precision, recall in zip(
                ATTRIBUTES, np.asarray(each["precision"]), np.asarray(each["recall"]), strict=True
            ):
                run.note(f"{name:12} precision {precision:.3f}  recall {recall:.3f}")
        results = train.scalars(final, "test/")
        kinds = attributes if config.task == "attributes" else lambda labels: labels[:, None]
        seen, wanted = (np.asarray(kinds(chosen[part]["label"])).T for part in ("train", "test"))
        shares = [data.majority_share(*pair) for pair in zip(seen, wanted, strict=True)]
        results["majority/accuracy"] = float(np.mean(shares))  # over the questions
        return run.finish(results)


def attributes(labels: jax.typing.ArrayLike) -> jax.Array:
    """Yes or no to each question about a digit, `[B]` to `[B, 3]`."""
    answers = np.stack([np.isin(np.arange(10), digits) for digits in ATTRIBUTES.values()], axis=1)
    return jnp.asarray(answers)[jnp.asarray(labels)]


# Of each task: its targets, its loss, its metrics.
TASKS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "one": (
        lambda labels: labels,
        lambda logits, y: losses.sigmoid_cross_entropy(logits[:, 0], y),
        {
            "accuracy": lambda z, y, mask: metrics.Accuracy.from_batch(z[:, 0] > 0, y, mask),
            "auc": lambda z, y, mask: metrics.AUROC.from_batch(z[:, 0], y, mask, capacity=2048),
        },
    ),
    "ten": (
        lambda labels: labels,
        losses.softmax_cross_entropy,
        {
            "accuracy": metrics.Accuracy.from_batch,
            "calibration": metrics.CalibrationError.from_batch,
            "confusion": metrics.ConfusionMatrix.from_batch,
        },
    ),
    "attributes": (
        attributes,
        losses.sigmoid_cross_entropy,
        {
            "accuracy": lambda z, y, mask: metrics.Accuracy.from_batch(z > 0, y, mask),
            "labels": lambda z, y, mask: metrics.PrecisionRecall.from_multilabel(z > 0, y, mask),
        },
    ),
}


if __name__ == "__main__":
    cli.run(main, Config)
