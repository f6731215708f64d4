import math

import numpy as np
import pytest

from experiments import bptt, char_lm, equal_time, ngram, power_law, transformer_lm, word_lm
from jaxdl import data, nn


@pytest.mark.parametrize(
    "experiment", [char_lm, word_lm, transformer_lm], ids=["char_lm", "word_lm", "transformer_lm"]
)
def test_language_model_learns_and_leaves_a_record(experiment, tmp_path):
    folder = tmp_path / "run"
    results = experiment.main(experiment.Config(smoke=True, out=folder))
    assert 1 < results["test/perplexity"] < 200
    for name in ("config.json", "metrics.jsonl", "vocabulary.json", "curves.png", "result.json"):
        assert (folder / name).exists()
    if experiment is char_lm:  # what greedy search misses a wider beam finds
        assert 0 < results["beam_1/finds_best"] < results["beam_4/finds_best"] <= 1


@pytest.mark.parametrize("unit, optimizer", [("word", "muon"), ("bpe", "adamw"), ("byte", "muon")])
def test_a_transformer_over_other_units(unit, optimizer, tmp_path):
    folder = tmp_path / "run"
    options = {"optimizer": optimizer, "schedule": "stable", "z_loss": 1e-4, "accumulate": 2}
    config = transformer_lm.Config(smoke=True, unit=unit, out=folder, **options)
    results = transformer_lm.main(config)
    size = {"word": 200, "bpe": 300, "byte": 256}[unit]
    assert 1 < results["test/perplexity"] < size  # better than taking all for alike
    if unit != "word":
        assert 1 < results["test/bits_per_byte"] < 8
        pairs = data.text.BytePairs.load(folder / "vocabulary.json")
        assert pairs.decode(pairs.encode("é")) == "é"


def test_a_prompt_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match="a prompt needs 1 to 31 chars, got 40"):
        transformer_lm.main(transformer_lm.Config(smoke=True, prompt="a" * 40))


def test_ngrams_orders_and_figure(tmp_path):
    config = ngram.Config(smoke=True, smoothing=(1.0, 100.0, 100.0), out=tmp_path / "run")
    results = ngram.main(config)
    assert results["train/perplexity_3"] < results["train/perplexity_2"]
    assert results["test/perplexity_2"] < results["test/perplexity_1"]
    assert (tmp_path / "run" / "frequencies.png").exists()


def test_smoothing_is_chosen_without_the_test_text():
    """On a text where two words always follow each other little smoothing is right at order 2."""
    words = {"train": ["left", "right"] * 200, "test": ["left"] * 40}
    chosen = ngram.choose(ngram.Config(), words)
    assert chosen == ngram.choose(ngram.Config(), {**words, "test": ["right"] * 3})
    assert chosen[1:] == (ngram.CANDIDATES[0],) * 2
    shuffled = list(np.random.default_rng(0).permutation(words["train"]))  # pairs tell nothing
    assert ngram.choose(ngram.Config(), {"train": shuffled, "test": []})[1] > 10


def test_explicit_gradients_and_how_far_they_reach(tmp_path):
    results = bptt.main(bptt.Config(smoke=True, out=tmp_path / "run"))
    assert results["largest_difference"] < 1e-5
    assert results["linear_error"] < 1e-4  # the closed form rho^k
    left = {key.split("/")[1]: value for key, value in results.items() if "/" in key}
    assert left["LSTM, forget bias 1"] > left["RNN tanh"] > 0
    assert all(map(math.isfinite, left.values()))
    assert (tmp_path / "run" / "gradient_by_distance.png").exists()


def test_networks_are_given_the_same_seconds(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr(equal_time, "CELLS", {"GRU": nn.GRUCell()})  # one of three
    results = equal_time.main(equal_time.Config(smoke=True, out=folder))
    per_step = {name: float((folder / f"{name}.json").read_text()) for name in equal_time.CELLS}
    for name, seconds in per_step.items():
        assert results[f"{name}/steps"] == max(equal_time.BLOCKS, int(0.4 / seconds)), name
        assert results[f"{name}/test/perplexity"] < 29  # what knows nothing has 29 and more
    assert results["3-gram/validation/perplexity"] < results["1-gram/validation/perplexity"]


def test_a_power_law_is_found_again():
    compute = np.geomspace(1e9, 1e12, 7)
    slope, offset = power_law.power(compute, 5.0 * compute**-0.07)
    np.testing.assert_allclose([slope, np.exp(offset)], [0.07, 5.0])


def test_loss_falls_with_compute(tmp_path):
    results = power_law.main(power_law.Config(smoke=True, out=tmp_path / "run"))
    assert results["exponent"] - results["exponent/interval"] > 0
    assert (tmp_path / "run" / "loss.png").exists()
    with pytest.raises(ValueError, match="2 seeds or more"):
        power_law.main(power_law.Config(smoke=False, seeds=1))
