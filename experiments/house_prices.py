"""House prices: missing values, outliers, scaling, categories, ridge by five folds.

    python -m experiments.house_prices --data house_prices --data-dir DIR   # the Kaggle files
    python -m experiments.house_prices                                      # diabetes, with holes

The number is the validation root mean squared error of the logarithm, mean over five folds, at the
penalty that is best on these folds. Published on house prices: .170 (Dive into Deep Learning, a
linear model). Without the files the same steps run on the diabetes table, out of which a tenth of
the values is taken.
"""

import dataclasses
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, cli, data, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["diabetes", "house_prices"] = "diabetes"  # which table
    data_dir: pathlib.Path | None = None  # folder or archive of train.csv, or of another table
    target: str = "SalePrice"  # the column that is predicted, its values positive
    codes: tuple[str, ...] = ("MSSubClass",)  # columns of numbers that stand for kinds
    max_missing: float = 0.5  # numeric columns with a larger share missing are dropped
    outliers: float = 6.0  # values further than so many interquartile ranges are clipped
    penalties: int = 30  # of the squares, from 0.1 to 10,000
    seed: int = 0  # of the folds
    smoke: bool = False  # a few seconds: 200 rows
    out: pathlib.Path | None = None  # run folder; runs/house_prices/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    columns, target = table(config)
    numeric = {name: c for name, c in columns.items() if c.dtype.kind in "iuf"}
    text = {name: c for name, c in columns.items() if c.dtype.kind not in "iuf"}
    summary = data.tabular.describe(numeric)
    kept = [name for name in numeric if summary[name]["missing"] <= config.max_missing]
    numbers = np.stack([numeric[name] for name in kept], axis=1).astype(np.float32)
    # A missing category is a category of its own ("").
    one_hot = [data.tabular.OneHotEncoder.fit(column).one_hot(column) for column in text.values()]
    indicators = jnp.asarray(np.concatenate([np.zeros((len(target), 0)), *one_hot], axis=1))

    y = jnp.log(target)
    folds = classical.k_folds(len(y), 5, seed=config.seed)
    penalties = jnp.logspace(-1, 4, config.penalties)

    def design(x, weights):  # everything fitted on the training rows of the fold
        x = data.tabular.fit_bounds(x, weights, rule="iqr", factor=config.outliers).clip(x)
        missing = jnp.isnan(x).astype(x.dtype)
        x = data.tabular.fit_standard(x, weights).apply(x)
        x = data.tabular.fit_imputer(x, weights, how="median").apply(x)
        return jnp.concatenate([x, missing, indicators], axis=1)

    def fit(x, y, weights):
        wide = design(x, weights)
        path, _ = classical.ridge_path(wide, y, penalties, weights)
        return jax.vmap(classical.linear, (0, None))(path, wide)  # predictions [P, N]

    def log_rmse(predictions, x, y, weights):
        error = jax.vmap(classical.mean_squared_error, (0, None, None))(predictions, y, weights)
        return jnp.sqrt(error)

    scores = jax.jit(lambda x, y: classical.cross_validate(fit, log_rmse, x, y, folds))(numbers, y)
    mean = np.asarray(scores.validation.mean(axis=0))
    best = int(mean.argmin())
    with runs.open(config, name="house_prices", out=config.out) as run:
        run.note(data.tabular.format_table({name: summary[name] for name in list(summary)[:12]}))
        whole = int(data.tabular.complete_rows(numbers).sum())
        run.note(f"rows that miss no number: {whole} of {len(numbers)}; the others are filled")
        run.note("published 0.170 on house prices")
        first = dict(list({name: numeric[name] for name in kept}.items())[:18])
        run.figure("boxes", plots.boxes({**first, "target": target}))
        curves = {"ridge": (penalties, scores.train, scores.validation)}
        run.figure("penalty", plots.score_curves(curves, x="penalty", y="log RMSE", log=True))
        return run.finish(
            {
                "validation/log_rmse": float(mean[best]),
                "validation/log_rmse_worst_fold": float(scores.validation[:, best].max()),
                "train/log_rmse": float(scores.train[:, best].mean()),
                "penalty": float(penalties[best]),
                "columns": float(2 * len(kept) + indicators.shape[1]),
            }
        )


def table(config: Config) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of numbers and text, and a positive target."""
    limit = 200 if config.smoke else None
    if config.data == "house_prices":
        columns = dict(
            data.tabular.whole(data.load("house_prices", config.data_dir, limit)).columns
        )
        if config.target not in columns:
            raise ValueError(f"target {config.target!r} is none of the columns {sorted(columns)}")
        target = columns.pop(config.target)
        columns.pop("row", None)
        if target.dtype.kind not in "iuf" or not (target > 0).all():
            raise ValueError(f"target {config.target!r} must be a positive number in every row")
        columns |= {name: columns[name].astype(str) for name in config.codes if name in columns}
        return columns, target.astype(np.float64)
    split = data.tabular.whole(data.load("diabetes", limit=limit))
    rng = np.random.default_rng(config.seed)
    holes = rng.random(split["features"].shape) < 0.1
    features = np.where(holes, np.nan, split["features"])
    columns = {f"feature{i}": column for i, column in enumerate(features.T) if i != 1}
    columns["sex"] = np.where(holes[:, 1], "", np.where(split["features"][:, 1] > 0, "a", "b"))
    return columns, split["target"].astype(np.float64)


if __name__ == "__main__":
    cli.run(main, Config)
