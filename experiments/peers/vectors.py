"""Skip-gram with 5 negatives, dimension 100, window 5, beside gensim with 1 and 2 workers.

The corpus is CPython's reference manual unless JAXDL_DATA names a folder that has Penn Treebank
(`ptb`). Every side trains two epochs; the result is the mean loss of the first 20,000 pairs of
neighbours against negatives drawn alike, by one formula for both libraries' vectors.
"""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.peers._side import Row, Side
from jaxdl import data, models, train

EPOCHS, RATE = 2, 0.025


def corpus(smoke: bool) -> tuple[list[list[str]], Any, data.Corpus]:
    folder = pathlib.Path(os.environ.get("JAXDL_DATA", ""), "ptb")
    ptb = "JAXDL_DATA" in os.environ and folder.exists()
    text = data.load_text("ptb", folder)["train"] if ptb else data.load_text("manual")["train"]
    lines = [[w for w in line if w != "<unk>"] for line in data.sentences(text)]
    lines = lines[:500] if smoke else lines
    vocabulary = data.Vocabulary.build(
        (w for line in lines for w in line), min_count=5, reserved=(data.UNKNOWN,)
    )
    return lines, vocabulary, data.Corpus.encode(lines, vocabulary)


def mean_loss(inputs: np.ndarray, outputs: np.ndarray, text: data.Corpus) -> float:
    """-log s(v.u) of words beside each other and -log s(-v.u) of 5 words drawn by count^0.75."""
    some = slice(20_000)
    centre, context = text.tokens[:-1][some], text.tokens[1:][some]
    share = np.bincount(text.tokens, minlength=len(inputs)) ** 0.75
    rng = np.random.default_rng(0)
    negative = rng.choice(len(inputs), (len(centre), 5), p=share / share.sum())
    v, u, n = inputs[centre], outputs[context], outputs[negative]
    near, far = np.einsum("nd,nd->n", v, u), np.einsum("nd,nkd->nk", v, n)
    return float(np.mean(np.logaddexp(0, -near) + np.logaddexp(0, far).sum(1)))


def ours(smoke: bool) -> Side:
    _, vocabulary, text = corpus(smoke)
    epoch = train.make_word2vec(text.counts(vocabulary), keep_rule="c")
    tokens, sentences = jnp.asarray(text.tokens), jnp.asarray(text.sentences)

    def work() -> Any:
        params = models.word2vec.init(jax.random.key(0), len(vocabulary), 100)
        for k in range(EPOCHS):
            key = jax.random.fold_in(jax.random.key(1), k)
            rates = (RATE * (1 - k / EPOCHS), RATE * max(1e-4, 1 - (k + 1) / EPOCHS))
            params, _ = epoch(params, tokens, sentences, key, *rates)
        return params

    params = work()
    result = mean_loss(np.asarray(params["input"]), np.asarray(params["output"]), text)
    return Side(work, EPOCHS * len(text), result)


def gensims(workers: int) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        from gensim.models import Word2Vec

        lines, vocabulary, text = corpus(smoke)
        model = Word2Vec(
            vector_size=100, window=5, min_count=5, sg=1, negative=5, sample=1e-3, workers=workers,
            alpha=RATE, seed=0,
        )  # fmt: skip
        model.build_vocab(lines)

        def work() -> None:
            model.train(lines, total_examples=len(lines), epochs=EPOCHS)

        work()
        place = [model.wv.key_to_index.get(token) for token in vocabulary.tokens]
        rows = np.array([0 if p is None else p for p in place])
        result = mean_loss(model.wv.vectors[rows], model.syn1neg[rows], text)
        return Side(work, EPOCHS * len(text), result)

    return build


ROWS = {
    "word2vec": Row(
        {"jaxdl": ours, "gensim, 2 workers": gensims(2), "gensim, 1 worker": gensims(1)},
        "words",
        0.05,
        ("gensim",),
    )
}
