"""GloVe: vectors from a table of which words meet how often.

    python -m experiments.glove                              # the manual of CPython
    python -m experiments.glove --data ptb --data-dir ptb.zip --similarities EN-WS-353-ALL.txt

Pennington, Socher & Manning, GloVe: global vectors for word representation, 2014.
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import _word_vectors
from jaxdl import cli, data, metrics, runs, train, word_vectors


@dataclasses.dataclass(frozen=True)
class Config(_word_vectors.Config):
    window: int = 10  # largest distance of words that meet
    max_count: float = 100.0  # from here on all counts weigh the same
    power: float = 0.75  # of the weight of smaller counts
    by_distance: bool = True  # a pair counts 1 / distance; --no-by-distance counts it as 1
    cost: Literal["square", "cross_entropy"] = "square"  # GloVe's, or the one it replaces
    epochs: int = 15  # passes over the table
    batch_size: int = 1024  # cells of the table
    learning_rate: float = 0.05  # of AdaGrad


def main(config: Config) -> dict[str, float]:
    texts = _word_vectors.load(config)
    vocabulary, corpus, V = texts.vocabulary, texts.corpus, len(texts)

    # The table, and one compiled program for a pass over its cells.
    cells = word_vectors.glove.count_cells(
        corpus.tokens, corpus.sentences, V, window=config.window, by_distance=config.by_distance
    )
    num_cells = len(cells.counts)
    descend: Any
    if config.cost == "square":
        descend = word_vectors.make_glove(
            num_cells,
            batch_size=min(config.batch_size, num_cells),
            learning_rate=config.learning_rate,
            max_count=config.max_count,
            power=config.power,
            seed=config.seed,
        )
    else:
        descend = make_cross_entropy(V, config.learning_rate, config.seed)
    params = word_vectors.glove.init(
        jax.random.key(config.seed), V, 16 if config.smoke else config.dim
    )
    squares = jax.tree.map(jnp.ones_like, params)
    table = jax.device_put(cells if config.cost == "square" else dense(cells, V))

    train.offer_plan(descend, params, squares, table, 0)

    def step(carry: Any, k: int) -> tuple[Any, Any, int]:
        params, squares, loss = descend(*carry, table, k)
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


def dense(cells: word_vectors.glove.Cells, V: int) -> np.ndarray:
    """The whole table `[V, V]`, which the cost over all words reads."""
    if V > 20_000:
        raise ValueError(f"cross_entropy takes a number for each pair of words; {V:,} are too many")
    table = np.zeros((V, V), np.float32)
    table[cells.rows, cells.columns] = cells.counts
    return table


def make_cross_entropy(V: int, learning_rate: float, seed: int, batch_size: int = 256) -> Any:
    """As `word_vectors.make_glove`, for the other cost: centers one by one, each with all words."""
    num_batches = -(-V // batch_size)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def epoch(params: Any, squares: Any, table: jax.Array, k: Any) -> Any:
        def step(i: jax.Array, carry: Any) -> Any:
            params, squares, total = carry
            at, mask = data.batch_indices(jnp, V, batch_size, k * num_batches + i, seed)

            def mean(params: Any) -> jax.Array:
                counts = jnp.where(mask[:, None], table[at], 0)
                each = word_vectors.glove.cross_entropy(params, at, counts)
                return jnp.sum(each) / batch_size

            loss, grads = jax.value_and_grad(mean)(params)
            squares = jax.tree.map(lambda s, g: s + jnp.square(g), squares, grads)
            params = jax.tree.map(
                lambda p, g, s: p - learning_rate * g / jnp.sqrt(s), params, grads, squares
            )
            return params, squares, total + batch_size * loss

        carry = (params, squares, jnp.zeros(()))
        params, squares, total = jax.lax.fori_loop(0, num_batches, step, carry)
        return params, squares, metrics.Mean(total=total, weight=jnp.sum(table))

    return epoch


if __name__ == "__main__":
    cli.run(main, Config)
