"""Which words belong together: pointwise mutual information in a text.

    python -m experiments.information                     # Python's own language reference
    python -m experiments.information --data text --data-dir book.txt

Also the entropy of its letters and words, and how much a word tells of the next one.
Church & Hanks, Word association norms, mutual information, and lexicography, 1990.
"""

import dataclasses
import pathlib
from typing import Literal

import jax.numpy as jnp
import numpy as np

from jaxdl import cli, data, information, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text, see jaxdl.data.SOURCES
    data_dir: pathlib.Path | None = None  # the file or folder of another text
    window: int = 2  # how far apart two words may stand
    vocabulary: int = 1000  # the most frequent words are paired
    ascii_only: bool = False  # the letters a-z alone; others then cut words
    min_count: int = 10  # rarer pairs are left out
    smoothing: float = 0.0  # added to every count of the table
    top: int = 20  # pairs that are printed
    smoke: bool = False  # a few seconds: the first 5,000 words, 200 of them paired
    out: pathlib.Path | None = None  # run folder; runs/information/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    text = data.text.joined(data.load(config.data, config.data_dir))["train"]
    words = data.text.letters(text, ascii_only=config.ascii_only).split()
    if config.smoke:
        words = words[:5000]
    if not words:
        raise ValueError(f"there is no word in the text {config.data!r}")
    size = min(config.vocabulary, 200) if config.smoke else config.vocabulary

    with runs.open(config, name="information", out=config.out) as run:
        pairs = information.word_associations(
            words,
            window=config.window,
            vocabulary=size,
            min_count=config.min_count,
            smoothing=config.smoothing,
        )
        run.note(f"{len(words):,} words, {len(pairs):,} pairs met {config.min_count} times or more")
        run.note(f"{'PMI (bits)':>10} {'times':>6}  pair")
        for pair in pairs[: config.top]:
            run.note(f"{pair.pmi:10.2f} {pair.times:6}  {pair.first} {pair.second}")
        if pairs:
            run.figure("associations", plots.associations(pairs[: config.top]))

        # Entropies of letters and words; what one word tells of the next.
        alphabet, letters = np.unique(list("".join(words)), return_inverse=True)
        sizes = (len(alphabet),)
        letter_share = information.table_of(jnp.asarray(letters, jnp.int32), sizes=sizes)
        start = jnp.asarray(letters[: len(letters) // 2], jnp.int32)
        start_share = information.table_of(start, sizes=sizes)
        spelling, ids = np.unique(words, return_inverse=True)
        share = information.table_of(jnp.asarray(ids, jnp.int32), sizes=(len(spelling),))
        frequent = np.argsort(-np.asarray(share), kind="stable")[:size]
        index = np.full(len(spelling), size)
        index[frequent] = np.arange(len(frequent))
        following = information.cooccurrence(jnp.asarray(index[ids]), size, window=1)
        following = following / jnp.maximum(following.sum(), 1)
        return run.finish(
            {
                "bits/letter": float(information.entropy(letter_share, base=2)),
                "bits/first half by the letters of the whole": float(
                    information.kl_divergence(start_share, letter_share, base=2)
                ),
                "bits/word": float(information.entropy(share, base=2)),
                "bits/next word given one": float(
                    information.conditional_entropy(following, base=2)
                ),
                "bits/shared with the next word": float(
                    information.mutual_information(following, base=2)
                ),
                "bits/two words in a row": float(information.joint_entropy(following, base=2)),
                "bits/the commonest word": float(information.self_information(share.max(), base=2)),
                "pairs": float(len(pairs)),
            }
        )


if __name__ == "__main__":
    cli.run(main, Config)
