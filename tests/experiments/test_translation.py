import pytest

from experiments import sentiment, translation
from jaxdl import data, runs


def test_translation_leaves_a_record_with_attention_maps(tmp_path):
    results = translation.main(translation.Config(smoke=True, out=tmp_path / "run"))
    scores = ("bleu", "exact", "d2l_bleu")
    assert set(results) == {f"test/{score}_{by}" for score in scores for by in ("greedy", "beam")}
    rows = runs.read_metrics(tmp_path / "run")
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert results["test/exact_greedy"] == results["test/exact_beam"] == 0  # two epochs of 128
    assert max(results.values()) < 5  # of 100 in BLEU: letters in common, no word
    assert (tmp_path / "run" / "attention.png").exists()


def test_a_transformer_translates_too(tmp_path):
    config = translation.Config(smoke=True, model="transformer", out=tmp_path / "run")
    results = translation.main(config)
    rows = runs.read_metrics(tmp_path / "run")
    assert rows[-1]["train/loss"] < rows[0]["train/loss"] - 0.05
    assert max(results.values()) < 5  # two epochs of 128


@pytest.mark.parametrize("model", ["textcnn", "transformer"])
def test_sentiment_of_the_embedded_paragraphs(tmp_path, model):
    results = sentiment.main(sentiment.Config(smoke=True, model=model, out=tmp_path / "run"))
    assert results["test/accuracy"] > 0.7
    precision, recall, f1 = (
        results[f"test/positive/{name}"] for name in ("precision", "recall", "f1")
    )
    assert f1 == pytest.approx(2 * precision * recall / max(precision + recall, 1e-9), abs=1e-5)
    rows = runs.read_metrics(tmp_path / "run")
    assert rows[-1]["train/loss"] < 0.95 * rows[0]["train/loss"]
    assert (tmp_path / "run" / "curves.png").exists()


def test_vectors_of_another_width_are_refused(tmp_path):
    (tmp_path / "vectors.txt").write_text("the 1 2 3\na 1 2\n")
    config = sentiment.Config(smoke=True, vectors_file=tmp_path / "vectors.txt")
    with pytest.raises(data.DataError, match="line 2"):
        sentiment.main(config)


@pytest.mark.slow
def test_dates_are_translated_exactly_with_attention(tmp_path):
    results = translation.main(translation.Config(out=tmp_path / "run"))
    assert results["test/exact_beam"] >= 0.99
