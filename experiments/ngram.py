"""Word n-grams of order 1, 2 and 3: perplexity of held-out text, and what they write.

    python -m experiments.ngram                                   # the manual of CPython
    python -m experiments.ngram --data text --data-dir timemachine.txt --smoothing 1 10 10

Measured for the last tenth of The Time Machine, words seen once counted as unknown: perplexity
206.1, 224.9 and 444.8 for orders 1, 2 and 3 with e = 1 for all. The default e = 100 gives 116.5 and
114.9 for orders 2 and 3; it was the best of five values on this very text, so those two flatter.
Additive smoothing with back-off (`classical.ngram`). Zhang et al., Dive into deep learning, 9.3.
"""

import dataclasses
import pathlib
from typing import Literal

from jaxdl import classical, cli, data, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    smoothing: tuple[float, float, float] = (1.0, 100.0, 100.0)  # e of orders 1, 2, 3
    min_count: int = 2  # words of the training text seen less often are read as unknown
    num_words: int = 30  # of each sample
    seed: int = 0  # of the samples
    smoke: bool = False  # a few seconds: little text
    out: pathlib.Path | None = None  # run folder; runs/ngram/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    # Text: split by lines before anything is counted; lower-case words of letters, as in the book.
    texts = data.load_text(config.data, config.data_dir)
    words = {
        name: data.words(text if config.data == "ptb" else data.letters(text))
        for name, text in texts.items()
    }
    if config.smoke:
        words = {name: some[:5000] for name, some in words.items()}
    vocabulary = data.Vocabulary.build(
        words["train"], min_count=config.min_count, reserved=("<unk>",)
    )
    tokens = {name: vocabulary.encode(some) for name, some in words.items()}
    model = classical.ngram(tokens["train"], len(vocabulary), smoothing=config.smoothing)

    with runs.open(config, name="ngram", out=config.out) as run:
        unknown = vocabulary.count_unknown(words["test"])
        run.note(
            f"{len(tokens['train'])} words to count, {len(vocabulary)} different; "
            f"{len(tokens['test'])} held out, {unknown} of them unknown"
        )
        results: dict[str, float] = {}
        for order in (1, 2, 3):
            row = {f"{n}/perplexity": model.perplexity(tokens[n], order) for n in ("train", "test")}
            run.write(order, row)
            results |= {f"{name}_{order}": value for name, value in row.items()}
            lower = classical.ngram(
                tokens["train"], len(vocabulary), order=order, smoothing=config.smoothing[:order]
            )
            some = lower.sample(config.seed, config.num_words)
            run.note(f"{order}-gram: {' '.join(vocabulary.decode(some))}")
        run.figure("frequencies", plots.rank_frequency(model.counts))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
