import itertools
import unicodedata
import zipfile

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from jaxdl import data, word_vectors


def test_vocabulary_ids_counts_and_the_unknown(tmp_path):
    vocabulary = data.text.Vocabulary.build("abracadabra", min_count=2, reserved=("<unk>",))
    assert vocabulary.tokens == ("<unk>", "a", "b", "r")
    np.testing.assert_array_equal(vocabulary.encode("bard\n"), [2, 1, 3, 0, 0])
    assert vocabulary.count_unknown("bard\n") == 2
    assert vocabulary.decode([1, 0]) == ["a", "<unk>"]
    assert len(data.text.Vocabulary.build("abracadabra", max_size=4)) == 4
    vocabulary.save(tmp_path / "v.json")
    assert data.text.Vocabulary.load(tmp_path / "v.json") == vocabulary
    (tmp_path / "v.json").write_text("[]")
    with pytest.raises(data.DataError, match="not a vocabulary"):
        data.text.Vocabulary.load(tmp_path / "v.json")
    with pytest.raises(ValueError, match="empty vocabulary: no token of 0"):
        data.text.Vocabulary.build([])
    with pytest.raises(ValueError, match="<unk>"):
        data.text.Vocabulary(("a", "b"))


def test_tokens():
    assert (
        data.text.letters("The Time-Machine, by\nH. G. Wells!") == "the time machine by h g wells"
    )
    assert data.text.words("a  b\nc\n", end_of_line="<eos>") == ["a", "b", "<eos>", "c", "<eos>"]
    assert data.text.words(" a b ") == ["a", "b"]


def test_padding_cuts_and_fills():
    tokens, lengths = data.text.pad_sequences([[5, 6, 7], [], [8]], 2, pad_id=9)
    np.testing.assert_array_equal(tokens, [[5, 6], [9, 9], [8, 9]])
    np.testing.assert_array_equal(lengths, [2, 0, 1])
    assert data.text.pad_sequences([])[0].shape == (0, 0)


@hypothesis.given(st.integers(2, 60), st.integers(1, 7), st.integers(1, 5), st.integers(0, 3))
def test_every_token_is_a_target_exactly_once(length, num_steps, batch_size, offset):
    tokens = np.arange(10, 10 + length)
    for cut, least in (
        (lambda: data.text.windows(tokens, num_steps, offset=offset), num_steps),
        (
            lambda: data.text.streams(tokens, num_steps, batch_size, offset=offset),
            num_steps * batch_size,
        ),
    ):
        if length < offset + least + 1:
            with pytest.raises(ValueError, match=f"targets take {offset + least + 1};"):
                cut()
            continue
        split = cut()
        valid = split["valid"]
        np.testing.assert_array_equal(split["targets"][valid], split["tokens"][valid] + 1)
        np.testing.assert_array_equal(np.sort(split["targets"][valid]), tokens[offset + 1 :])


def test_streams_continue_from_batch_to_batch():
    split = data.text.streams(np.arange(101), 7, 3)
    batches = list(data.batches(split, 3))
    for before, after in itertools.pairwise(batches):
        both = before["valid"][:, -1] & after["valid"][:, 0]
        np.testing.assert_array_equal(
            before["targets"][both, -1], after["tokens"][both, 0], strict=True
        )
    assert [bool(b["start"].all()) for b in batches] == [True] + [False] * (len(batches) - 1)
    assert all(b["mask"].all() for b in batches)


def test_buckets_bound_the_shapes_and_keep_every_row_once():
    """T26: as many shapes as buckets, whatever the lengths."""
    rng = np.random.default_rng(0)
    sequences = [list(range(1, 1 + n)) for n in rng.integers(0, 30, size=50)]
    buckets = data.text.length_buckets(sequences, [8, 16, 24])
    total = data.text.num_bucket_batches(buckets, 4)
    for epoch in range(2):
        seen, shapes = [], set()
        for k in range(epoch * total, (epoch + 1) * total):
            batch = data.text.bucket_batch(buckets, k, batch_size=4, seed=0)
            shapes.add(batch["tokens"].shape)
            seen += batch["index"][batch["mask"]].tolist()
            for row, i, n in zip(batch["tokens"], batch["index"], batch["length"], strict=True):
                np.testing.assert_array_equal(row[:n], sequences[i][:n])
        assert sorted(seen) == list(range(50))
        assert len(shapes) <= 3
    with pytest.raises(ValueError, match="ascending"):
        data.text.length_buckets(sequences, [8, 8])


def test_embedded_text_needs_no_file_and_splits_before_windows():
    """T13: the held-out end shares no line with the beginning's windows."""
    texts = data.text.joined(data.load("manual"))
    assert len(texts["train"]) > 4 * len(texts["test"]) > 10_000
    whole = texts["train"] + texts["test"]
    assert 'The "lambda"' in whole or "lambda" in whole


def test_files_and_what_is_wrong_with_them(tmp_path):
    (tmp_path / "a.txt").write_text("one\n" * 9 + "four", encoding="utf-8")
    texts = data.text.joined(data.load("text", tmp_path / "a.txt"))
    assert texts == {"train": "one\n" * 9, "test": "four"}
    assert data.text.joined(data.load("text", tmp_path)) == texts
    parts = data.text.joined(data.load("text", tmp_path, validation=2 / 9))
    assert parts == {"train": "one\n" * 7, "validation": "one\n" * 2, "test": "four"}
    with zipfile.ZipFile(tmp_path / "ptb.zip", "w") as archive:
        for split in ("train", "valid", "test"):
            archive.writestr(f"ptb/ptb.{split}.txt", f" the {split} <unk> \n")
    texts = data.text.joined(data.load("ptb", tmp_path))
    assert data.text.words(texts["validation"], end_of_line="<eos>") == [
        "the",
        "valid",
        "<unk>",
        "<eos>",
    ]
    for name, path, message in [
        ("text", None, "read from files"),
        ("text", tmp_path / "none", "no such folder"),
        ("ptb", tmp_path / "a.txt", "a zip or tar archive or a folder"),
    ]:
        with pytest.raises(data.DataError, match=message):
            data.load(name, path)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(data.DataError, match="UTF-8"):
        data.load("text", tmp_path / "b.txt")


NAMES = "Señor Kutúzov schön Łódź Ἀθῆναι हिन्दी 東京 don’t"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_of_any_language_keep_their_words_together(form):
    """Accents as marks of their own and vowel signs belong to the letter before them."""
    text = unicodedata.normalize(form, NAMES)
    assert data.text.letters(text) == "señor kutúzov schön łódź ἀθῆναι हिन्दी 東京 don t"
    want = ["señor", "kutúzov", "schön", "łódź", "ἀθῆναι", "हिन्दी", "東京", "don't"]
    assert data.text.review_words(text) == want
    assert data.text.normalize_sentence(text).split() == want
    assert data.text.letters("Señor 2²_½", ascii_only=True) == "se or"
    assert data.text.letters("Señor 2²_½") == "señor"
    assert data.text.review_words("Amélie is naïve!") == ["amélie", "is", "naïve", "!"]
    assert data.text.review_words("Amélie", ascii_only=True) == ["am", "lie"]


def test_a_corpus_and_coded_texts_keep_words_of_any_language(tmp_path):
    (tmp_path / "a.txt").write_text("Amélie schön\n\n" * 10, encoding="utf-8")
    text = data.text.joined(data.load("text", tmp_path))["train"]
    vocabulary, corpus = word_vectors.build_corpus(word_vectors.paragraphs(text), min_count=5)
    assert vocabulary.tokens[1:] == ("amélie", "schön")
    assert corpus.unknown == 0
    assert data.text.encode_texts(["Amélie"], vocabulary, 3)[1]["unknown"] == 0
