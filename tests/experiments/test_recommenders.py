"""Ratings and recommendations, small."""

import pytest

from experiments import movielens, recommend


@pytest.mark.parametrize("model", ["mf", "autorec", "neighbours"])
def test_ratings_are_predicted(model, tmp_path):
    config = movielens.Config(model=model, smoke=True, out=tmp_path / "run")
    numbers = movielens.main(config)
    assert 0.25 < numbers["test/rmse"] < 3
    assert (tmp_path / "run" / "result.json").exists()
    if model == "neighbours":
        assert numbers["test/rmse"] < numbers["test/rmse_constant"]


@pytest.mark.parametrize("model", ["mf", "neumf"])
def test_items_are_recommended(model, tmp_path, capsys):
    numbers = recommend.main(recommend.Config(model=model, smoke=True, out=tmp_path / "run"))
    assert numbers["chance/auc"] == pytest.approx(0.5, abs=1e-6)  # T2
    assert numbers["popularity/auc"] > 0.55
    assert 0 <= numbers["test/hit@50"] <= 1
    printed = capsys.readouterr().out
    assert printed.count("item ") >= 20  # a history and ten recommendations
    assert "may like" in printed


@pytest.mark.parametrize("experiment", [movielens, recommend])
def test_bad_options_are_named(experiment):
    with pytest.raises(ValueError, match="seeds and learning_rate must be positive"):
        experiment.main(experiment.Config(seeds=0))
    with pytest.raises(ValueError, match="grouplens"):
        experiment.main(experiment.Config(data="movielens"))


def test_an_unknown_user_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown user 777; there are 200"):
        recommend.main(recommend.Config(user=777, smoke=True, out=tmp_path / "run"))
