"""Learning curves of an under-, a well- and an over-fitted polynomial, with a verdict on each.

    python -m experiments.learning_curves

The study has 600 points of `y = (e^x + e^-x + sin x) / 10` in three inputs (here with noise, so
that there is something to over-fit), 5 folds x 40 sizes, all trained in one program a degree.
"""

import dataclasses
import pathlib
import time

import jax
import numpy as np

from jaxdl import classical, cli, data, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    examples: int = 600  # points drawn
    sizes: int = 40  # training sizes from a tenth of the data up
    noise: float = 1.0  # standard deviation added to the target; its square is the baseline
    seed: int = 0  # of the points
    smoke: bool = False  # a few seconds: five sizes
    out: pathlib.Path | None = None  # run folder; runs/learning_curves/DATE-TIME if not given


DEGREES = {"underfitted": 1, "well fitted": 3, "overfitted": 6}


def main(config: Config) -> dict[str, float]:
    rng = np.random.default_rng(config.seed)
    x = 5 * rng.random((config.examples, 3))
    y = (np.exp(x) + np.exp(-x) + np.sin(x)).sum(axis=1) / 10
    y = y + config.noise * rng.normal(size=len(y))
    folds = classical.k_folds(len(y), 5)
    most = int(folds.train.sum(axis=1).min())
    number = min(config.sizes, 5) if config.smoke else config.sizes
    sizes = np.linspace(0.1 * most, most, number).round().astype(int).tolist()

    def least_squares(x, y, weights):
        return classical.fit_least_squares(x, y, weights)[0]

    def mean_squared_error(params, x, y, weights):
        return classical.mean_squared_error(classical.linear(params, x), y, weights)

    results, panels = {}, {}
    with runs.open(config, name="learning_curves", out=config.out) as run:
        for name, degree in DEGREES.items():
            wide = data.tabular.polynomial_features(
                data.tabular.fit_min_max(x, low=-1, high=1).apply(x), degree
            )

            @jax.jit
            def curves(x, y):
                return classical.learning_curve(
                    least_squares, mean_squared_error, x, y, folds, sizes
                )

            start = time.perf_counter()
            scores = jax.block_until_ready(curves(wide, y))
            seconds = time.perf_counter() - start
            panels[f"{name} (degree {degree})"] = (sizes, scores.train, scores.validation)
            baseline = config.noise**2
            verdict = classical.diagnose(
                scores.train[:, -1].mean(),
                scores.validation[:, -1].mean(),
                baseline=baseline,
                tolerance=0.35 * baseline + 1e-6,
            )
            label = name.replace(" ", "_")
            results[f"{label}/bias"] = verdict.bias
            results[f"{label}/variance"] = verdict.variance
            run.note(f"{name}: {verdict.advice} ({5 * number} fits in {seconds:.1f} s)")
        figure = plots.score_curves(panels, y="mean squared error", baseline=config.noise**2)
        for axes in figure.axes:  # a few examples and many products: off the chart
            axes.set_ylim(0, 1.5 * (results["underfitted/bias"] + config.noise**2))
        run.figure("curves", figure)
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
