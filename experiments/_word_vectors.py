"""What the experiments on word vectors share: options, texts, blocks of work, and what is shown."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from jaxdl import data, plots, runs, train, word_vectors


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    min_count: int = 5  # rarer words are dropped
    dim: int = 100  # numbers in a vector
    window: int = 5  # largest distance of a context
    epochs: int = 5  # passes over the text
    learning_rate: float = 0.025  # at the start; falls to nothing in a line
    words: tuple[str, ...] = ("class", "function", "string", "list")  # their neighbors are shown
    similarities: tuple[pathlib.Path, ...] = ()  # files of word pairs and people's judgments
    questions: pathlib.Path | None = None  # file of analogies
    seed: int = 0  # of everything random
    smoke: bool = False  # a few seconds: little text, few dimensions
    out: pathlib.Path | None = None  # run folder; runs/NAME/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


@dataclasses.dataclass(frozen=True)
class Texts:
    """What is read, and what the vectors are judged by."""

    vocabulary: data.text.Vocabulary  # 0 is the unknown word
    corpus: word_vectors.Corpus
    similarities: Mapping[str, Any]
    questions: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.vocabulary)


def load(config: Config) -> Texts:
    if config.epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {config.epochs}")
    text = data.text.joined(data.load(config.data, config.data_dir))["train"]
    text = text[: 100_000 if config.smoke else None]
    cut = word_vectors.sentences if config.data == "ptb" else word_vectors.paragraphs
    vocabulary, corpus = word_vectors.build_corpus(cut(text), min_count=config.min_count)
    similarities = {path.stem: word_vectors.read_similarities(path) for path in config.similarities}
    questions = word_vectors.read_questions(config.questions) if config.questions else {}
    return Texts(vocabulary, corpus, similarities, questions)


def learn(
    run: runs.Run,
    texts: Texts,
    step: Callable[[Any, int], tuple[Any, Any, float]],
    carry: Any,
    vectors_of: Callable[[Any], word_vectors.WordVectors],
    *,
    epochs: int,
    blocks: int = 1,
) -> tuple[Any, dict[str, float]]:
    """Takes `carry, loss, items = step(carry, k)` for every block of every epoch.

    Returns: the last carry, and the numbers of the last epoch.
    """

    def block(carry: Any, k: int) -> tuple[Any, dict[str, float] | None]:
        started = time.perf_counter()
        carry, loss, items = step(carry, k)
        row = {"train/loss": float(loss.compute())}
        speed = items / (time.perf_counter() - started)
        if (k + 1) % blocks:
            return carry, None
        if texts.similarities:
            vectors = vectors_of(carry)
            for name, pairs in texts.similarities.items():
                row[f"test/{name}"] = vectors.similarity(pairs)["rank_correlation"]
        return carry, {"epoch": (k + 1) // blocks, **row, "time/items_per_s": speed}

    corpus = texts.corpus
    run.note(f"{len(corpus):,} words, {len(texts) - 1:,} different; {corpus.unknown:,} rare ones")
    carry, rows = train.run_blocks(block, carry, epochs * blocks, run=run)
    kept = {name: value for name, value in rows[-1].items() if name.startswith(("train/", "test/"))}
    return carry, kept


def show(
    run: runs.Run, texts: Texts, vectors: word_vectors.WordVectors, words: tuple[str, ...]
) -> dict[str, float]:
    """Neighbors and a map; returns how many questions were answered, if there are any."""
    for word in (word for word in words if word in vectors):
        near = ", ".join(
            other for other, _ in vectors.nearest(word, min(6, len(vectors.words) - 1))
        )
        run.note(f"  {word}: {near}")
    for name, pairs in texts.similarities.items():
        run.note(f"{name}: {vectors.similarity(pairs)['unknown']:.0f} pairs have unknown words")
    shown = vectors.words[:100]
    run.figure("map", plots.word_map(shown, vectors.vectors[: len(shown)], method="tsne"))
    if not texts.questions:
        return {}
    score = vectors.analogies([row for rows in texts.questions.values() for row in rows])
    return {f"test/analogies_{name}": value for name, value in score.items()}
