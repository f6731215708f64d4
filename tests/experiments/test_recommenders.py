"""Ratings and recommendations, small."""

import os
import pathlib

import pytest

from experiments import movielens, recommend


def test_ratings_are_predicted(tmp_path):
    config = movielens.Config(
        smoke=True, models=("items", "mf"), split="folds", choose=True, out=tmp_path / "run"
    )
    numbers = movielens.main(config)
    assert 0.25 < numbers["test/items"] < numbers["test/item"] < numbers["test/mean"] < 1
    assert numbers["test/mf"] < numbers["test/mean"]
    assert (tmp_path / "run" / "popularity.png").exists()


def test_ratings_are_predicted_by_every_model(tmp_path):
    numbers = movielens.main(movielens.Config(smoke=True, split="last", out=tmp_path / "run"))
    assert numbers["test/users"] < numbers["test/mean"]
    assert 0.25 < numbers["test/autorec"] < 3
    assert numbers["spread/autorec"] > 0


@pytest.mark.slow
def test_published_figures(tmp_path):
    """MovieLens 100K, one seed: factorization on five folds and on the last rating of each user."""
    folder = os.environ.get("JAXDL_DATA")
    if folder is None:
        pytest.skip("needs JAXDL_DATA, a folder with ml-100k")
    common = {"data": "movielens", "data_dir": pathlib.Path(folder) / "ml-100k", "seeds": 1}
    for split, most in (("folds", 0.944), ("last", 1.045)):
        config = movielens.Config(models=("mf",), split=split, out=tmp_path / split, **common)
        assert movielens.main(config)["test/mf"] <= most


@pytest.mark.parametrize("model", ["mf", "neumf"])
def test_items_are_recommended(model, tmp_path, capsys):
    numbers = recommend.main(recommend.Config(model=model, smoke=True, out=tmp_path / "run"))
    assert numbers["chance/auc"] == pytest.approx(0.5, abs=1e-6)  # T2
    assert numbers["popularity/auc"] > 0.55
    assert numbers["test/hit@50"] > 2 * numbers["chance/hit@50"]
    printed = capsys.readouterr().out
    assert printed.count("item ") >= 20  # a history and ten recommendations
    assert "may like" in printed


@pytest.mark.parametrize("experiment", [movielens, recommend])
def test_bad_options_are_named(experiment):
    with pytest.raises(ValueError, match="seeds and learning_rate must be positive"):
        experiment.main(experiment.Config(seeds=0))
    with pytest.raises(ValueError, match="grouplens"):
        experiment.main(experiment.Config(data="movielens", data_dir=pathlib.Path("nowhere")))


def test_an_unknown_user_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown user 777; there are 200"):
        recommend.main(recommend.Config(user=777, smoke=True, out=tmp_path / "run"))


def test_a_model_below_its_baselines_is_named():
    assert movielens.below("mf", 0.9, mean=1.1, biases=0.95) == ""
    warning = movielens.below("mf", 0.96, mean=1.1, biases=0.95)
    assert warning == "warning: mf is worse than biases alone, RMSE 0.9600 for 0.9500"
    assert "the mean of all ratings" in movielens.below("mf", 1.2, mean=1.1, biases=0.95)
