"""Ridge, lasso and elastic net over a path of penalties, and the penalty that validates best.

    python -m experiments.regularization_paths

Diabetes, standardized. Published five-fold R2 (scikit-learn): ridge(.1) .4883, lasso(.1) .4866.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, cli, data, plots, runs

NAMES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


@dataclasses.dataclass(frozen=True)
class Config:
    penalties: int = 60  # number of penalties on each path
    l1_ratio: float = 0.5  # of the elastic net
    seed: int = 0  # of the folds
    smoke: bool = False  # a few seconds: ten penalties
    out: pathlib.Path | None = None  # run folder; runs/regularization_paths/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    table = data.tabular.whole(data.load("diabetes"))
    x, y = table["features"], table["target"]
    scaled = data.tabular.fit_standard(x).apply(
        x
    )  # for the figure of the paths; folds scale their own
    number = min(config.penalties, 10) if config.smoke else config.penalties
    squares = jnp.logspace(5, -2, number)  # from the largest down, for warm starts
    absolutes = jnp.logspace(1.7, -2, number)

    methods = {
        "ridge": (squares, lambda x, y, w: classical.ridge_path(x, y, squares, w)[0]),
        "lasso": (absolutes, lambda x, y, w: classical.elastic_net_path(x, y, absolutes, w)[0]),
        "elastic net": (
            absolutes,
            lambda x, y, w: classical.elastic_net_path(
                x, y, absolutes, w, l1_ratio=config.l1_ratio
            )[0],
        ),
    }

    def r_squared(fitted, x, y, weights):  # one score a penalty
        scaler, path = fitted
        predictions = jax.vmap(classical.linear, (0, None))(path, scaler.apply(x))
        return jax.vmap(classical.r_squared, (0, None, None))(predictions, y, weights)

    folds = classical.k_folds(len(y), 5, seed=config.seed)
    results, paths, curves = {}, {}, {}
    with runs.open(config, name="regularization_paths", out=config.out) as run:
        for name, (penalties, fit) in methods.items():
            paths[name] = (penalties, fit(scaled, y, jnp.ones(len(y))).coefficients)

            def fit_scaled(x, y, weights, fit=fit):
                scaler = data.tabular.fit_standard(x, weights)
                return scaler, fit(scaler.apply(x), y, weights)

            scores = classical.cross_validate(fit_scaled, r_squared, x, y, folds)
            curves[name] = (penalties, scores.train, scores.validation)
            mean = np.asarray(scores.validation.mean(axis=0))
            best = int(mean.argmax())
            label = name.replace(" ", "_")
            results[f"{label}/r2"] = float(mean[best])
            results[f"{label}/penalty"] = float(penalties[best])
            if name == "ridge":
                chosen, _ = classical.fit_ridge(scaled, y, penalties[best])  # on all rows
                largest = np.argsort(-np.abs(np.asarray(chosen.coefficients)))[:3]
                run.note(f"heaviest by ridge: {', '.join(NAMES[i] for i in largest)}")
            results[f"{label}/zeros"] = float((paths[name][1][best] == 0).sum())
        run.note("each penalty is the best of its path on the mean of the five folds shown")
        run.figure("paths", plots.coefficient_paths(paths, NAMES))
        run.figure("validation", plots.score_curves(curves, x="penalty", y="R2", log=True))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
