"""A text as characters, words, bytes or byte pairs, for the models that read any of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdl import data


class Units(NamedTuple):
    """A text of each split as ids `[S]`, and the way there and back."""

    ids: Mapping[str, np.ndarray]
    codec: Any  # encodes what `prompt` is made of, and decodes ids
    prompt: np.ndarray
    num_bytes: Mapping[str, int]
    glue: str  # between decoded units

    def write(self, ids: Any) -> str:
        """The text of ids `[S]`."""
        found = self.codec.decode(ids)
        return found if isinstance(found, str) else self.glue.join(found)


def read(config: Any, prompt: str = "") -> Units:
    """The text of `config.data`, each split in the `unit` that it is read in, and a prompt."""
    texts = data.text.joined(data.load(config.data, config.data_dir))
    if config.smoke:
        few = 20_000 if config.unit in ("word", "bpe") else 4000
        texts = {name: text[:few] for name, text in texts.items()}
    num_bytes = {name: len(text.encode()) for name, text in texts.items()}
    if config.unit in ("byte", "bpe"):
        size = 256 if config.unit == "byte" else (300 if config.smoke else config.vocab_size)
        pairs = data.text.BytePairs.train([texts["train"]], size)
        ids = {name: pairs.encode(text) for name, text in texts.items()}
        return Units(ids, pairs, pairs.encode(prompt), num_bytes, "")
    if config.unit == "word":
        tokens = {name: data.text.words(text, end_of_line="<eos>") for name, text in texts.items()}
        size = 200 if config.smoke else config.vocab_size
        vocabulary = data.text.Vocabulary.build(
            tokens["train"], max_size=size, reserved=("<unk>", "<eos>")
        )
        ids = {name: vocabulary.encode(some) for name, some in tokens.items()}
        start = vocabulary.encode(data.text.words(prompt))
        return Units(ids, vocabulary, start, num_bytes, " ")
    letters = {name: data.text.letters(text) for name, text in texts.items()}
    characters = {name: data.text.characters(text) for name, text in letters.items()}
    vocabulary = data.text.Vocabulary.build(characters["train"], reserved=("<unk>",))
    ids = {name: vocabulary.encode(some) for name, some in characters.items()}
    start = vocabulary.encode(data.text.characters(prompt))
    return Units(ids, vocabulary, start, num_bytes, "")


def with_validation(ids: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same splits, where there is no validation text with the last tenth of the training's."""
    if "validation" in ids:
        return dict(ids)
    cut = len(ids["train"]) * 9 // 10
    return {**ids, "train": ids["train"][:cut], "validation": ids["train"][cut:]}
