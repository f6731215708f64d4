import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import data, word_vectors
from tests.references import reference


def test_parts_and_hashes_are_gensims():
    inner = reference("gensim.models.fasttext_inner")
    for word in ("where", "a", "naïve", "日本語"):
        for lengths in ((3, 6), (2, 4)):
            theirs = inner.compute_ngrams(word, *lengths)
            assert sorted(word_vectors.fasttext.parts(word, lengths)) == sorted(theirs)
        for part in word_vectors.fasttext.parts(word):
            assert word_vectors.fasttext.hash_part(part) == inner.ft_hash_bytes(part.encode())


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_a_word_is_its_row_and_its_parts(combine):
    words = word_vectors.fasttext.Subwords(("where", "there"), buckets=50, combine=combine)
    inputs = np.random.default_rng(0).normal(size=(words.num_rows, 4)).astype(np.float32)
    some = inputs[
        [0]
        + [
            2 + word_vectors.fasttext.hash_part(p) % 50
            for p in word_vectors.fasttext.parts("where")
        ]
    ]
    want = some.mean(0) if combine == "mean" else some.sum(0)
    np.testing.assert_allclose(words.vector(inputs, "where"), want, rtol=1e-5)
    ids, weights = words.table()
    whole = np.einsum("vs,vsd->vd", weights, inputs[ids])
    np.testing.assert_allclose(words.vectors(inputs), whole, rtol=1e-5, atol=1e-6)
    assert np.isfinite(words.vector(inputs, "wheer")).all()  # never seen


def test_a_misspelled_word_has_the_neighbors_of_the_right_one():
    random = np.random.default_rng(0)
    animals, metals = ("elephant", "giraffes", "antelope"), ("titanium", "chromium", "aluminum")
    vocabulary = data.text.Vocabulary(("<unk>", *animals, *metals), 1)
    lines = [random.choice(topic, 8) for topic in (animals, metals) * 60]
    corpus = word_vectors.Corpus.encode(lines, vocabulary)
    words = word_vectors.fasttext.Subwords(vocabulary.tokens, buckets=500)
    epoch = word_vectors.make_word2vec(
        corpus.counts(vocabulary), window=2, subsample=0, chunk=16, group=8, subwords=words.table()
    )
    params = word_vectors.word2vec.init(jax.random.key(0), words.num_rows, 8, len(vocabulary))
    tokens, sentences = jnp.asarray(corpus.tokens), jnp.asarray(corpus.sentences)
    for k in range(10):
        params, _ = epoch(params, tokens, sentences, jax.random.key(k), 0.05, 0.05)
    found = word_vectors.WordVectors(vocabulary.tokens[1:], words.vectors(params["input"])[1:])
    near = found.nearest(words.vector(params["input"], "elefant"), 3)
    assert {word for word, _ in near} == set(animals)
    assert np.asarray(params["input"])[len(vocabulary) :].std() > 0.01


def test_bad_input():
    with pytest.raises(ValueError, match="shortest <= longest"):
        word_vectors.fasttext.Subwords(("a",), lengths=(4, 3))
    words = word_vectors.fasttext.Subwords(("a",), buckets=5, lengths=(5, 6))
    with pytest.raises(ValueError, match="'b' is unknown and has no parts"):
        words.vector(np.zeros((6, 2)), "b")
