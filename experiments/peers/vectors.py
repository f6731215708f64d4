"""Word vectors of dimension 100, window 5, 5 negatives, beside gensim with 1 and 2 workers.

The corpus is CPython's reference manual unless JAXDL_DATA names a folder that has Penn Treebank
(`ptb`). Every side trains two epochs. The result of skip-gram is the mean loss of the first 20,000
pairs of neighbors against negatives drawn alike, by one formula for both libraries' vectors; what
the other methods learn is compared in the tests.
"""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.peers._side import Row, Side
from jaxdl import data, word_vectors

EPOCHS, RATE = 2, 0.025


def corpus(smoke: bool) -> tuple[list[list[str]], Any, word_vectors.Corpus]:
    """The text as gensim wants it, lines of known words, and as jaxdl has it."""
    folder = pathlib.Path(os.environ.get("JAXDL_DATA", ""), "ptb")
    ptb = "JAXDL_DATA" in os.environ and folder.exists()
    name, data_dir = ("ptb", folder) if ptb else ("manual", None)
    whole = data.text.joined(data.load(name, data_dir))["train"][: 100_000 if smoke else None]
    cut = word_vectors.sentences if ptb else word_vectors.paragraphs
    vocabulary, text = word_vectors.build_corpus(cut(whole))
    starts = np.flatnonzero(np.diff(text.sentences)) + 1
    lines = [vocabulary.decode(line) for line in np.split(text.tokens, starts)]
    return lines, vocabulary, text


def mean_loss(inputs: np.ndarray, outputs: np.ndarray, text: word_vectors.Corpus) -> float:
    """-log s(v.u) of words beside each other and -log s(-v.u) of 5 words drawn by count^0.75."""
    some = slice(20_000)
    center, context = text.tokens[:-1][some], text.tokens[1:][some]
    share = np.bincount(text.tokens, minlength=len(inputs)) ** 0.75
    rng = np.random.default_rng(0)
    negative = rng.choice(len(inputs), (len(center), 5), p=share / share.sum())
    v, u, n = inputs[center], outputs[context], outputs[negative]
    near, far = np.einsum("nd,nd->n", v, u), np.einsum("nd,nkd->nk", v, n)
    return float(np.mean(np.logaddexp(0, -near) + np.logaddexp(0, far).sum(1)))


def ours(**options: Any) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        _, vocabulary, text = corpus(smoke)
        rows = outputs = len(vocabulary)
        extra: dict[str, Any] = {}
        if options.get("output") == "hierarchical":
            outputs -= 1
        if options.get("parts"):
            subwords = word_vectors.fasttext.Subwords(vocabulary.tokens, buckets=200_000)
            rows, extra["subwords"] = subwords.num_rows, subwords.table()
        kept = {k: v for k, v in options.items() if k != "parts"}
        epoch = word_vectors.make_word2vec(text.counts(vocabulary), keep_rule="c", **kept, **extra)
        tokens, sentences = jnp.asarray(text.tokens), jnp.asarray(text.sentences)

        def work() -> Any:
            params = word_vectors.word2vec.init(jax.random.key(0), rows, 100, outputs)
            for k in range(EPOCHS):
                key = jax.random.fold_in(jax.random.key(1), k)
                rates = (RATE * (1 - k / EPOCHS), RATE * max(1e-4, 1 - (k + 1) / EPOCHS))
                params, _ = epoch(params, tokens, sentences, key, *rates)
            return params

        result = 0.0
        if not options:
            params = work()
            result = mean_loss(np.asarray(params["input"]), np.asarray(params["output"]), text)
        return Side(work, EPOCHS * len(text), result)

    return build


def gensims(workers: int, parts: bool = False, **options: Any) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        from gensim.models import FastText, Word2Vec

        lines, vocabulary, text = corpus(smoke)
        settings = {"sg": 1, "negative": 5, "sample": 1e-3, "alpha": RATE, "seed": 0} | options
        if parts:
            settings["bucket"] = 200_000
        kind = FastText if parts else Word2Vec
        model = kind(vector_size=100, window=5, min_count=5, workers=workers, **settings)
        model.build_vocab(lines)

        def work() -> None:
            model.train(lines, total_examples=len(lines), epochs=EPOCHS)

        result = 0.0
        if not options and not parts:
            work()
            place = [model.wv.key_to_index.get(token, 0) for token in vocabulary.tokens]
            result = mean_loss(model.wv.vectors[place], model.syn1neg[place], text)
        return Side(work, EPOCHS * len(text), result)

    return build


def row(tolerance: float, ours_options: dict[str, Any], theirs: dict[str, Any]) -> Row:
    sides = {"jaxdl": ours(**ours_options)}
    sides |= {f"gensim, {n} worker{'s' * (n > 1)}": gensims(n, **theirs) for n in (2, 1)}
    return Row(sides, "words", tolerance, ("gensim",))


ROWS = {
    "word2vec": row(0.05, {}, {}),
    "cbow": row(0.0, {"method": "cbow"}, {"sg": 0}),
    "tree": row(0.0, {"output": "hierarchical"}, {"hs": 1, "negative": 0}),
    "fasttext": row(0.0, {"parts": True}, {"parts": True}),
}
