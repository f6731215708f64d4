# ---
# title: Word vectors
# rows: ["skip-gram, bag of words", "fastText", "^GloVe$", "similar words and analogies", "GloVe
#   vectors"]
# ---

# %% [markdown]
# # Word vectors
#
# Words that occur in the same company mean similar things. *Skip-gram* learns a vector for each
# word so that it predicts its neighbors; a *continuous bag of words* predicts a word from them. A
# softmax over the vocabulary at every step would be too much, so *negative sampling* only asks to
# tell the true neighbor from a few random words,
#
# $$-\log \sigma(u_o^\top v_c) - \sum_{k=1}^{K} \log \sigma(-u_k^\top v_c)$$
#
# and *hierarchical softmax* walks a Huffman tree instead, a yes or no at each of $\log V$ nodes.
# Frequent words are thinned out, as "the" says little of its neighbors.
#
# *fastText* adds up the vectors of a word's pieces, so that forms of a word are related and an
# unknown one has a vector as well. *GloVe* fits the logarithms of the counts themselves, $f(x_{ij})
# (u_i^\top v_j + b_i + c_j - \log x_{ij})^2$. Similarity is the cosine; "a is to b as c to ?" is
# the word nearest to $b - a + c$, the three words of the question left out.

# %% alt="Words of a small text at places that their vectors give them"
import jax

from jaxdl import data, plots, word_vectors

text = data.text.joined(data.load("manual"))["train"][:200_000]
vocabulary, corpus = word_vectors.build_corpus(
    word_vectors.paragraphs(text), min_count=20
)
epoch = word_vectors.make_word2vec(corpus.counts(vocabulary), window=4, negatives=5)
key = jax.random.key(0)
params = word_vectors.word2vec.init(key, len(vocabulary), 32)
tokens, sentences = jax.device_put((corpus.tokens, corpus.sentences))
for k in range(8):
    rates = 0.05 * (1 - k / 8), 0.05 * (1 - (k + 1) / 8)
    params, loss = epoch(
        params, tokens, sentences, jax.random.fold_in(key, k), *rates
    )
table = params["input"]
words = [
    "class",
    "instance",
    "method",
    "attribute",
    "string",
    "integer",
    "float",
    "module",
    "import",
    "package",
    "list",
]
plots.word_map(words, table[vocabulary.encode(words)])
