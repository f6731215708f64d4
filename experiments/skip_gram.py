"""Skip-gram with negative sampling, written out: batched products under a masked cross entropy.

    python -m experiments.skip_gram                # the manual of CPython

A row is a center with all its contexts and, for each of them, a few words drawn at random; what is
drawn among the contexts is masked, and so is padding. One batched product scores a row. `word2vec`
trains the same by products of blocks (`python -m experiments.word_vectors`), many times faster.
Mikolov et al. 2013, arXiv:1310.4546, sec. 2.2; Zhang et al., Dive into deep learning, sec. 15.4.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, objectives, ops, plots, runs, train, word_vectors


@dataclasses.dataclass(frozen=True)
class Config:
    dim: int = 50  # numbers in a vector
    window: int = 3  # largest distance of a context
    negatives: int = 5  # drawn for each context
    min_count: int = 5  # rarer words are dropped
    epochs: int = 10  # passes over the text
    batch_size: int = 256  # centers per step
    learning_rate: float = 0.01  # of Adam
    words: tuple[str, ...] = ("class", "function", "string")  # whose neighbors are shown
    seed: int = 0  # of vectors, order and negatives
    smoke: bool = False  # a few seconds: little text, two epochs
    out: pathlib.Path | None = None  # run folder; runs/skip_gram/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if min(config.window, config.negatives) < 1:
        raise ValueError("window and negatives must be at least 1")
    text = data.text.joined(data.load("manual"))["train"][: 20_000 if config.smoke else None]
    vocabulary, corpus = word_vectors.build_corpus(
        word_vectors.paragraphs(text), min_count=config.min_count
    )
    rows = centers(corpus, config.window)
    counts = corpus.counts(vocabulary)
    subsampled = word_vectors.word2vec.keep_probability(counts)[rows["center"]]
    rows = rows.take(np.random.default_rng(config.seed).random(len(rows)) < subsampled)
    noise = word_vectors.word2vec.AliasTable.build(counts**0.75)
    dim, epochs = (8, 2) if config.smoke else (config.dim, config.epochs)
    params = word_vectors.word2vec.init(jax.random.key(config.seed), len(vocabulary), dim)

    def objective(params: Any, state: Any, batch: Any, key: jax.Array, *, train: bool) -> Any:
        drawn = noise.draw(key, (len(batch["center"]), config.negatives * 2 * config.window))
        loss = row_loss(params, batch, drawn)
        return metrics.Mean.from_values(loss, batch["mask"]), objectives.Aux({}, state)

    trainer = train.make(objective, optax.adam(config.learning_rate))
    with runs.open(config, name="skip_gram", out=config.out, resume=config.resume) as run:
        run.note(f"{len(rows):,} centers, {len(vocabulary) - 1:,} words")
        results = checks(params, counts, rows.take(slice(64)), noise)
        result = train.fit(
            trainer,
            rows,
            trainer.init(jax.random.key(config.seed), params=params),
            epochs=epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            run=run,
        )
        vectors = word_vectors.WordVectors(
            vocabulary.tokens[1:], np.asarray(result.state.params["input"])[1:]
        )
        for word in (word for word in config.words if word in vectors):
            near = vectors.nearest(word, 5)
            run.note(f"  {word}: {', '.join(other for other, _ in near)}")
        run.figure("curves", plots.curves(result.history))
        results["untrained/loss"] = float(np.log(2))
        return run.finish(results | {"train/loss": result.history[-1]["train/loss"]})


def row_loss(params: Any, batch: Mapping[str, jax.Array], drawn: jax.Array) -> jax.Array:
    """The mean over the places of each row `[B]`: contexts are 1, what was drawn is 0."""
    contexts, known = batch["contexts"], batch["known"]  # [B, 2w]
    hits = jnp.any((drawn[:, :, None] == contexts[:, None]) & known[:, None], axis=-1)
    ids = jnp.concatenate([contexts, drawn], axis=1)
    center = params["input"][batch["center"]][:, None]  # [B, 1, D]
    scores = ops.batched_matmul(center, jnp.swapaxes(params["output"][ids], 1, 2))[:, 0]
    labels = jnp.concatenate([jnp.ones_like(contexts), jnp.zeros_like(drawn)], axis=1)
    mask = jnp.concatenate([known, ~hits], axis=1)
    return losses.masked_sigmoid_cross_entropy(scores, labels, mask)


def centers(corpus: word_vectors.Corpus, window: int) -> data.Dataset:
    """A row for each word: "center" `[N]`, "contexts" and "known" `[N, 2w]`."""
    steps = [d for d in range(-window, window + 1) if d]
    at = np.arange(len(corpus.tokens))[:, None] + np.array(steps)
    inside = (at >= 0) & (at < len(corpus.tokens))
    at = np.where(inside, at, 0)
    known = inside & (corpus.sentences[at] == corpus.sentences[:, None])
    contexts = np.where(known, corpus.tokens[at], 0).astype(np.int32)
    rows = {"center": corpus.tokens.astype(np.int32), "contexts": contexts, "known": known}
    return data.Dataset(rows).take((corpus.sentences >= 0) & known.any(axis=1))


def checks(params: Any, counts: np.ndarray, rows: data.Dataset, noise: Any) -> dict[str, float]:
    """Distance from the pairwise formula, and from 1 of the tree's probabilities, off the start."""
    key = jax.random.key(1)
    params = params | {"output": jax.random.normal(key, params["output"].shape) / 4}
    batch = {name: jnp.asarray(column) for name, column in rows.columns.items()}
    v = params["input"][batch["center"]]
    scores = jnp.einsum("bd,bnd->bn", v, params["output"][batch["contexts"]])
    drawn = noise.draw(key, (len(rows), 6))
    pushed = jnp.einsum("bd,bkd->bk", v, params["output"][drawn])
    apart = ~jnp.any((drawn[:, :, None] == batch["contexts"][:, None]) & batch["known"][:, None], 2)
    nothing = jnp.zeros((len(rows), scores.shape[1], 0))
    pairs = word_vectors.negative_sampling_loss(scores, nothing)  # -log s(u . v) of each context
    none = word_vectors.negative_sampling_loss(jnp.full(len(rows), jnp.inf), pushed, apart)
    total = jnp.sum(jnp.where(batch["known"], pairs, 0), axis=1) + none
    own = row_loss(params, batch, drawn) * (batch["known"].sum(axis=1) + apart.sum(axis=1))
    tree = word_vectors.word2vec.HuffmanTree.build(np.maximum(counts, 1))
    inner = jnp.einsum("d,vld->vl", v[0], params["output"][tree.nodes])
    nll = word_vectors.hierarchical_softmax_loss(inner, tree.left, tree.mask)
    return {
        "distance from the formula": float(jnp.max(jnp.abs(own - total))),
        "tree/distance of the sum from 1": abs(float(jnp.sum(jnp.exp(-nll))) - 1),
    }


if __name__ == "__main__":
    cli.run(main, Config)
