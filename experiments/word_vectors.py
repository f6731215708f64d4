"""word2vec: skip-gram or CBOW, with negative sampling, a Huffman tree or the whole softmax.

    python -m experiments.word_vectors                       # the manual of CPython
    python -m experiments.word_vectors --data ptb --data-dir ptb.zip --keep-rule c \\
        --similarities EN-WS-353-ALL.txt --questions questions-words.txt

Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546.
"""

import dataclasses
from typing import Any, Literal

import jax
import numpy as np

from experiments import _word_vectors
from jaxdl import cli, runs, train, word_vectors


@dataclasses.dataclass(frozen=True)
class Config(_word_vectors.Config):
    method: Literal["skip_gram", "cbow"] = "skip_gram"  # what predicts what
    output: Literal["negative", "hierarchical", "softmax"] = "negative"  # how it is predicted
    negatives: int = 5  # for each context
    avoid: Literal["target", "contexts"] = "target"  # what no negative may be
    subsample: float = 1e-3  # share of the text above which words are thinned out; 0 never
    keep_rule: Literal["paper", "c"] = "paper"  # how much of them is kept; c is gensim's too
    block: int = 1 << 24  # words on the device at a time


def main(config: Config) -> dict[str, float]:
    texts = _word_vectors.load(config)
    vocabulary, corpus, V = texts.vocabulary, texts.corpus, len(texts)

    # Tables, and one compiled program for every block of the text.
    key = jax.random.key(config.seed)
    num_outputs = V - 1 if config.output == "hierarchical" else V
    params = word_vectors.word2vec.init(key, V, 16 if config.smoke else config.dim, num_outputs)
    descend = word_vectors.make_word2vec(
        corpus.counts(vocabulary),
        method=config.method,
        output=config.output,
        window=config.window,
        negatives=config.negatives,
        avoid=config.avoid,
        subsample=config.subsample,
        keep_rule=config.keep_rule,
    )
    blocks = list(corpus.blocks(min(config.block, len(corpus))))
    total = config.epochs * len(blocks)

    def step(params: Any, k: int) -> tuple[Any, Any, int]:
        some, rates = blocks[k % len(blocks)], (1 - k / total, 1 - (k + 1) / total)
        start, end = (config.learning_rate * rate for rate in rates)
        block_key = jax.random.fold_in(key, k)
        params, loss = descend(params, some.tokens, some.sentences, block_key, start, end)
        return params, loss, len(some.tokens)

    some = blocks[0]
    train.offer_plan(descend, params, some.tokens, some.sentences, key, 1.0, 0.0)

    def vectors_of(params: Any) -> word_vectors.WordVectors:
        return word_vectors.WordVectors(vocabulary.tokens[1:], np.asarray(params["input"])[1:])

    with runs.open(config, name="word_vectors", out=config.out, resume=config.resume) as run:
        params, results = _word_vectors.learn(
            run, texts, step, params, vectors_of, epochs=config.epochs, blocks=len(blocks)
        )
        vectors = vectors_of(params)
        vectors.save(run.folder / "vectors.txt")
        return run.finish(results | _word_vectors.show(run, texts, vectors, config.words))


if __name__ == "__main__":
    cli.run(main, Config)
