"""Degree and penalty of a polynomial chosen on validation data; the test set is touched once.

    python -m experiments.polynomial_selection

Diabetes: body mass, blood pressure and two blood values, with their products up to each degree.
The test R2 of the choice stands beside the best test R2 of all candidates, which could not have
been
chosen without looking: reporting that one would be too optimistic.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, cli, data, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    max_degree: int = 5  # of the polynomials tried
    penalties: int = 20  # of the squares, from 0.01 to 10,000
    seed: int = 0  # of the split into training and validation
    smoke: bool = False  # a few seconds: up to degree 2
    out: pathlib.Path | None = None  # run folder; runs/polynomial_selection/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    splits = data.load("diabetes")
    columns = [2, 3, 7, 8]  # bmi, bp, s4, s5
    x, x_test = (splits[part]["features"][:, columns] for part in ("train", "test"))
    y, y_test = (splits[part]["target"] for part in ("train", "test"))
    train, validation = classical.train_test_split(len(y), (0.75, 0.25), seed=config.seed)
    penalties = jnp.logspace(-2, 4, config.penalties)
    max_degree = min(config.max_degree, 2) if config.smoke else config.max_degree

    def r_squared(path, x, y):
        predictions = jax.vmap(classical.linear, (0, None))(path, x)
        return jax.vmap(lambda p: classical.r_squared(p, y, jnp.ones(len(y))))(predictions)

    scores: dict[str, list[jax.Array]] = {"train": [], "validation": [], "test": []}
    scaler = data.tabular.fit_standard(x[train])
    with runs.open(config, name="polynomial_selection", out=config.out) as run:
        for degree in range(1, max_degree + 1):

            def expand(x, degree=degree):
                return data.tabular.polynomial_features(scaler.apply(x), degree)

            wide = data.tabular.fit_standard(expand(x[train]))
            inputs = {
                "train": (wide.apply(expand(x[train])), y[train]),
                "validation": (wide.apply(expand(x[validation])), y[validation]),
                "test": (wide.apply(expand(x_test)), y_test),
            }
            path, _ = classical.ridge_path(*inputs["train"], penalties)
            for part, (features, target) in inputs.items():
                scores[part].append(r_squared(path, features, target))
        grids = {part: np.stack(rows) for part, rows in scores.items()}  # [degrees, penalties]
        choice = np.unravel_index(grids["validation"].argmax(), grids["validation"].shape)
        positions = np.arange(1, max_degree + 1)
        column = choice[1]
        curves = {
            f"penalty {float(penalties[column]):.3g}": (
                positions,
                grids["train"][None, :, column],
                grids["validation"][None, :, column],
            )
        }
        run.figure("degrees", plots.score_curves(curves, x="degree", y="R2"))
        return run.finish(
            {
                "degree": float(choice[0] + 1),
                "penalty": float(penalties[column]),
                "validation/r2": float(grids["validation"][choice]),
                "test/r2": float(grids["test"][choice]),
                "test/r2_optimistic": float(grids["test"].max()),
            }
        )


if __name__ == "__main__":
    cli.run(main, Config)
