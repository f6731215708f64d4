import math

import pytest

from experiments import bptt, char_lm, ngram, word_lm


@pytest.mark.parametrize("experiment", [char_lm, word_lm], ids=["char_lm", "word_lm"])
def test_language_model_learns_and_leaves_a_record(experiment, tmp_path):
    folder = tmp_path / "run"
    results = experiment.main(experiment.Config(smoke=True, out=folder))
    assert 1 < results["test/perplexity"] < 200
    for name in ("config.json", "metrics.jsonl", "vocabulary.json", "curves.png", "result.json"):
        assert (folder / name).exists()


def test_ngrams_orders_and_figure(tmp_path):
    results = ngram.main(ngram.Config(smoke=True, out=tmp_path / "run"))
    assert results["train/perplexity_3"] < results["train/perplexity_2"]
    assert results["test/perplexity_2"] < results["test/perplexity_1"]
    assert (tmp_path / "run" / "frequencies.png").exists()


def test_explicit_gradients_and_how_far_they_reach(tmp_path):
    results = bptt.main(bptt.Config(smoke=True, out=tmp_path / "run"))
    assert results["largest_difference"] < 1e-5
    assert results["linear_error"] < 1e-4  # the closed form rho^k
    left = {key.split("/")[1]: value for key, value in results.items() if "/" in key}
    assert left["LSTM, forget bias 1"] > left["RNN tanh"] > 0
    assert all(map(math.isfinite, left.values()))
    assert (tmp_path / "run" / "gradient_by_distance.png").exists()
