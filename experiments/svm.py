"""Support vector machines: one kernel after another, and ten classes one against the rest.

    python -m experiments.svm

Published, scikit-learn over five folds: breast cancer RBF .9771, linear .9754; digits, RBF with
gamma .001, one against one, .9900.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, cli, data, ops, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    c: float = 1.0  # price of a unit of slack
    seed: int = 0  # of the folds
    smoke: bool = False  # a few seconds: 200 digits
    out: pathlib.Path | None = None  # run folder; runs/svm/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    cancer, digits = (
        data.tabular.whole(data.load("breast_cancer")),
        data.tabular.whole(data.load("digits")),
    )
    x, y = cancer["features"], cancer["label"]
    kernels: dict[str, ops.Kernel] = {
        "linear": ops.linear_kernel,
        "polynomial": functools.partial(ops.polynomial_kernel, gamma=1 / 30, bias=1.0),
        "rbf": functools.partial(ops.rbf_kernel, gamma=1 / 30),
        "sigmoid": functools.partial(ops.sigmoid_kernel, gamma=1 / 30),
    }
    folds = classical.k_folds(len(y), 5, seed=config.seed, labels=y)

    def accuracy(fitted, x, y, weights):
        scaler, machine = fitted
        decided = classical.kernel_machine(machine, scaler.apply(x)) > 0
        return classical.accuracy(decided, y == 1, weights)

    results = {}
    for name, kernel in kernels.items():

        def fit(x, y, weights, kernel=kernel):
            scaler = data.tabular.fit_standard(x, weights)
            machine, _ = classical.fit_kernel_svm(scaler.apply(x), y, kernel, weights, c=config.c)
            return scaler, machine

        scores = jax.jit(lambda x, y, fit=fit: classical.cross_validate(fit, accuracy, x, y, folds))
        results[f"breast_cancer/{name}"] = float(scores(x, y).validation.mean())
        results[f"support_vectors/{name}"] = float(jnp.sum(fit(x, y, None)[1].coefficients != 0))

    def fit_primal(x, y, weights):  # the squared hinge, by Newton steps
        scaler = data.tabular.fit_standard(x, weights)
        return scaler, classical.fit_linear_svm(scaler.apply(x), y, weights, c=config.c)[0]

    def primal_accuracy(fitted, x, y, weights):
        decided = classical.linear(fitted[1], fitted[0].apply(x)) > 0
        return classical.accuracy(decided, y == 1, weights)

    primal = classical.cross_validate(fit_primal, primal_accuracy, x, y, folds)
    results["breast_cancer/linear_squared_hinge"] = float(primal.validation.mean())

    # Digits, pixels from 0 to 16 as in the source; all classes of a fold in one program.
    digits = digits.take(slice(200 if config.smoke else None))
    pixels = jnp.asarray(np.round(digits["image"].reshape(len(digits), -1) * (16 / 255)))
    labels = jnp.asarray(digits["label"])
    kernel = functools.partial(ops.rbf_kernel, gamma=0.001)

    def fit_digits(x, y, weights):
        def one_class(x, y):
            return classical.fit_kernel_svm(x, y, kernel, weights, c=config.c)[0]

        return classical.fit_one_vs_rest(one_class, x, y, 10)

    def digit_accuracy(machines, x, y, weights):
        scores = classical.one_vs_rest_scores(classical.kernel_machine, machines, x)
        return classical.accuracy(jnp.argmax(scores, axis=1), y, weights)

    folds = classical.k_folds(len(digits), 5, seed=config.seed)
    scores = jax.jit(
        lambda x, y: classical.cross_validate(fit_digits, digit_accuracy, x, y, folds)
    )(pixels, labels)
    results["digits/rbf"] = float(scores.validation.mean())
    results["digits/majority"] = data.majority_share(labels, labels)
    results["breast_cancer/majority"] = data.majority_share(y, y)

    panels = {}
    flat = np.asarray(data.tabular.fit_standard(x).apply(x))[:, [0, 1]]  # mean radius and texture
    for name in ("linear", "rbf"):
        kernel = functools.partial(ops.rbf_kernel, gamma=0.5) if name == "rbf" else kernels[name]
        machine, _ = classical.fit_kernel_svm(flat, y, kernel, c=config.c)
        panels[name] = (lambda g, m=machine: classical.kernel_machine(m, g) > 0, flat, y)
    with runs.open(config, name="svm", out=config.out) as run:
        run.note("published: breast cancer rbf 0.9771, linear 0.9754; digits 0.9900")
        run.figure("regions", plots.regions(panels))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
