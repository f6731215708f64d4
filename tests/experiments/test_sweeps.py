"""Sweeps and optimizers, small."""

import numpy as np
import pytest

from experiments import optimizers, sweep
from jaxdl import plots, runs
from tests.figures import ink


def test_sweep_draws_two_heat_maps(tmp_path):
    numbers = sweep.main(sweep.Config(smoke=True, out=tmp_path / "run"))
    assert numbers["members"] == 8
    assert numbers["diverged"] == 0
    assert 0.5 < numbers["test/accuracy"] <= 1
    rows = runs.read_metrics(tmp_path / "run")
    best = max(rows, key=lambda row: row["mean"])
    assert best["mean"] == pytest.approx(numbers["validation/accuracy"])
    names = ("batch_size", "momentum", "learning_rate")
    assert {name: numbers[name] for name in names} == pytest.approx({n: best[n] for n in names})
    assert {row["batch_size"] for row in rows} == {64, 256}
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"accuracy.png", "epochs_to_target.png", "result.json"} <= names


def test_a_population_costs_less_than_its_settings(tmp_path):
    numbers = sweep.main(sweep.Config(smoke=True, population=6, out=tmp_path / "run"))
    assert (numbers["member_epochs"], numbers["member_epochs_of_the_grid"]) == (12, 14)
    assert 0.1 <= numbers["learning_rate"] <= 1.2
    assert numbers["validation/accuracy"] > 3 * numbers["majority/accuracy"]


def test_a_grid_in_rounds_gives_the_same_numbers(tmp_path):
    whole, parts = (
        sweep.main(sweep.Config(smoke=True, at_once=n, vectorize="map", out=tmp_path / str(n)))
        for n in (None, 3)
    )
    for numbers in (whole, parts):
        numbers.pop("time/compile"), numbers.pop("time/run")
    assert parts == whole


def test_optimizers_are_drawn_side_by_side_and_raced(tmp_path):
    numbers = optimizers.main(optimizers.Config(smoke=True, out=tmp_path / "run"))
    ways, raced = {"SGD", "momentum 0.9", "Adam"}, {"softmax", "perceptron"}
    assert {name.split("/")[0] for name in numbers} == ways | raced | {"majority"}
    assert {name.split("/")[1] for name in numbers if name.split("/")[0] in raced} == ways
    assert numbers["perceptron/Adam/test/accuracy"] > 3 * numbers["majority/accuracy"]
    losses = [numbers[f"perceptron/{way}/train/loss"] for way in ("momentum 0.9", "SGD")]
    assert losses[0] < losses[1]
    assert numbers["perceptron/Adam/rate"] in (0.01, 0.1)
    assert numbers["perceptron/Adam/steps"] in (4, 8)  # a multiple of the steps of an epoch
    assert np.isinf(numbers["softmax/SGD/steps"]) == np.isinf(numbers["softmax/SGD/seconds"])
    for kind in ("steps", "seconds"):
        assert max(numbers[f"{way}/score_{kind}"] for way in ways) > 0.3
        assert ink(tmp_path / "run" / f"profile_{kind}.png") > 0.03
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {f"{name}_{what}.png" for name in raced for what in ("loss", "accuracy")} <= names


@pytest.mark.parametrize("experiment", [sweep, optimizers])
def test_no_seeds_and_no_rates_are_refused(experiment):
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        experiment.main(experiment.Config(smoke=True, seeds=0))
    with pytest.raises(ValueError, match=r"learning_rates must be positive, got \(-0.1,\)"):
        experiment.main(experiment.Config(smoke=True, learning_rates=(-0.1,)))


def test_a_panel_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"panel 'a' needs \(1, 2\), got \(2, 1\)"):
        plots.heat_maps({"a": [[1.0], [2.0]]}, rows=[1], columns=[1, 2])


def test_every_profile_is_drawn_inside_its_axes():
    ratios = {"a": [1.0, 1.0], "b": [1.5, np.inf], "c": [1.0, 1.0]}
    figure = plots.performance_profiles(ratios, most=4)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["a", "c", "b"]
    places = [line.get_window_extent() for line in axes.lines]
    for place in places:
        assert axes.bbox.x0 - 1 <= place.x0 < place.x1 <= axes.bbox.x1 + 1
        assert axes.bbox.y0 <= place.y0 <= place.y1 <= axes.bbox.y1
    assert places[0].y0 != places[1].y0  # those that coincide are drawn beside each other
