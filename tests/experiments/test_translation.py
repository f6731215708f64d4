import numpy as np
import pytest

from experiments import sentiment, translation
from jaxdl import data


def test_translation_leaves_a_record_with_attention_maps(tmp_path):
    results = translation.main(translation.Config(smoke=True, out=tmp_path / "run"))
    scores = ("bleu", "exact", "d2l_bleu")
    assert set(results) == {f"test/{score}_{by}" for score in scores for by in ("greedy", "beam")}
    assert all(np.isfinite(value) for value in results.values())
    assert (tmp_path / "run" / "attention.png").exists()


def test_sentiment_of_the_embedded_paragraphs(tmp_path):
    results = sentiment.main(sentiment.Config(smoke=True, out=tmp_path / "run"))
    assert results["test/accuracy"] > 0.7
    assert 0 <= results["test/positive/f1"] <= 1
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
