"""Linear regression by least squares, and by batch, mini-batch and stochastic gradient descent.

    python -m experiments.linear_regression                              # diabetes
    python -m experiments.linear_regression --data airfoil --data-dir DIR

Five-fold validation R2 of least squares, and half the mean squared error (of the standardized
target) that each form of descent reaches on all rows. Published: R2 .4892 on diabetes
(scikit-learn), a loss of .242 to .250 by every optimizer on airfoil (Dive into Deep Learning,
chapter 12).
"""

import dataclasses
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, cli, data, losses, metrics, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["diabetes", "airfoil"] = "diabetes"  # which table
    data_dir: pathlib.Path | None = None  # folder of airfoil_self_noise.dat
    epochs: int = 50  # passes of each form of gradient descent
    batch_size: int = 32  # of the mini-batch form
    learning_rate: float = 0.1  # of the batch form; the others take a tenth and a hundredth
    seed: int = 0  # of the folds and the order of the examples
    smoke: bool = False  # a few seconds: five epochs
    out: pathlib.Path | None = None  # run folder; runs/linear_regression/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    table = data.tabular.whole(data.load(config.data, config.data_dir))
    features, target = table["features"], table["target"]
    epochs = min(config.epochs, 5) if config.smoke else config.epochs

    # Held-out R2: the scaler would be fitted in each fold, but least squares does not see units.
    folds = classical.k_folds(len(target), 5, seed=config.seed)

    def r_squared(params, x, y, weights):
        return classical.r_squared(classical.linear(params, x), y, weights)

    def fit(x, y, weights):
        return classical.fit_least_squares(x, y, weights)[0]

    scores = classical.cross_validate(fit, r_squared, features, target, folds)

    # Descent on standardized columns, against the exact answer.
    x = data.tabular.fit_standard(features).apply(features)
    y = data.tabular.fit_standard(target[:, None]).apply(target[:, None])[:, 0]
    exact, _ = classical.fit_least_squares(x, y)

    def half_square(prediction, y):
        return losses.squared_error(prediction, y) / 2

    def mean_loss(params):
        return float(half_square(classical.linear(params, x), y).mean())

    start = classical.Linear(jnp.zeros(x.shape[1]), jnp.zeros(()))
    forms = {
        "batch": (None, config.learning_rate),
        "minibatch": (config.batch_size, config.learning_rate / 10),
        "stochastic": (1, config.learning_rate / 100),
    }
    results = {"validation/r2": float(scores.validation.mean()), "loss/exact": mean_loss(exact)}
    with runs.open(config, name="linear_regression", out=config.out) as run:
        histories = {}
        for name, (batch_size, rate) in forms.items():
            params, histories[name] = classical.gradient_descent(
                half_square,
                start,
                x,
                y,
                learning_rate=rate,
                epochs=epochs,
                batch_size=batch_size,
                key=jax.random.key(config.seed),
            )
            results[f"loss/{name}"] = mean_loss(params)
        # One point after another, by its error or by the sign of it.
        order = np.random.default_rng(config.seed).permutation(np.tile(np.arange(len(y)), epochs))
        for name, trick in (
            ("square_trick", classical.square_trick),
            ("absolute_trick", classical.absolute_trick),
        ):

            def move(line, point, trick=trick):
                return trick(line, *point, config.learning_rate / 100), None

            line = jax.lax.scan(move, start, (x[order], y[order]))[0]
            error = metrics.MeanAbsoluteError.from_batch(classical.linear(line, x), y).compute()
            results |= {f"loss/{name}": mean_loss(line), f"absolute/{name}": float(error)}
        error = metrics.MeanAbsoluteError.from_batch(classical.linear(exact, x), y).compute()
        results["absolute/exact"] = float(error)
        for epoch in range(epochs):
            numbers = {f"{name}/loss": float(values[epoch]) for name, values in histories.items()}
            run.write(epoch + 1, {"epoch": epoch + 1, **numbers})
        run.figure("descent", plots.curves(run.history()))
        run.figure("predicted", plots.predicted(y, classical.linear(exact, x)))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
