import io
import tarfile
import zipfile

import numpy as np
import pytest

from jaxdl import data


def write_reviews(folder):
    texts = {"train/neg": "Bad, bad!", "train/pos": "It's<br /><br />GOOD", "test/neg": "..."}
    for place, text in {**texts, "test/pos": "Good?"}.items():
        (folder / place).mkdir(parents=True)
        (folder / place / "0_1.txt").write_text(text)


def test_reviews_from_folders_and_from_an_archive(tmp_path):
    write_reviews(tmp_path / "aclImdb")
    (tmp_path / "aclImdb" / "train" / "unsup").mkdir()
    (tmp_path / "aclImdb" / "train" / "unsup" / "0_0.txt").write_text("no label")
    with tarfile.open(tmp_path / "some.tgz", "w:gz") as archive:
        archive.add(tmp_path / "aclImdb", "aclImdb")
    splits = data.load("imdb", tmp_path)
    other = data.readers.read_reviews(tmp_path / "some.tgz")
    for name in ("train", "test"):
        assert splits[name].columns.keys() == other[name].columns.keys()
        for column in ("text", "label"):
            np.testing.assert_array_equal(splits[name][column], other[name][column])
    assert splits["train"]["label"].tolist() == [0, 1]
    words = [data.text.review_words(text) for text in splits["train"]["text"]]
    assert words == [["bad", "bad", "!"], ["it's", "good"]]
    vocabulary = data.text.Vocabulary.build([word for some in words for word in some])
    columns, counts = data.text.encode_texts(splits["test"]["text"], vocabulary, 1)
    assert counts == {"words": 2, "unknown": 1, "cut": 1, "empty": 1}
    assert columns["tokens"].tolist() == [[0], [vocabulary.id("good")]]


def test_reviews_that_are_none(tmp_path):
    (tmp_path / "broken.tar.gz").write_bytes(b"no archive")
    with pytest.raises(data.DataError, match=r"broken\.tar\.gz: expected a zip or tar archive"):
        data.load("imdb", tmp_path)
    (tmp_path / "broken.tar.gz").unlink()
    with pytest.raises(data.DataError, match="train/neg"):
        data.load("imdb", tmp_path)


def test_vectors_of_a_vocabulary():
    vectors = {"good": np.array([1.0, 2.0]), "film": np.array([3.0, -2.0])}
    vocabulary = data.text.Vocabulary.build(["good", "bad"])
    table, missing = data.text.vector_table(vocabulary, vectors)
    assert missing == 1
    assert table.dtype == np.float32
    assert not table[0].any()  # <pad>
    np.testing.assert_array_equal(table[vocabulary.id("good")], [1, 2])
    assert table[vocabulary.id("bad")].any()
    assert table[vocabulary.id("<unk>")].any()
    with pytest.raises(ValueError, match="no word"):
        data.text.vector_table(data.text.Vocabulary.build(["x"]), vectors)


def rows(split):
    return [*zip(split["source"].tolist(), split["target"].tolist(), strict=True)]


def test_pairs_are_read_normalized_and_split_by_sentence(tmp_path):
    lines = [f"Go {i // 2}!\tVa\u202f! {i}\tfrom someone" for i in range(40)]
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
        archive.writestr("_about.txt", "no pairs")
        archive.writestr("fra.txt", "\n".join(lines) + "\n")
    splits = data.load("tatoeba", tmp_path)
    assert (len(splits["train"]), len(splits["test"])) == (36, 4)
    assert not {*splits["train"]["source"]} & {*splits["test"]["source"]}  # T13
    both = [*rows(splits["train"]), *rows(splits["test"])]
    assert ("go 0 !", "va ! 0") in both
    few = data.load("tatoeba", tmp_path, limit=20)  # of the file, before any are held out
    assert {*rows(few["train"]), *rows(few["test"])} == {
        (f"go {i // 2} !", f"va ! {i}") for i in range(20)
    }
    parts = data.load("tatoeba", tmp_path, validation=0.25)
    kept, held = ({*parts[name]["source"]} for name in ("train", "validation"))
    assert (len(kept), len(held), len(kept & held)) == (14, 4, 0)  # translations stay together
    assert data.text.normalize_sentence("L’E\u0301te\u0301, déjà.") == "l'été , déjà ."


def test_pairs_to_ids_cut_and_counted():
    pairs = data.Dataset({"source": np.array(["a b c d", "a z"]), "target": np.array(["x", "y q"])})
    known = [
        data.text.Vocabulary.build("abcd", reserved=data.text.RESERVED),
        data.text.Vocabulary.build("xy", reserved=data.text.RESERVED),
    ]
    split, counts = data.text.encode_pairs(pairs, tuple(known), data.text.words, 4, 3)
    assert counts == {"cut": 1, "unknown": 2, "tokens": 9}
    assert split["source"].tolist() == [[4, 5, 6, 3], [4, 1, 3, 0]]
    assert split["target"].tolist() == [[4, 3, 0], [5, 1, 3]]
    plain = data.text.Vocabulary.build("ab")
    with pytest.raises(ValueError, match="need the tokens"):
        data.text.encode_pairs(pairs, (plain, plain), data.text.words, 4, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\tb\nno tab\n", "line 2: expected two"), (b"\n", "no pairs"), (b"\xff\tb", "UTF-8")],
)
def test_pairs_that_are_none(tmp_path, content, message):
    (tmp_path / "pairs.txt").write_bytes(content)
    with pytest.raises(data.DataError, match=message):
        data.load("tatoeba", tmp_path)


def test_pairs_that_are_missing(tmp_path):
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    with pytest.raises(data.DataError, match="expected a zip or a text"):
        data.readers.read_pairs(tmp_path)
    (tmp_path / "empty.zip").write_bytes(buffer.getvalue())
    with pytest.raises(data.DataError, match=r"nor in what is below it: .*empty\.zip"):
        data.readers.read_pairs(tmp_path)
    with pytest.raises(data.DataError, match="manythings"):
        data.load("tatoeba")


def test_dates_are_embedded_and_held_out():
    splits = data.load("dates")
    assert (len(splits["train"]), len(splits["test"])) == (10000, 1000)
    assert not {*rows(splits["train"])} & {*rows(splits["test"])}
    assert rows(splits["test"])[:2] == [
        ("Apr 30, 1986", "30 avr. 1986"),
        ("Oct 26, 2075", "26 oct. 2075"),
    ]
