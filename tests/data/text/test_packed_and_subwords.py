"""Rows of several texts, and byte pairs."""

import builtins
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdl import data

TEXT = ["the cat sat on the mat and the hat", "ça déjà vu, naïve façade – 東京"] * 20


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 9))
def test_every_token_after_the_first_is_predicted_once_from_the_one_before(lengths, num_steps):
    start = np.cumsum([0, *lengths])
    texts = [np.arange(n) + 1 + at for n, at in zip(lengths, start, strict=False)]
    pairs = {(int(a), int(b)) for text in texts for a, b in itertools.pairwise(text)}
    if not pairs:
        with pytest.raises(ValueError, match="no text has two tokens"):
            data.text.packed(texts, num_steps)
        return
    split = data.text.packed(texts, num_steps)
    tokens, targets, valid, segments = (
        split[name] for name in ("tokens", "targets", "valid", "segments")
    )
    assert tokens.shape[1] == num_steps
    got = list(zip(tokens[valid].tolist(), targets[valid].tolist(), strict=True))
    assert len(got) == len(pairs)
    assert set(got) == pairs
    np.testing.assert_array_equal(valid, segments > 0)
    assert not tokens[~valid].any()
    home = np.searchsorted(start, tokens, side="left")  # whose token it is
    for row in range(len(tokens)):  # a segment is of one text, and holds it without a gap
        for segment in range(1, segments[row].max() + 1):
            at = np.flatnonzero(segments[row] == segment)
            assert np.ptp(at) == len(at) - 1
            assert len(set(home[row, at])) == 1
            assert (np.diff(tokens[row, at]) == 1).all()


def test_rows_are_filled():
    lengths = np.random.default_rng(0).integers(2, 33, 1000)
    split = data.text.packed([np.ones(n, int) for n in lengths], 64)
    assert split["valid"].mean() > 0.97
    assert data.text.packed([np.ones(64, int), np.ones(2, int)], 64)["valid"].all()  # to the last
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        data.text.packed([[1, 2]], 0)


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_comes_back_from_its_byte_pairs(text):
    assert PAIRS.decode(PAIRS.encode(text)) == text


PAIRS = data.text.BytePairs.train(TEXT, 300)


def test_byte_pairs_are_those_of_their_file(tmp_path):
    assert len(PAIRS) == 300
    ids = PAIRS.encode(TEXT[0])
    assert ids.dtype == np.int32
    assert len(ids) < len(TEXT[0]) / 2
    PAIRS.save(tmp_path / "tokenizer.json")
    again = data.text.BytePairs.load(tmp_path / "tokenizer.json")
    np.testing.assert_array_equal(again.encode(TEXT[1]), PAIRS.encode(TEXT[1]))
    # trained on bytes alone it is the bytes
    assert len(data.text.BytePairs.train(TEXT, 256).encode("né")) == 3


def test_mistakes_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="256 tokens, got a vocab_size of 10"):
        data.text.BytePairs.train(TEXT, 10)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="x.json holds no tokenizer"):
        data.text.BytePairs.load(tmp_path / "x.json")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'jaxdl\[text\]'"):
        data.text.BytePairs.train(TEXT, 300)
