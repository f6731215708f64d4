"""fastText: skip-gram over parts of words, with vectors for words never seen, or misspelt.

    python -m experiments.fasttext                           # the manual of CPython
    python -m experiments.fasttext --data ptb --data-dir ptb.zip --unseen presidant

A word never seen is near words that share its parts; the manual is a small text for that.
Bojanowski et al. 2017, arXiv:1607.04606.
"""

import dataclasses
import pathlib
import time
from typing import Literal

import jax
import numpy as np

from jaxdl import cli, data, plots, runs, train
from jaxdl.models import fasttext, word2vec


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    min_count: int = 5  # rarer words are dropped
    dim: int = 100  # numbers in a vector
    window: int = 5  # largest distance of a context
    negatives: int = 5  # for each context
    subsample: float = 1e-3  # share of the text above which words are thinned out; 0 never
    buckets: int = 20_000  # rows that parts of words are hashed to; the original has 2,000,000
    shortest: int = 3  # letters in a part, with the marks of a word's ends
    longest: int = 6  # letters in a part
    combine: Literal["mean", "sum"] = "mean"  # of a word's rows
    epochs: int = 5  # passes over the text
    learning_rate: float = 0.05  # at the start; falls to nothing in a line
    unseen: tuple[str, ...] = ("functoin", "iterrator", "subclassed")  # neighbours are shown
    similarities: tuple[pathlib.Path, ...] = ()  # files of word pairs and people's judgements
    seed: int = 0  # of everything random
    smoke: bool = False  # a few seconds: little text, few dimensions
    out: pathlib.Path | None = None  # run folder; runs/fasttext/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    vocabulary, corpus = data.load_corpus(
        config.data,
        config.data_dir,
        min_count=config.min_count,
        characters=100_000 if config.smoke else None,
    )
    V = len(vocabulary)
    similarities = {path.stem: data.read_similarities(path) for path in config.similarities}

    # A word is the rows of its parts; tables, and one compiled program for a pass over the text.
    subwords = fasttext.Subwords(
        vocabulary.tokens,
        buckets=1000 if config.smoke else config.buckets,
        lengths=(config.shortest, config.longest),
        combine=config.combine,
    )
    epoch = train.make_word2vec(
        corpus.counts(vocabulary),
        window=config.window,
        negatives=config.negatives,
        subsample=config.subsample,
        subwords=subwords.table(),
    )
    key = jax.random.key(config.seed)
    params = word2vec.init(key, subwords.num_rows, 16 if config.smoke else config.dim, V)
    tokens, sentences = jax.device_put((corpus.tokens, corpus.sentences))
    if config.epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {config.epochs}")

    with runs.open(config, name="fasttext", out=config.out, resume=False) as run:
        run.note(f"{len(corpus):,} words, {V - 1:,} different, and {subwords.buckets:,} buckets")
        results: dict[str, float] = {}
        for k in range(config.epochs):
            start = time.perf_counter()
            rates = [config.learning_rate * (1 - j / config.epochs) for j in (k, k + 1)]
            key_of_epoch = jax.random.fold_in(key, k)
            params, loss = epoch(params, tokens, sentences, key_of_epoch, *rates)
            results = {"train/loss": float(loss.compute())}
            seconds = time.perf_counter() - start
            inputs = np.asarray(params["input"])
            vectors = data.WordVectors(vocabulary.tokens[1:], subwords.vectors(inputs)[1:])
            for name, pairs in similarities.items():
                results[f"test/{name}"] = vectors.similarity(pairs)["rank_correlation"]
            run.write(k + 1, results | {"time/words_per_s": len(corpus) / seconds})
        for word in config.unseen:
            near = vectors.nearest(subwords.vector(inputs, word), min(6, V - 1))
            run.note(f"  {word}: {', '.join(other for other, _ in near)}")

        # A file others can read, and a map.
        vectors.save(run.folder / "vectors.vec", "fasttext")
        shown = vectors.words[: min(100, V - 1)]
        run.figure("map", plots.word_map(shown, vectors.vectors[: len(shown)], method="tsne"))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
