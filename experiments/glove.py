"""GloVe: vectors from a table of which words meet how often.

    python -m experiments.glove                              # the manual of CPython
    python -m experiments.glove --data ptb --data-dir ptb.zip --similarities EN-WS-353-ALL.txt

Pennington, Socher & Manning, GloVe: global vectors for word representation, 2014.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import _word_vectors
from jaxdl import cli, runs, train, word_vectors


@dataclasses.dataclass(frozen=True)
class Config(_word_vectors.Config):
    window: int = 10  # largest distance of words that meet
    max_count: float = 100.0  # from here on all counts weigh the same
    power: float = 0.75  # of the weight of smaller counts
    epochs: int = 15  # passes over the table
    batch_size: int = 1024  # cells of the table
    learning_rate: float = 0.05  # of AdaGrad


def main(config: Config) -> dict[str, float]:
    texts = _word_vectors.load(config)
    vocabulary, corpus, V = texts.vocabulary, texts.corpus, len(texts)

    # The table, and one compiled program for a pass over its cells.
    cells = word_vectors.glove.count_cells(corpus.tokens, corpus.sentences, V, window=config.window)
    num_cells = len(cells.counts)
    descend = word_vectors.make_glove(
        num_cells,
        batch_size=min(config.batch_size, num_cells),
        learning_rate=config.learning_rate,
        max_count=config.max_count,
        power=config.power,
        seed=config.seed,
    )
    params = word_vectors.glove.init(
        jax.random.key(config.seed), V, 16 if config.smoke else config.dim
    )
    squares = jax.tree.map(jnp.ones_like, params)
    cells = jax.device_put(cells)

    train.offer_plan(descend, params, squares, cells, 0)

    def step(carry: Any, k: int) -> tuple[Any, Any, int]:
        params, squares, loss = descend(*carry, cells, k)
        return (params, squares), loss, num_cells

    def vectors_of(carry: Any) -> word_vectors.WordVectors:
        return word_vectors.WordVectors(
            vocabulary.tokens[1:], np.asarray(word_vectors.glove.vectors(carry[0]))[1:]
        )

    with runs.open(config, name="glove", out=config.out, resume=config.resume) as run:
        run.note(f"{num_cells:,} pairs of words meet")
        carry, results = _word_vectors.learn(
            run, texts, step, (params, squares), vectors_of, epochs=config.epochs
        )
        vectors = vectors_of(carry)
        vectors.save(run.folder / "vectors.txt", "glove")
        return run.finish(results | _word_vectors.show(run, texts, vectors, config.words))


if __name__ == "__main__":
    cli.run(main, Config)
