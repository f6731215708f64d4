"""The studies: what each says is checked by its own numbers, on the small form where that shows."""

import json

import numpy as np
import pytest

from experiments import (
    deployment,
    forecasting,
    layers_by_hand,
    long_memory,
    overfitting,
    preprocessing,
    training_tricks,
)


def run(module, tmp_path, **options):
    results = module.main(module.Config(smoke=True, out=tmp_path / "run", **options))
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == pytest.approx(results)
    return results


def test_layers_by_hand_print_the_numbers_of_the_examples(tmp_path):
    results = run(layers_by_hand, tmp_path)
    assert results["largest difference from jax.grad"] < 1e-5
    rows = [results[f"three rows/{i}"] for i in (1, 2, 3)]
    np.testing.assert_allclose(rows, [9.22571926, 11.27514153, 13.36276318], atol=2e-4)
    by_hand = {"h": -0.02, "output": 0.512, "delta of the output": 0.122}
    by_hand |= {"delta of the hidden unit": 0.003, "step of the last weight": 0.0302}
    for name, value in by_hand.items():
        assert results[f"by hand/{name}"] == pytest.approx(value, abs=5e-4), name
    assert results["two neurons/output"] == pytest.approx(1 / (1 + np.exp(-1)) + 1, abs=1e-6)
    assert results["coffee/given"] == pytest.approx(1, abs=1e-5)


def test_preparing_a_table_is_worth_something(tmp_path):
    results = run(preprocessing, tmp_path)
    assert results["r2/mean, sigma"] > results["r2/mean, none"] + 0.05  # outliers cost
    assert results["r2/mean, sigma"] > results["r2/two columns scaled"] + 0.05
    assert results["skipped steps/raw"] == 10  # descent on raw columns ends in NaN, and is told
    assert results["skipped steps/scaled"] == 0
    assert results["mse/rate 0.1"] < results["mse/rate 0.001"]
    assert results["mse/rate 3"] == np.inf
    assert list((tmp_path / "run").glob("*.png"))


def test_more_data_helps_and_penalties_empty_weights(tmp_path):
    results = run(overfitting, tmp_path)
    names = ("none", "L1", "four times the data")
    accuracy = {name: results[f"{name}/test_accuracy"] for name in (*names, "stopped early")}
    assert max(accuracy, key=accuracy.get) == "four times the data"
    assert results["L1/zeros"] > results["none/zeros"]
    assert results["exact zeros by the proximal step"] > 0


def test_a_fixed_order_and_small_weights_learn_worse(tmp_path):
    results = run(training_tricks, tmp_path)
    loss = {name: value for name, value in results.items() if name.endswith("train_loss")}
    assert (
        loss["weights/2 layers, MSRA/train_loss"]
        < loss["weights/2 layers, Gaussian .01/train_loss"]
    )
    assert loss["order/shuffled/train_loss"] < loss["order/fixed order/train_loss"]
    assert {name.split("/")[0] for name in loss} == {"weights", "rates", "order", "momentum"}
    assert len(list((tmp_path / "run").glob("*.png"))) == 4


def test_forecasts_are_drawn_and_compared(tmp_path):
    results = run(forecasting, tmp_path)
    assert results["noise/rmse"] < results["last value/rmse"]
    assert results["8/windows, ReLU/rmse"] < 0.9  # the series' own deviation is about .8
    assert (tmp_path / "run" / "forecasts.png").exists()


def test_the_adding_problem_has_its_baseline(tmp_path):
    results = run(long_memory, tmp_path)
    assert results["always 1/mse"] == pytest.approx(
        np.var(np.random.default_rng(0).random((10**6, 2)).sum(1)), abs=1e-3
    )
    assert {name for name in results if name.endswith("/mse")} == {
        "always 1/mse", "8/RNN/mse", "8/GRU/mse", "8/LSTM/mse",
    }  # fmt: skip


def test_a_model_answers_without_jaxdl_what_it_answers_with_it(tmp_path):
    results = run(deployment, tmp_path)
    assert results["largest difference"] < 1e-5
    assert results["largest difference, batch of one"] < 1e-5
    assert results["test/accuracy"] > 0.6


@pytest.mark.parametrize(
    "module, options, message",
    [
        (forecasting, {"windows": (600,)}, "windows must lie in 1..499"),
        (long_memory, {"lengths": (1,)}, "lengths must be at least 2"),
        (overfitting, {"wrong": 1.0}, r"wrong must lie in \[0, 1\)"),
    ],
)
def test_options_that_make_no_sense(module, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        module.main(module.Config(out=tmp_path / "run", **options))
