"""Word vectors: word2vec, fastText and GloVe, their files, and what is near to what.

    text = data.text.joined(data.load("manual"))["train"]
    vocabulary, corpus = word_vectors.build_corpus(word_vectors.paragraphs(text))
    params = word_vectors.word2vec.init(key, len(vocabulary), 100)
    epoch = word_vectors.make_word2vec(corpus.counts(vocabulary))

The rest of the library does not use this room.
"""

from jaxdl.word_vectors import fasttext, glove, word2vec
from jaxdl.word_vectors._corpus import Corpus, build_corpus, paragraphs, sentences
from jaxdl.word_vectors._losses import glove_loss, hierarchical_softmax_loss, negative_sampling_loss
from jaxdl.word_vectors._similarity import analogies, nearest, rank_correlation
from jaxdl.word_vectors._train_glove import make_glove
from jaxdl.word_vectors._train_word2vec import make_word2vec
from jaxdl.word_vectors._vectors import WordVectors, read_questions, read_similarities

__all__ = [
    "Corpus",
    "WordVectors",
    "analogies",
    "build_corpus",
    "fasttext",
    "glove",
    "glove_loss",
    "hierarchical_softmax_loss",
    "make_glove",
    "make_word2vec",
    "nearest",
    "negative_sampling_loss",
    "paragraphs",
    "rank_correlation",
    "read_questions",
    "read_similarities",
    "sentences",
    "word2vec",
]
