"""Experiments on tables and classical learners: each runs in seconds, and shows what it claims."""

import importlib
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import classical

ALL = (
    *("heartbeat", "house_prices", "learning_curves", "linear_regression"),
    *("logistic_regression", "network_size", "perceptron", "polynomial_selection"),
    *("regularization_paths", "softmax_regression", "spam", "svm"),
)
CLAIMS = {
    "house_prices": lambda r: 0.2 < r["validation/log_rmse"] < 0.6,
    "learning_curves": lambda r: r["underfitted/bias"] > 5 > 1 > abs(r["well_fitted/bias"]),
    "linear_regression": lambda r: abs(r["validation/r2"] - 0.4892) < 1e-4,
    "logistic_regression": lambda r: r["validation/accuracy"] > 0.95,
    "perceptron": lambda r: r["iris/separated"] == 1 and r["xor/separated"] == 0,
    "regularization_paths": lambda r: r["lasso/r2"] > 0.48 and r["ridge/zeros"] == 0,
    "spam": lambda r: r["bernoulli/accuracy"] > r["base_rate"],
    "svm": lambda r: r["breast_cancer/rbf"] > 0.97,
}


@pytest.mark.parametrize("name", ALL)
def test_smoke(name, tmp_path):
    module = importlib.import_module(f"experiments.{name}")
    results = module.main(module.Config(smoke=True, out=tmp_path / "run"))
    assert all(value == value for value in results.values())  # no NaN
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == pytest.approx(results)
    assert list((tmp_path / "run").glob("*.png"))
    if name in CLAIMS:
        assert CLAIMS[name](results), results


@pytest.mark.parametrize(
    "name",
    ["linear_regression", "logistic_regression", "perceptron", "regularization_paths", "svm"],
)
def test_folds_get_the_columns_as_they_were_read(name, tmp_path, monkeypatch):
    """What is fitted before the folds has seen the rows that they hold out."""
    seen = []
    cross_validate = classical.cross_validate

    def spy(fit, score, x, y, folds):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), jnp.asarray(x))
        return cross_validate(fit, score, x, y, folds)

    monkeypatch.setattr(classical, "cross_validate", spy)
    module = importlib.import_module(f"experiments.{name}")
    module.main(module.Config(smoke=True, out=tmp_path / "run"))
    jax.effects_barrier()
    assert seen
    for x in seen:
        assert not np.allclose(x.std(axis=0), 1, atol=0.02)


PUBLISHED = [
    ("linear_regression", {"data": "airfoil"}, "airfoil", "loss/exact", 0.236, 0.25),
    ("logistic_regression", {}, None, "validation/accuracy", 0.9788, 1),
    ("house_prices", {"data": "house_prices"}, "house-prices", "validation/log_rmse", 0, 0.17),
    (
        "logistic_regression",
        {"data": "face_attributes", "degree": 2},
        "gender",
        "validation/accuracy",
        0.968,
        1,
    ),
    ("softmax_regression", {"data": "mnist"}, "mnist", "test/accuracy", 0.92, 1),
    ("spam", {"data": "sms_spam"}, "sms-spam", "bernoulli/accuracy", 0.98, 1),
    ("heartbeat", {"data": "ecg5000"}, "ecg5000", "test/accuracy", 0.97, 1),
    ("svm", {}, None, "breast_cancer/rbf", 0.977, 1),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, options, folder, key, low, high", PUBLISHED)
def test_published_figures(name, options, folder, key, low, high, tmp_path):
    if folder is not None:
        if "JAXDL_DATA" not in os.environ:
            pytest.skip("JAXDL_DATA names no folder of original data")
        options = {**options, "data_dir": pathlib.Path(os.environ["JAXDL_DATA"]) / folder}
    module = importlib.import_module(f"experiments.{name}")
    results = module.main(module.Config(out=tmp_path / "run", **options))
    assert low <= results[key] <= high, results
