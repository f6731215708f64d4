import gzip

import numpy as np
import pytest
from scipy import stats

from jaxdl import data, word_vectors
from tests.references import reference

FORMATS = ["word2vec", "binary", "glove", "fasttext"]


@pytest.fixture(scope="module")
def vectors():
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    return word_vectors.WordVectors(("the", "naïve", "日本", "a", "king", "1"), rows)


@pytest.mark.parametrize("format", FORMATS)
def test_files_come_back_bit_for_bit(format, vectors, tmp_path):
    path = tmp_path / ("v.bin" if format == "binary" else "v.txt")
    vectors.save(path, format)
    for again in (word_vectors.WordVectors.load(path), word_vectors.WordVectors.load(path, format)):
        assert again.words == vectors.words
        np.testing.assert_array_equal(again.vectors, vectors.vectors)
    assert word_vectors.WordVectors.load(path, limit=2).words == vectors.words[:2]
    packed = tmp_path / f"{path.name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert word_vectors.WordVectors.load(packed).words == vectors.words


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gensim's own file
@pytest.mark.parametrize("format", FORMATS[:3])
def test_gensim_reads_ours_and_we_read_gensims(format, vectors, tmp_path):
    gensim = reference("gensim.models").KeyedVectors
    options = {"binary": format == "binary", "no_header": format == "glove"}
    vectors.save(tmp_path / "ours", format)
    theirs = gensim.load_word2vec_format(str(tmp_path / "ours"), **options)
    want = theirs.most_similar("king", topn=5)
    got = vectors.nearest("king", 5)
    assert [word for word, _ in got] == [word for word, _ in want]
    np.testing.assert_allclose([c for _, c in got], [c for _, c in want], rtol=1e-5, atol=1e-6)
    theirs.save_word2vec_format(
        str(tmp_path / "theirs"), binary=options["binary"], write_header=format != "glove"
    )
    again = word_vectors.WordVectors.load(tmp_path / "theirs", format)
    assert again.words == vectors.words
    np.testing.assert_allclose(again.vectors, vectors.vectors, rtol=1e-6)


@pytest.mark.parametrize(
    "content, message",
    [
        ("2 3\na 1 2 3\nb 1 2\n", "line 3: expected a word and 3 numbers"),
        ("a 1 2 3\nb 1 2 3\nc 1 x 3\n", "line 3: expected a word and 3 numbers"),
        ("3 2\na 1 2\nb 3 4\n", "says 3 words, there are 2"),
        ("", "no word vectors"),
    ],
)
def test_broken_files_are_named_with_their_line(content, message, tmp_path):
    path = tmp_path / "v.txt"
    path.write_text(content)
    with pytest.raises(data.DataError, match=message) as error:
        word_vectors.WordVectors.load(path)
    assert str(path) in str(error.value)


def test_cut_and_headless_binaries(vectors, tmp_path):
    path = tmp_path / "v.bin"
    vectors.save(path, "binary")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(data.DataError, match="cut short in word 6 of 6"):
        word_vectors.WordVectors.load(path)
    path.write_bytes(b"hello\n")
    with pytest.raises(data.DataError, match="line 1"):
        word_vectors.WordVectors.load(path)
    with pytest.raises(data.DataError, match="no such file"):
        word_vectors.WordVectors.load(tmp_path / "missing")


def test_words_with_spaces_and_words_that_come_again(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("a 1 2\nnew york 3 4\na 5 6\n")
    vectors = word_vectors.WordVectors.load(path, "glove")
    assert vectors.words == ("a", "new york")
    np.testing.assert_array_equal(vectors["a"], [1, 2])
    with pytest.raises(ValueError, match="'new york' cannot be written"):
        vectors.save(tmp_path / "w.txt")
    with pytest.raises(ValueError, match="1 words come again"):
        word_vectors.WordVectors(("a", "a"), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="'z' has no vector"):
        vectors.nearest("z", 1)


def test_analogies_leave_out_their_own_words_and_count_the_unknown():
    """T14: "b - a + c" is nearest to c itself here; a question with an unknown word is counted."""
    words = ("man", "woman", "king", "queen", "tree")
    rows = np.array([[5, 0, 1], [5, 1, 1], [5, 0, 4], [5, 1, 4], [-1, 9, -9.0]])
    vectors = word_vectors.WordVectors(words, rows)
    ids = word_vectors.analogies(rows, np.array([[0, 1, 2], [2, 3, 0]]))
    assert ids.tolist() == [3, 1]
    score = vectors.analogies([["man", "woman", "king", "queen"], ["man", "boy", "king", "queen"]])
    assert score == {"accuracy": 1.0, "known": 1.0, "unknown": 1.0}
    assert np.isnan(vectors.analogies([["x", "y", "z", "w"]])["accuracy"])


def test_similarity_is_spearmans(vectors):
    random = np.random.default_rng(3)
    x, y = random.integers(0, 9, (2, 50))  # with ties
    np.testing.assert_allclose(
        word_vectors.rank_correlation(x, y), stats.spearmanr(x, y)[0], rtol=1e-12
    )
    pairs = [("the", "a", 1.0), ("king", "1", 5.0), ("the", "king", 3.0), ("the", "none", 2.0)]
    score = vectors.similarity(pairs)
    assert (score["known"], score["unknown"]) == (3.0, 1.0)
    rows = {word: vectors.vectors[vectors.words.index(word)] for word in ("the", "a", "king", "1")}
    cosine = [
        rows[a] @ rows[b] / np.linalg.norm(rows[a]) / np.linalg.norm(rows[b])
        for a, b, _ in pairs[:3]
    ]
    want = stats.spearmanr(cosine, [1.0, 5.0, 3.0])[0]
    assert score["rank_correlation"] == pytest.approx(want)
    assert np.isnan(word_vectors.rank_correlation([1, 1], [1, 2]))


def test_neighbors_do_not_depend_on_the_chunk():
    random = np.random.default_rng(4)
    table, queries = random.normal(size=(50, 8)), random.normal(size=(7, 8))
    cosines, ids = word_vectors.nearest(table, queries, 3, chunk=3)
    every = (queries @ table.T) / np.outer(
        np.linalg.norm(queries, axis=1), np.linalg.norm(table, axis=1)
    )
    np.testing.assert_array_equal(ids, np.argsort(-every)[:, :3])
    np.testing.assert_allclose(cosines, -np.sort(-every)[:, :3], rtol=1e-5)
    with pytest.raises(ValueError, match=r"k must lie in 1..49"):
        word_vectors.nearest(table, queries, 50, exclude=np.zeros((7, 1)))


def test_corpus_drops_the_unknown_and_keeps_sentences_apart():
    lines = word_vectors.sentences("a b a\n\nb a c\n")
    vocabulary = data.text.Vocabulary.build(lines[0] + lines[1], min_count=2, reserved=("<unk>",))
    corpus = word_vectors.Corpus.encode(lines, vocabulary)
    assert vocabulary.decode(corpus.tokens) == ["a", "b", "a", "b", "a"]
    assert corpus.sentences.tolist() == [0, 0, 0, 1, 1]
    assert corpus.counts(vocabulary).tolist() == [0, 3, 2]
    blocks = list(corpus.blocks(3))
    assert blocks[1].sentences.tolist() == [1, 1, -1]
    with pytest.raises(ValueError, match="no two known words in one sentence"):
        word_vectors.Corpus.encode([["a"], ["b"]], vocabulary)


def test_evaluation_files(tmp_path):
    path = tmp_path / "q"
    path.write_text(": capitals\nAthens Greece Oslo Norway\n: empty\n")
    assert word_vectors.read_questions(path) == {
        "capitals": [["athens", "greece", "oslo", "norway"]]
    }
    path.write_text("Tiger\tcat\t7.35\nx\ty\n")
    with pytest.raises(data.DataError, match="line 2"):
        word_vectors.read_similarities(path)
