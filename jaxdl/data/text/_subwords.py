"""Parts of words: byte-pair encoding, trained and applied by Hugging Face's `tokenizers`."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np


class BytePairs:
    """Byte-pair encoding (Sennrich et al. 2016) over bytes, as GPT-2's: nothing is unknown.

    >>> pairs = BytePairs.train(["the cat the hat"] * 9, vocab_size=262)
    >>> len(pairs), pairs.decode(pairs.encode("the hat, né"))
    (262, 'the hat, né')

    Needs the package `tokenizers`, which comes with `jaxdl[text]`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "BytePairs":
        """Joins the most frequent pairs of the texts until there are `vocab_size` tokens.

        Raises: ValueError for fewer than the 256 bytes; ImportError without `tokenizers`.
        """
        if vocab_size < 256:
            raise ValueError(f"the bytes alone are 256 tokens, got a vocab_size of {vocab_size}")
        library = _library()
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            show_progress=False,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "BytePairs":
        """Reads what `save` wrote, or another tokenizer.json.

        Raises: ValueError naming a file that is none; FileNotFoundError.
        """
        text = pathlib.Path(path).read_text(encoding="utf-8")
        try:
            return cls(_library().Tokenizer.from_str(text))
        except Exception as error:  # the library raises no narrower one
            raise ValueError(f"{path} holds no tokenizer: {error}") from None

    def save(self, path: str | pathlib.Path) -> None:
        """Writes a tokenizer.json."""
        pathlib.Path(path).write_text(self._tokenizer.to_str(), encoding="utf-8")

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> np.ndarray:
        """Ids `[S]`."""
        return np.asarray(self._tokenizer.encode(text).ids, np.int32)

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of ids; bytes that end amid a character become its replacement mark."""
        return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ImportError(
            "byte-pair encoding needs tokenizers: pip install 'jaxdl[text]'"
        ) from None
    return tokenizers
