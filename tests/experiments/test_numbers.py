"""Smoke runs of the experiments on losses, activations, gradients and information."""

import importlib
import json
import types

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import _errors
from jaxdl import data
from tests.figures import ink


def run(name, folder, **options):
    experiment = importlib.import_module(f"experiments.{name}")
    results = experiment.main(experiment.Config(smoke=True, out=folder, **options))
    assert json.loads((folder / "result.json").read_text()) == results
    return results


def test_activations(tmp_path):
    results = run("activations", tmp_path / "run")
    assert results["slope at 5/ReLU"] == 1
    assert results["slope at 5/sigmoid"] == pytest.approx(0.00665, rel=1e-2)
    assert ink(tmp_path / "run" / "activations.png") > 0.03


def test_backprop(tmp_path, capsys):
    results = run("backprop", tmp_path / "run", depths=(6,), samples=2)
    assert results["gradient check passed"] == 1
    assert results["first over last delta/6 hidden layers/sigmoid"] < 1e-2
    assert results["first over last delta/6 hidden layers/ReLU"] > 1e-2
    assert (tmp_path / "run" / "gradient_flow.png").exists()
    assert "all leaves agree" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["one", "ten", "attributes"])
def test_mlp_digits(task, tmp_path):
    results = run("mlp_digits", tmp_path / "run", task=task)
    assert results["test/accuracy"] > {"one": 0.8, "ten": 0.15, "attributes": 0.5}[task]
    assert (tmp_path / "run" / "curves.png").exists()
    assert (tmp_path / "run" / "confusion.png").exists() == (task == "ten")


def test_calibration(tmp_path):
    results = run("calibration", tmp_path / "run", epochs=5)
    assert results["test/accuracy"] > 3 * results["majority/accuracy"]
    names = ("as trained", "with a temperature")
    before, after = (results[f"{name}/test/loss"] for name in names)
    assert after < before  # on the test set, which did not choose it
    assert results["as trained/low"] < results["as trained/calibration"]
    assert 0.8 < results["sets/coverage"] < 0.98
    assert 0.8 < results["sets/classes"] < 5
    assert ink(tmp_path / "run" / "reliability.png") > 0.03


def test_information(tmp_path, capsys):
    results = run("information", tmp_path / "run", min_count=5)
    assert 3.5 < results["bits/letter"] < 4.7  # English has 4.1 to 4.2
    shared = results["bits/shared with the next word"]
    assert 0 < shared < results["bits/word"]
    assert results["pairs"] > 10
    assert (tmp_path / "run" / "associations.png").exists()
    assert "PMI (bits)" in capsys.readouterr().out


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="low must be below high"):
        run("activations", tmp_path / "a", low=1.0, high=0.0)
    with pytest.raises(ValueError, match="learning_rate must be positive and finite, got nan"):
        run("mlp_digits", tmp_path / "m", learning_rate=float("nan"))
    with pytest.raises(ValueError, match="depths"):
        run("backprop", tmp_path / "b", depths=(0,))


def test_what_a_classifier_gets_wrong_is_told_and_drawn():
    """Always the third class: every 0 and 1 is a mistake, and none is among the best."""
    label = np.array([0, 1, 1, 2, 2, 2], np.int32)
    split = data.Dataset({"image": np.zeros((6, 4, 4, 1), np.uint8), "label": label})
    told, drawn = [], {}
    run = types.SimpleNamespace(note=told.append, figure=drawn.__setitem__)

    def predict(variables, batch):
        return jnp.broadcast_to(variables[None], (len(batch["label"]), 3))

    _errors.show(run, predict, jnp.array([0.0, 1.0, 5.0]), split, ("cat", "dog"), count=3)
    assert told == ["dog taken for 2: 2", "cat taken for 2: 1", "worst examples: rows [0, 1, 2]"]
    titles = [axes.get_title() for axes in drawn["worst"].axes]
    assert titles[:2] == ["cat, read 2 (row 0)", "dog, read 2 (row 1)"]
