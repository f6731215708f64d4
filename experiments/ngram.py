"""Word n-grams of order 1, 2 and 3: perplexity of held-out text, and what they write.

    python -m experiments.ngram                                   # the manual of CPython
    python -m experiments.ngram --data text --data-dir timemachine.txt --smoothing 1 10 10

Without `--smoothing` the e of each order is the best of `CANDIDATES` on validation text (the last
tenth of the training text, or PTB's own), lower orders first; then the whole training text is
counted.
Additive smoothing with back-off (`classical.fit_ngram`). Zhang et al., Dive into deep learning,
9.3.
"""

import dataclasses
import pathlib
from typing import Literal

import numpy as np

from jaxdl import classical, cli, data, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    smoothing: tuple[float, float, float] | None = None  # e of orders 1, 2, 3; None chooses them
    ascii_only: bool = False  # the letters a-z alone, as in the book; others then cut words
    min_count: int = 2  # words of the training text seen less often are read as unknown
    num_words: int = 30  # of each sample
    seed: int = 0  # of the samples
    smoke: bool = False  # a few seconds: little text
    out: pathlib.Path | None = None  # run folder; runs/ngram/DATE-TIME if not given


CANDIDATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


def main(config: Config) -> dict[str, float]:
    # Text: split by lines before anything is counted; lower-case words of letters, as in the book.
    texts = data.text.joined(data.load(config.data, config.data_dir))
    if config.data != "ptb":
        texts = {
            n: data.text.letters(text, ascii_only=config.ascii_only) for n, text in texts.items()
        }
    words = {name: data.text.words(text) for name, text in texts.items()}
    if config.smoke:
        words = {name: some[:5000] for name, some in words.items()}
    smoothing = config.smoothing or choose(config, words)
    vocabulary, tokens = encode(config, words)
    model = classical.fit_ngram(tokens["train"], len(vocabulary), smoothing=smoothing)

    with runs.open(config, name="ngram", out=config.out) as run:
        unknown = vocabulary.count_unknown(words["test"])
        run.note(
            f"{len(tokens['train'])} words to count, {len(vocabulary)} different; "
            f"{len(tokens['test'])} held out, {unknown} of them unknown"
        )
        how = "as given" if config.smoothing else "chosen on validation text"
        run.note(f"e of orders 1, 2, 3: {smoothing}, {how}")
        results = {f"smoothing_{order}": e for order, e in enumerate(smoothing, start=1)}
        for order in (1, 2, 3):
            row = {f"{n}/perplexity": model.perplexity(tokens[n], order) for n in ("train", "test")}
            run.write(order, row)
            results |= {f"{name}_{order}": value for name, value in row.items()}
            lower = classical.fit_ngram(
                tokens["train"], len(vocabulary), order=order, smoothing=smoothing[:order]
            )
            some = lower.sample(config.seed, config.num_words)
            run.note(f"{order}-gram: {' '.join(vocabulary.decode(some))}")
        run.figure("frequencies", plots.rank_frequency(model.counts))
        return run.finish(results)


def encode(
    config: Config, words: dict[str, list[str]]
) -> tuple[data.text.Vocabulary, dict[str, np.ndarray]]:
    """The vocabulary of the training words, and every part as its ids."""
    vocabulary = data.text.Vocabulary.build(
        words["train"], min_count=config.min_count, reserved=("<unk>",)
    )
    return vocabulary, {name: vocabulary.encode(some) for name, some in words.items()}


def choose(config: Config, words: dict[str, list[str]]) -> tuple[float, ...]:
    """The e of each order that is best on validation text; the test text is not looked at."""
    cut = len(words["train"]) * 9 // 10
    parts = {"train": words["train"], "validation": words.get("validation", [])}
    if not parts["validation"]:
        parts = {"train": words["train"][:cut], "validation": words["train"][cut:]}
    vocabulary, tokens = encode(config, parts)
    return best_smoothing(tokens["train"], tokens["validation"], len(vocabulary))


def best_smoothing(train: np.ndarray, validation: np.ndarray, vocab_size: int) -> tuple[float, ...]:
    """The e of orders 1, 2 and 3 that is best on validation ids, lower orders first."""
    chosen: tuple[float, ...] = ()
    for order in (1, 2, 3):
        perplexities = [
            classical.fit_ngram(train, vocab_size, order=order, smoothing=(*chosen, e)).perplexity(
                validation, order
            )
            for e in CANDIDATES
        ]
        chosen = (*chosen, CANDIDATES[int(np.argmin(perplexities))])
    return chosen


if __name__ == "__main__":
    cli.run(main, Config)
