"""GloVe: vectors from a table of which words meet how often.

    python -m experiments.glove                              # the manual of CPython
    python -m experiments.glove --data ptb --data-dir ptb.zip --similarities EN-WS-353-ALL.txt

Pennington, Socher & Manning, GloVe: global vectors for word representation, 2014.
"""

import dataclasses
import pathlib
import time
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import cli, data, plots, runs, train
from jaxdl.models import glove


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    min_count: int = 5  # rarer words are dropped
    dim: int = 100  # numbers in a vector
    window: int = 10  # largest distance of words that meet
    max_count: float = 100.0  # from here on all counts weigh the same
    power: float = 0.75  # of the weight of smaller counts
    epochs: int = 15  # passes over the table
    batch_size: int = 1024  # cells of the table
    learning_rate: float = 0.05  # of AdaGrad
    words: tuple[str, ...] = ("class", "function", "string", "list")  # their neighbours are shown
    similarities: tuple[pathlib.Path, ...] = ()  # files of word pairs and people's judgements
    questions: pathlib.Path | None = None  # file of analogies
    seed: int = 0  # of everything random
    smoke: bool = False  # a few seconds: little text, few dimensions
    out: pathlib.Path | None = None  # run folder; runs/glove/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    vocabulary, corpus = data.load_corpus(
        config.data,
        config.data_dir,
        min_count=config.min_count,
        characters=100_000 if config.smoke else None,
    )
    V = len(vocabulary)
    similarities = {path.stem: data.read_similarities(path) for path in config.similarities}
    questions = data.read_questions(config.questions) if config.questions else {}

    # The table, and one compiled program for a pass over its cells.
    cells = glove.count_cells(corpus.tokens, corpus.sentences, V, window=config.window)
    num_cells = len(cells.counts)
    epoch = train.make_glove(
        num_cells,
        batch_size=min(config.batch_size, num_cells),
        learning_rate=config.learning_rate,
        max_count=config.max_count,
        power=config.power,
        seed=config.seed,
    )
    params = glove.init(jax.random.key(config.seed), V, 16 if config.smoke else config.dim)
    squares = jax.tree.map(jnp.ones_like, params)
    cells = jax.device_put(cells)
    if config.epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {config.epochs}")

    with runs.open(config, name="glove", out=config.out, resume=False) as run:
        run.note(f"{len(corpus):,} words, {V - 1:,} different; {num_cells:,} pairs of them meet")
        results: dict[str, float] = {}
        for k in range(config.epochs):
            start = time.perf_counter()
            params, squares, loss = epoch(params, squares, cells, k)
            results = {"train/loss": float(loss.compute())}
            seconds = time.perf_counter() - start
            vectors = data.WordVectors(vocabulary.tokens[1:], np.asarray(glove.vectors(params))[1:])
            for name, pairs in similarities.items():
                results[f"test/{name}"] = vectors.similarity(pairs)["rank_correlation"]
            run.write(k + 1, results | {"time/cells_per_s": num_cells / seconds})
        for word in (word for word in config.words if word in vectors):
            near = ", ".join(other for other, _ in vectors.nearest(word, min(6, V - 2)))
            run.note(f"  {word}: {near}")

        # Files others can read, questions answered, a map.
        vectors.save(run.folder / "vectors.txt", "glove")
        if questions:
            score = vectors.analogies([row for rows in questions.values() for row in rows])
            results |= {f"test/analogies_{name}": value for name, value in score.items()}
        shown = vectors.words[: min(100, V - 1)]
        run.figure("map", plots.word_map(shown, vectors.vectors[: len(shown)], method="tsne"))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
