"""What preparing a table is worth: missing values, outliers, scales, bins, and order.

    python -m experiments.preprocessing                                # diabetes, spoiled
    python -m experiments.preprocessing --data house_prices --data-dir DIR --target SalePrice

A linear model by gradient descent, five folds, everything fitted on a fold's training rows; R2 of
rows that are held out, mean and spread over the folds. Diabetes is spoiled first: a tenth of the
values is missing, one in fifty is ten times too large, and two columns come in other units.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import classical, cli, data, losses, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["diabetes", "house_prices"] = "diabetes"  # which table
    data_dir: pathlib.Path | None = None  # folder or archive of the table
    target: str = "SalePrice"  # of house_prices; its logarithm is predicted
    steps: int = 1000  # of gradient descent
    learning_rates: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0, 3.0)  # of the study of rates
    seed: int = 0  # of the folds and of the spoiling
    smoke: bool = False  # a few seconds: 200 rows, 100 steps
    out: pathlib.Path | None = None  # run folder; runs/preprocessing/DATE-TIME if not given


FILLS: dict[str, str | float] = {"mean": "mean", "median": "median", "mode": "mode", "zero": 0.0}
SCALES: dict[str, Callable] = {
    "z-score": data.tabular.fit_standard,
    "min-max": data.tabular.fit_min_max,
    "robust": data.tabular.fit_robust,
}


def main(config: Config) -> dict[str, float]:
    x, y = table(config)
    steps = 100 if config.smoke else config.steps
    folds = classical.k_folds(len(y), 5, seed=config.seed)
    results: dict[str, float] = {}

    def score(label: str, design: Callable, rows: np.ndarray | None = None) -> None:
        """R2 over the folds of one way to prepare the columns; `rows` are those that train."""
        kept = folds._replace(train=folds.train & (True if rows is None else rows[None]))

        def fit(x, y, weights):
            return descend(design(x, weights), y, weights, rate=0.1, steps=steps)

        def r2(predictions, x, y, weights):
            return classical.r_squared(predictions, y, weights)

        run_folds = jax.jit(lambda x, y: classical.cross_validate(fit, r2, x, y, kept).validation)
        found = run_folds(x, y)
        results[f"r2/{label}"] = float(jnp.mean(found))
        run.note(f"{label:28} R2 {jnp.mean(found):6.3f} +- {jnp.std(found):.3f}")

    def prepared(fill: Any = "mean", rule: Any = "sigma", scale: str = "z-score") -> Callable:
        def design(x, weights):
            bounds = data.tabular.fit_bounds(x, weights, rule=rule) if rule else None
            x = bounds.replace_with(x) if bounds is not None else x  # by NaN, filled below
            x = data.tabular.fit_imputer(x, weights, how=fill).apply(x)
            return SCALES[scale](x, weights).apply(x)

        return design

    with runs.open(config, name="preprocessing", out=config.out) as run:
        run.note(f"{len(y)} rows, {x.shape[1]} columns, {np.isnan(x).mean():.3f} missing")
        complete = data.tabular.complete_rows(x)
        rules = ("none", "sigma") if config.smoke else ("none", "iqr", "mad", "sigma")
        fills = {"mean": FILLS["mean"]} if config.smoke else FILLS
        for rule in rules:
            wanted = None if rule == "none" else rule
            if complete.sum() > 2 * x.shape[1]:  # rows that miss something are left out of training
                score(f"delete rows, {rule}", prepared("mean", wanted), complete)
            for fill, how in fills.items():
                score(f"{fill}, {rule}", prepared(how, wanted))
        # The order of the rows is arbitrary here: a neighbor's value is nobody's.
        score("filled forward, sigma", lambda x, w: prepared()(data.tabular.fill_forward(x), w))
        score("filled backward, sigma", lambda x, w: prepared()(both_ways(x), w))
        for scale in SCALES if not config.smoke else ():
            score(f"scaled by {scale}", prepared(scale=scale))
        score("in five bins a column", lambda x, w: bins(x, w, "quantile"))
        score("above or below the median", halves)

        # Two columns scaled and the others left, raw columns, and every rate on scaled ones.
        filled = data.tabular.fit_imputer(x).apply(x)
        scaled = data.tabular.fit_standard(filled).apply(filled)
        large = jnp.nanstd(x, axis=0) >= jnp.sort(jnp.nanstd(x, axis=0))[-2]
        score("two columns scaled", lambda x, w: jnp.where(large[None], prepared()(x, w), filled))
        for name, columns in (("raw", filled), ("scaled", scaled)):
            results[f"skipped steps/{name}"] = guarded(run, name, columns, y)
        curves, least = {}, least_squares(scaled, y)
        traced = trace(scaled, y, config.learning_rates, steps)
        for rate, history in zip(config.learning_rates, traced, strict=True):
            at = np.unique(np.geomspace(1, steps, 40).astype(int)) - 1
            above = np.clip(history[at] - least, 1e-6, 10)  # what diverges leaves at the top
            name = "error above the least"
            curves[f"rate {rate:g}"] = [
                [{"step": n + 1, name: e} for n, e in zip(at.tolist(), above.tolist(), strict=True)]
            ]
            results[f"mse/rate {rate:g}"] = float(history[-1])
        run.figure("rates", plots.side_by_side(curves, name, x="step", log=True))
        run.figure("boxes", plots.boxes({f"column {i}": c for i, c in enumerate(filled.T[:12])}))
        return run.finish(results)


def least_squares(x: jax.Array, y: jax.Array) -> float:
    """The mean squared error that descent comes down to."""
    params, _ = classical.fit_least_squares(x, y)
    return float(jnp.mean((classical.linear(params, x) - y) ** 2))


def descend(
    x: jax.Array, y: jax.Array, weights: jax.Array, *, rate: jax.typing.ArrayLike, steps: int
) -> jax.Array:
    """Predictions `[N]` of a linear model after so many steps on the weighted rows."""
    return errors(x, y, weights, rate=rate, steps=steps)[0]


def errors(
    x: jax.Array, y: jax.Array, weights: jax.Array, *, rate: jax.typing.ArrayLike, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Predictions `[N]` after the descent, and the mean squared error before each step."""
    x = jnp.concatenate([x, jnp.ones((len(x), 1))], axis=1)
    rate = rate / max(x.shape[1] / 10, 1)  # many columns add up

    def step(w: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        miss = weights * (x @ w - y)
        return w - rate * x.T @ miss / weights.sum(), jnp.mean(miss**2)

    w, history = jax.lax.scan(step, jnp.zeros(x.shape[1]), length=steps)
    return x @ w, history


def trace(x: jax.Array, y: jax.Array, rates: tuple[float, ...], steps: int) -> np.ndarray:
    """The mean squared error along a descent at each rate, `[R, steps]`; inf where it is lost."""

    @jax.jit
    def run(rates: jax.Array) -> jax.Array:
        return jax.vmap(lambda r: errors(x, y, jnp.ones(len(y)), rate=r, steps=steps)[1])(rates)

    return np.nan_to_num(np.asarray(run(jnp.asarray(rates))), nan=np.inf, posinf=np.inf)


def guarded(run: runs.Run, name: str, x: jax.Array, y: jax.Array) -> float:
    """Steps that a trainer with a guard had to skip because a gradient was not finite."""
    rows = data.Dataset({"x": np.asarray(x), "y": np.asarray(y, np.float32)})
    objective = objectives.supervised(
        models.MLP((1,)),
        lambda outputs, y: losses.squared_error(outputs[:, 0], y),
        inputs="x",
        targets="y",
    )
    trainer = train.make(objective, optax.sgd(0.1), skip_nonfinite=10)
    try:
        result = train.fit(trainer, rows, epochs=60, batch_size=len(rows))
        skipped = int(result.state.skipped[1])
        run.note(f"descent on {name} columns: loss {result.history[-1]['train/loss']:.4g}")
    except FloatingPointError as error:
        skipped = 10
        run.note(f"descent on {name} columns: {error}")
    return float(skipped)


def both_ways(x: jax.Array) -> jax.Array:
    """The next value, and the last one where none follows."""
    return data.tabular.fill_forward(data.tabular.fill_backward(x))


def bins(x: jax.Array, weights: jax.Array, strategy: Any) -> jax.Array:
    """Each column as five indicators."""
    x = data.tabular.fit_imputer(x, weights, how="median").apply(x)
    codes = data.tabular.fit_discretizer(x, weights, count=5, strategy=strategy).apply(x)
    return jax.nn.one_hot(codes, 5).reshape(len(x), -1)


def halves(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Each column as one bit."""
    median = data.tabular.fit_imputer(x, weights, how="median")
    return data.tabular.binarize(median.apply(x), median.values[None]) - 0.5


def table(config: Config) -> tuple[np.ndarray, jax.Array]:
    """Numeric columns with holes, and a standardized target."""
    limit = 200 if config.smoke else None
    split = data.tabular.whole(data.load(config.data, config.data_dir, limit))
    if config.data == "house_prices":
        columns = dict(split.columns)
        if config.target not in columns or columns[config.target].dtype.kind not in "iuf":
            raise ValueError(f"target {config.target!r} is no column of numbers")
        y = np.log(columns.pop(config.target).astype(np.float64))
        columns.pop("row", None)
        numbers = [c for c in columns.values() if c.dtype.kind in "iuf"]
        x = np.stack([c for c in numbers if np.isnan(c).mean() < 0.5], axis=1).astype(np.float32)
    else:
        rng = np.random.default_rng(config.seed)
        x, y = split["features"].astype(np.float32).copy(), split["target"].astype(np.float64)
        x[rng.random(x.shape) < 0.02] *= 10
        x[:, [3, 7]] *= 1e4
        x[rng.random(x.shape) < 0.1] = np.nan
    return x, jnp.asarray((y - y.mean()) / y.std(), jnp.float32)


if __name__ == "__main__":
    cli.run(main, Config)
