"""A text as one array of ids, with the sentence each belongs to: what word vectors learn from."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jaxdl.data.text import UNKNOWN, Vocabulary, letters


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Ids of known words in reading order; windows do not cross from one sentence to another.

    >>> lines = ["to be or not to be".split(), "to see".split()]
    >>> vocabulary = Vocabulary.build(lines[0] + lines[1], min_count=2, reserved=(UNKNOWN,))
    >>> corpus = Corpus.encode(lines, vocabulary)
    >>> vocabulary.decode(corpus.tokens), corpus.sentences.tolist(), corpus.unknown
    (['to', 'be', 'to', 'be', 'to'], [0, 0, 0, 0, 1], 3)
    """

    tokens: np.ndarray  # [N], int32
    sentences: np.ndarray  # [N], int32, ascending; -1 marks the padding of a block
    unknown: int = 0  # words that the vocabulary lacks; they were dropped, as word2vec does

    @classmethod
    def encode(cls, lines: Iterable[Iterable[str]], vocabulary: Vocabulary) -> "Corpus":
        """Encodes sentences, dropping unknown words.

        Raises: ValueError if no sentence has two known words, for then nothing has a context.
        """
        rows = [vocabulary.encode(line) for line in lines]
        lengths = np.array([len(row) for row in rows])
        tokens = np.concatenate([*rows, np.zeros(0, np.int32)])
        sentences = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
        known = tokens != vocabulary.id(UNKNOWN)
        if not (np.diff(sentences[known]) == 0).any():
            raise ValueError(
                f"the corpus has no two known words in one sentence: {known.sum()} known words "
                f"of {len(known)}, {len(rows)} sentences"
            )
        return cls(tokens[known], sentences[known], int((~known).sum()))

    def __len__(self) -> int:
        return len(self.tokens)

    def counts(self, vocabulary: Vocabulary) -> np.ndarray:
        """How often each id occurs, `[V]`."""
        return np.bincount(self.tokens, minlength=len(vocabulary))

    def blocks(self, size: int) -> Iterator["Corpus"]:
        """Cuts the corpus into blocks of `size` tokens, the last one padded.

        One program then serves them all, and only one need lie on the device at a time; a
        sentence that a cut divides is two.
        """
        if size < 1:
            raise ValueError(f"size must be positive, got {size}")
        for start in range(0, len(self), size):
            piece = slice(start, start + size)
            short = size - len(self.tokens[piece])
            yield Corpus(
                np.pad(self.tokens[piece], (0, short)),
                np.pad(self.sentences[piece], (0, short), constant_values=-1),
            )


def build_corpus(
    sentences: Iterable[Sequence[str]], *, min_count: int = 5
) -> tuple[Vocabulary, Corpus]:
    r"""Builds the vocabulary of sentences, and their corpus.

    Words rarer than `min_count` are dropped, the `<unk>` of PTB too: nothing is learned of them.

    >>> vocabulary, corpus = build_corpus(paragraphs("To be, or not to be?\n\n" * 5), min_count=6)
    >>> vocabulary.tokens, len(corpus), corpus.unknown
    (('<unk>', 'be', 'to'), 20, 10)

    Args:
        sentences: their words: `paragraphs` or `sentences` of a text.
        min_count: of a word in them.
    """
    lines = list(sentences)
    every = (word for line in lines for word in line)
    vocabulary = Vocabulary.build(every, min_count=min_count, reserved=(UNKNOWN,))
    return vocabulary, Corpus.encode(lines, vocabulary)


def paragraphs(text: str) -> list[list[str]]:
    r"""The words of every paragraph that has any, in lower-case letters.

    >>> paragraphs("To be,\nor not to be?\n\nThat is...")
    [['to', 'be', 'or', 'not', 'to', 'be'], ['that', 'is']]
    """
    return [words for part in text.split("\n\n") if (words := letters(part).split())]


def sentences(text: str) -> list[list[str]]:
    r"""The words of every line that has any; words stand between white space.

    >>> sentences("to be\n\nor not to be")
    [['to', 'be'], ['or', 'not', 'to', 'be']]
    """
    return [words for line in text.splitlines() if (words := line.split())]
