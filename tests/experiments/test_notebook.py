"""The notebook runs from its first cell to its last."""

import runpy

from matplotlib.figure import Figure


def test_the_notebook_runs(capsys):
    names = runpy.run_module("experiments.notebook")
    assert names["accuracy"] > 0.9
    assert names["by_rate"].shape == (3, 8)
    assert names["by_rate"].mean(axis=1).min() > 0.85
    assert "softmax minus one-hot" in capsys.readouterr().out
    assert isinstance(names["plots"].curves(names["result"].history), Figure)
