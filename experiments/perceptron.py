"""The perceptron on separable data, on XOR, which it cannot learn, and on real tables.

    python -m experiments.perceptron

Two iris measurements separate setosa from the rest, so it stops; XOR keeps it going to its limit;
on breast cancer the average of the weights does better than the last ones. Published for the last
ones: .9666 (scikit-learn, five folds).
"""

import dataclasses
import pathlib

import numpy as np

from jaxdl import classical, cli, data, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    max_epochs: int = 100  # where data that cannot be separated stop
    seed: int = 0  # of the order of the examples and the folds
    smoke: bool = False  # a few seconds: ten epochs
    out: pathlib.Path | None = None  # run folder; runs/perceptron/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    epochs = min(config.max_epochs, 10) if config.smoke else config.max_epochs
    iris = data.load("iris")["train"]
    flowers = iris["features"][:, [0, 2]]  # length of sepal and petal
    flowers = np.asarray(data.tabular.fit_standard(flowers).apply(flowers))
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    toys = {"iris": (flowers, iris["label"] > 0), "xor": (corners, np.array([0, 1, 1, 0]))}

    results, panels = {}, {}
    for name, (x, y) in toys.items():
        params, report = classical.fit_perceptron(x, y, max_epochs=epochs)
        fires = np.asarray(classical.linear(params, x)) > 0
        results[f"{name}/accuracy"] = float((fires == y).mean())
        results[f"{name}/epochs"] = float(report.steps)
        results[f"{name}/majority"] = data.majority_share(y, y)
        results[f"{name}/separated"] = float(report.converged)
        title = f"{name}: {'separated' if report.converged else 'stopped at its limit'}"
        panels[title] = (lambda g, p=params: classical.linear(p, g) > 0, x, np.asarray(y, int))

    cancer = data.tabular.whole(data.load("breast_cancer"))
    cancer = cancer.take(np.random.default_rng(config.seed).permutation(len(cancer)))
    x, y = cancer["features"], cancer["label"]
    folds = classical.k_folds(len(y), 5, seed=config.seed, labels=y)

    def accuracy(fitted, x, y, weights):
        scaler, params = fitted
        decided = classical.linear(params, scaler.apply(x)) > 0
        return classical.accuracy(decided, y == 1, weights)

    for name, average in (("last", False), ("average", True)):

        def fit(x, y, weights, average=average):
            scaler = data.tabular.fit_standard(x, weights)
            x = scaler.apply(x)
            params, _ = classical.fit_perceptron(x, y, weights, average=average, max_epochs=epochs)
            return scaler, params

        scores = classical.cross_validate(fit, accuracy, x, y, folds)
        results[f"breast_cancer/{name}"] = float(scores.validation.mean())
    results["breast_cancer/majority"] = data.majority_share(y, y)
    with runs.open(config, name="perceptron", out=config.out) as run:
        run.note("published accuracy on breast cancer 0.9666")
        run.figure("regions", plots.regions(panels))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
