"""Logistic regression: cross-validated accuracy, the area under ROC, and the decision threshold.

    python -m experiments.logistic_regression                       # breast cancer
    python -m experiments.logistic_regression --data face_attributes --degree 2 --data-dir DIR

Everything that is fitted, scalers too, sees the training rows of a fold only.
"""

import dataclasses
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, cli, data, losses, plots, runs

# Of the columns themselves: scikit-learn, five stratified folds, penalty 1; a study of these faces.
PUBLISHED = {"breast_cancer": 0.9789, "face_attributes": 0.968}


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["breast_cancer", "face_attributes"] = "breast_cancer"  # which table
    data_dir: pathlib.Path | None = None  # folder of gender_classification_v7.csv
    degree: int = 1  # of the polynomial in the columns; 2 adds squares and products
    penalty: float = 1.0  # of the squared coefficients (1 / C)
    threshold: float = 0.5  # probability from which class 1 is decided
    seed: int = 0  # of the folds
    smoke: bool = False  # a few seconds: at most 200 rows of each split
    out: pathlib.Path | None = None  # run folder; runs/logistic_regression/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    splits = data.load(config.data, config.data_dir, limit=200 if config.smoke else None)
    table = data.tabular.whole(splits)
    x, y = table["features"], table["label"]
    folds = classical.k_folds(len(y), 5, seed=config.seed, labels=y)

    def fit(x, y, weights):  # both scalers see the training rows of the fold only
        scaler = data.tabular.fit_standard(x, weights)
        wide = data.tabular.polynomial_features(scaler.apply(x), config.degree)
        wide_scaler = data.tabular.fit_standard(wide, weights)
        params, report = classical.fit_logistic(wide_scaler.apply(wide), y, config.penalty, weights)
        return (scaler, wide_scaler), params, report

    def logits(fitted, x):
        (scaler, wide_scaler), params, _ = fitted
        wide = data.tabular.polynomial_features(scaler.apply(x), config.degree)
        return classical.linear(params, wide_scaler.apply(wide))

    def score(fitted, x, y, weights):
        decided = classical.classify(logits(fitted, x), threshold=config.threshold)
        real = weights > 0
        return {
            "accuracy": classical.accuracy(decided, y, weights),
            "precision": _share(real & (decided == 1) & (y == 1), real & (decided == 1)),
            "recall": _share(real & (decided == 1) & (y == 1), real & (y == 1)),
            "auc": _auc(logits(fitted, x), y, weights),
        }

    scores = jax.jit(lambda x, y: classical.cross_validate(fit, score, x, y, folds))(x, y)
    fitted = fit(jnp.asarray(x), jnp.asarray(y), jnp.ones(len(y)))
    loss = losses.sigmoid_cross_entropy(logits(fitted, x), y)
    with runs.open(config, name="logistic_regression", out=config.out) as run:
        if config.degree == 1:
            run.note(f"published accuracy {PUBLISHED[config.data]}, of the columns themselves")
        run.note("degree, penalty and threshold are given: nothing was chosen on these folds")
        run.note(f"worst examples: rows {classical.worst_examples(loss, 5).tolist()}")
        decided = np.asarray(classical.classify(logits(fitted, x), threshold=config.threshold))
        counts = np.zeros((2, 2))
        np.add.at(counts, (y, decided), 1)
        run.figure("confusion", plots.confusion(counts, splits.info.class_names))
        results = {f"validation/{name}": float(v.mean()) for name, v in scores.validation.items()}
        results["train/accuracy"] = float(scores.train["accuracy"].mean())
        results["converged"] = float(fitted[2].converged)
        results["majority/accuracy"] = data.majority_share(y, y)
        return run.finish(results)


def _share(part, whole):
    return jnp.sum(part) / jnp.maximum(jnp.sum(whole), 1)


def _auc(scores, y, weights):
    """Share of (positive, negative) pairs in the right order, ties counting half."""
    pairs = (weights * (y == 1))[:, None] * (weights * (y == 0))[None, :]
    ahead = jnp.sign(scores[:, None] - scores[None, :]) / 2 + 0.5
    return jnp.sum(pairs * ahead) / jnp.sum(pairs)


if __name__ == "__main__":
    cli.run(main, Config)
