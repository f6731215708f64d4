"""word2vec: skip-gram or CBOW, with negative sampling, a Huffman tree or the whole softmax.

    python -m experiments.word_vectors                       # the manual of CPython
    python -m experiments.word_vectors --data ptb --data-dir ptb.zip --keep-rule c \\
        --similarities EN-WS-353-ALL.txt --questions questions-words.txt

Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546.
"""

import dataclasses
import pathlib
import time
from typing import Literal

import jax
import numpy as np

from jaxdl import cli, data, plots, runs, train
from jaxdl.models import word2vec


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    method: Literal["skip_gram", "cbow"] = "skip_gram"  # what predicts what
    output: Literal["negative", "hierarchical", "softmax"] = "negative"  # how it is predicted
    min_count: int = 5  # rarer words are dropped
    dim: int = 100  # numbers in a vector
    window: int = 5  # largest distance of a context
    negatives: int = 5  # for each context
    subsample: float = 1e-3  # share of the text above which words are thinned out; 0 never
    keep_rule: Literal["paper", "c"] = "paper"  # how much of them is kept; c is gensim's too
    epochs: int = 5  # passes over the text
    learning_rate: float = 0.025  # at the start; falls to nothing in a line
    block: int = 1 << 24  # words on the device at a time
    words: tuple[str, ...] = ("class", "function", "string", "list")  # their neighbours are shown
    similarities: tuple[pathlib.Path, ...] = ()  # files of word pairs and people's judgements
    questions: pathlib.Path | None = None  # file of analogies
    seed: int = 0  # of everything random
    smoke: bool = False  # a few seconds: little text, few dimensions
    out: pathlib.Path | None = None  # run folder; runs/word_vectors/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    vocabulary, corpus = data.load_corpus(
        config.data,
        config.data_dir,
        min_count=config.min_count,
        characters=100_000 if config.smoke else None,
    )
    counts, V = corpus.counts(vocabulary), len(vocabulary)
    similarities = {path.stem: data.read_similarities(path) for path in config.similarities}
    questions = data.read_questions(config.questions) if config.questions else {}

    # Tables, and one compiled program for every block of the text.
    key = jax.random.key(config.seed)
    dim = 16 if config.smoke else config.dim
    num_outputs = V - 1 if config.output == "hierarchical" else V
    params = word2vec.init(key, V, dim, num_outputs)
    epoch = train.make_word2vec(
        counts,
        method=config.method,
        output=config.output,
        window=config.window,
        negatives=config.negatives,
        subsample=config.subsample,
        keep_rule=config.keep_rule,
    )
    blocks = list(corpus.blocks(min(config.block, len(corpus))))
    total = config.epochs * len(blocks)

    if total < 1:
        raise ValueError(f"epochs must be positive, got {config.epochs}")
    with runs.open(config, name="word_vectors", out=config.out, resume=False) as run:
        run.note(
            f"{len(corpus):,} words, {V - 1:,} different; {corpus.unknown:,} rare ones dropped"
        )
        results: dict[str, float] = {}
        for done in range(total):
            start = time.perf_counter()
            rates = [config.learning_rate * (1 - k / total) for k in (done, done + 1)]
            block = blocks[done % len(blocks)]
            key_of_block = jax.random.fold_in(key, done)
            params, loss = epoch(params, block.tokens, block.sentences, key_of_block, *rates)
            results = {"train/loss": float(loss.compute())}
            seconds = time.perf_counter() - start
            if (done + 1) % len(blocks):
                continue
            vectors = data.WordVectors(vocabulary.tokens[1:], np.asarray(params["input"])[1:])
            for name, pairs in similarities.items():
                results[f"test/{name}"] = vectors.similarity(pairs)["rank_correlation"]
            speed = {"time/words_per_s": len(block.tokens) / seconds}
            run.write((done + 1) // len(blocks), results | speed)
            for word in (word for word in config.words if word in vectors):
                near = ", ".join(other for other, _ in vectors.nearest(word, min(6, V - 2)))
                run.note(f"  {word}: {near}")

        # Files others can read, questions answered, a map.
        vectors.save(run.folder / "vectors.txt")
        for name, pairs in similarities.items():
            run.note(f"{name}: {vectors.similarity(pairs)['unknown']:.0f} pairs have unknown words")
        if questions:
            score = vectors.analogies([row for rows in questions.values() for row in rows])
            results |= {f"test/analogies_{name}": value for name, value in score.items()}
        shown = vectors.words[: min(100, V - 1)]
        run.figure("map", plots.word_map(shown, vectors.vectors[: len(shown)], method="tsne"))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
