"""fastText: skip-gram over parts of words, with vectors for words never seen, or misspelled.

    python -m experiments.fasttext                           # the manual of CPython
    python -m experiments.fasttext --data ptb --data-dir ptb.zip --unseen presidant

A word never seen is near words that share its parts; the manual is a small text for that.
Bojanowski et al. 2017, arXiv:1607.04606.
"""

import dataclasses
from typing import Any, Literal

import jax
import numpy as np

from experiments import _word_vectors
from jaxdl import cli, runs, train, word_vectors


@dataclasses.dataclass(frozen=True)
class Config(_word_vectors.Config):
    learning_rate: float = 0.05  # at the start; falls to nothing in a line
    negatives: int = 5  # for each context
    subsample: float = 1e-3  # share of the text above which words are thinned out; 0 never
    buckets: int = 20_000  # rows that parts of words are hashed to; the original has 2,000,000
    shortest: int = 3  # letters in a part, with the marks of a word's ends
    longest: int = 6  # letters in a part
    combine: Literal["mean", "sum"] = "mean"  # of a word's rows
    unseen: tuple[str, ...] = ("functoin", "iterrator", "subclassed")  # neighbors are shown


def main(config: Config) -> dict[str, float]:
    texts = _word_vectors.load(config)
    vocabulary, corpus, V = texts.vocabulary, texts.corpus, len(texts)

    # A word is the rows of its parts; tables, and one compiled program for a pass over the text.
    subwords = word_vectors.fasttext.Subwords(
        vocabulary.tokens,
        buckets=1000 if config.smoke else config.buckets,
        lengths=(config.shortest, config.longest),
        combine=config.combine,
    )
    descend = word_vectors.make_word2vec(
        corpus.counts(vocabulary),
        window=config.window,
        negatives=config.negatives,
        subsample=config.subsample,
        subwords=subwords.table(),
    )
    key = jax.random.key(config.seed)
    params = word_vectors.word2vec.init(
        key, subwords.num_rows, 16 if config.smoke else config.dim, V
    )
    tokens, sentences = jax.device_put((corpus.tokens, corpus.sentences))

    train.offer_plan(descend, params, tokens, sentences, key, 1.0, 0.0)

    def step(params: Any, k: int) -> tuple[Any, Any, int]:
        start, end = (config.learning_rate * (1 - j / config.epochs) for j in (k, k + 1))
        params, loss = descend(params, tokens, sentences, jax.random.fold_in(key, k), start, end)
        return params, loss, len(corpus)

    def vectors_of(params: Any) -> word_vectors.WordVectors:
        rows = subwords.vectors(np.asarray(params["input"]))
        return word_vectors.WordVectors(vocabulary.tokens[1:], rows[1:])

    with runs.open(config, name="fasttext", out=config.out, resume=config.resume) as run:
        run.note(f"{subwords.buckets:,} buckets")
        params, results = _word_vectors.learn(
            run, texts, step, params, vectors_of, epochs=config.epochs
        )
        vectors, inputs = vectors_of(params), np.asarray(params["input"])
        for word in config.unseen:
            near = vectors.nearest(subwords.vector(inputs, word), min(6, V - 1))
            run.note(f"  {word}: {', '.join(other for other, _ in near)}")
        vectors.save(run.folder / "vectors.vec", "fasttext")
        return run.finish(results | _word_vectors.show(run, texts, vectors, config.words))


if __name__ == "__main__":
    cli.run(main, Config)
