"""Word vectors by word: files of four formats, neighbors, analogies, similarity.

    vectors = word_vectors.WordVectors.load("glove.6B.50d.txt")
    vectors.nearest("king", 5)

"word2vec" and "fasttext" are text with a first line "V D", "glove" is text without one, "binary"
is word2vec's: the same first line, then for each word its name, a space and D float32.
"""

import codecs
import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from jaxdl.data import DataError
from jaxdl.data._files import MOST_LINE, check_file, lines, most_unpacked, opened, read_text
from jaxdl.data._numbers import number
from jaxdl.word_vectors._similarity import analogies, nearest, rank_correlation

Format = Literal["word2vec", "binary", "glove", "fasttext"]


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """Words and their vectors, row by row.

    >>> table = np.array([[0.0, 1.0], [0.6, 0.8], [0.0, -1.0]], np.float32)
    >>> WordVectors(("up", "high", "down"), table).nearest("up", 2)
    [('high', 0.8), ('down', -1.0)]
    """

    words: tuple[str, ...]
    vectors: np.ndarray  # [V, D], float32

    def __post_init__(self) -> None:
        ids = {word: i for i, word in enumerate(self.words)}
        if np.ndim(self.vectors) != 2 or len(self.vectors) != len(self.words):
            raise ValueError(
                f"{len(self.words)} words need vectors [V, D], got {self.vectors.shape}"
            )
        if len(ids) != len(self.words):
            raise ValueError(f"each word once: {len(self.words) - len(ids)} words come again")
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids  # type: ignore[attr-defined]

    def __getitem__(self, word: str) -> np.ndarray:
        return self.vectors[self._id(word)]

    def _id(self, word: str) -> int:
        ids: dict[str, int] = self._ids  # type: ignore[attr-defined]
        if word not in ids:
            raise ValueError(f"{word!r} has no vector")
        return ids[word]

    def nearest(self, word: str | np.ndarray, k: int = 10) -> list[tuple[str, float]]:
        """The k words of greatest cosine with a word (itself excluded) or with a vector `[D]`."""
        vector = self[word] if isinstance(word, str) else np.asarray(word)
        own = np.array([[self._id(word)]]) if isinstance(word, str) else None
        cosines, ids = nearest(self.vectors, vector[None], k, exclude=own)
        return [(self.words[i], float(c)) for i, c in zip(ids[0], cosines[0], strict=True)]

    def analogies(self, questions: Iterable[Sequence[str]]) -> dict[str, float]:
        """Scores questions "a b c answer" by 3CosAdd.

        Returns: "accuracy" over the "known" questions, NaN if there are none, and how many were
            "unknown" because a word has no vector: they are not counted as wrong.
        """
        rows = list(questions)
        known = np.array(
            [[self._id(w) for w in row] for row in rows if all(w in self for w in row)]
        )
        if not len(known):
            return {"accuracy": float("nan"), "known": 0.0, "unknown": float(len(rows))}
        hits = analogies(self.vectors, known[:, :3]) == known[:, 3]
        unknown = float(len(rows) - len(known))
        return {"accuracy": float(hits.mean()), "known": float(len(known)), "unknown": unknown}

    def similarity(self, pairs: Iterable[tuple[str, str, float]]) -> dict[str, float]:
        """Spearman's rho of cosines with people's judgments; pairs without vectors are counted."""
        rows = list(pairs)
        known = [row for row in rows if row[0] in self and row[1] in self]
        unit = [
            [self[word] / max(float(np.linalg.norm(self[word])), 1e-30) for word in row[:2]]
            for row in known
        ]
        rho = rank_correlation(
            np.array([float(a @ b) for a, b in unit]), np.array([row[2] for row in known])
        )
        counts = {"known": float(len(known)), "unknown": float(len(rows) - len(known))}
        return {"rank_correlation": rho, **counts}

    def save(self, path: str | pathlib.Path, format: Format = "word2vec") -> None:
        """Writes a file. Raises: ValueError if a word is empty or has a space or a line's end."""
        for word in self.words:
            if not word or any(mark in word for mark in " \n\r\t"):
                raise ValueError(f"{word!r} cannot be written: words need letters and no spaces")
        V, D = self.vectors.shape
        rows = np.asarray(self.vectors, "<f4")
        with pathlib.Path(path).open("wb") as file:
            if format != "glove":
                file.write(f"{V} {D}\n".encode())
            for word, row in zip(self.words, rows, strict=True):
                if format == "binary":
                    file.write(word.encode() + b" " + row.tobytes() + b"\n")
                else:
                    numbers = " ".join(map(repr, row.tolist() if D else []))
                    file.write(f"{word} {numbers}\n".encode())

    @classmethod
    def load(
        cls, path: str | pathlib.Path, format: Format | None = None, *, limit: int | None = None
    ) -> "WordVectors":
        """Reads a file, plain or `.gz`; a word that comes again keeps its first vector.

        Words may hold spaces (GloVe's 840B has some): the last D fields of a line are numbers.

        Args:
            format: by default "binary" for `*.bin`, else text, where a first line of two whole
                numbers is a header.
            limit: read so many words at most.
        Raises: DataError naming the file and the line if it is missing, empty, cut short, has a
            line of the wrong width or of more than 2^20 bytes, or a number that is not finite;
            ValueError for a limit below 1.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        path = pathlib.Path(path)
        name = path.name.removesuffix(".gz")
        with opened(path) as file:
            read = _read_binary if (format or name[-4:]) in ("binary", ".bin") else _read_text
            found = read(file, path, format, limit)
        if not found:
            raise DataError(f"{path}: no word vectors in it")
        vectors = np.stack(list(found.values()))
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            raise DataError(f"{path}: the vector of {list(found)[wrong[0]]!r:.80} is not finite")
        return cls(tuple(found), vectors)


def _header(line: bytes) -> tuple[int, int] | None:
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() and len(field) < 19 for field in fields):
        return int(fields[0]), int(fields[1])
    return None


def _read_text(
    file: Any, path: pathlib.Path, format: Format | None, limit: int | None
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    header, width = None, 0
    count = 0
    for place, line in lines(file, path):
        if place == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if place == 1 and format != "glove":
            header = _header(line)
            if header:
                width = header[1]
                continue
            if format:
                raise DataError(f"{path}, line 1: expected the numbers of words and dimensions")
        if limit is not None and count == limit:
            break
        if not line:  # an empty line at the end
            continue
        fields = line.rstrip(b" ").split(b" ")
        width = width or len(fields) - 1
        try:
            word = b" ".join(fields[:-width]).decode()
            with np.errstate(over="ignore"):
                vector = np.array(fields[len(fields) - width :], np.float32)
        except ValueError as error:
            raise DataError(f"{path}, line {place}: expected a word and {width} numbers") from error
        if len(fields) <= width or not word:
            raise DataError(
                f"{path}, line {place}: expected a word and {width} numbers, "
                f"got {len(fields)} fields"
            )
        found.setdefault(word, vector)
        count += 1
    if header and count < header[0] and count != limit:
        raise DataError(f"{path}: its first line says {header[0]} words, there are {count}")
    return found


def _read_binary(
    file: Any, path: pathlib.Path, format: Format | None, limit: int | None
) -> dict[str, np.ndarray]:
    header = _header(file.readline(100))
    if header is None:
        raise DataError(f"{path}, line 1: expected the numbers of words and dimensions")
    if not header[1] or header[0] * (4 * header[1] + 1) > most_unpacked(check_file(path)):
        raise DataError(
            f"{path}: cannot hold the {header[0]} words of {header[1]} numbers it claims"
        )
    found: dict[str, np.ndarray] = {}
    count = header[0] if limit is None else min(limit, header[0])
    for place in range(1, count + 1):
        name = bytearray()
        while (letter := file.read(1)) not in (b" ", b"") and len(name) < MOST_LINE:
            name += letter
        content = file.read(4 * header[1])
        if len(content) < 4 * header[1]:
            raise DataError(f"{path}: cut short in word {place} of {header[0]}")
        try:
            word = name.lstrip(b"\n").decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, word {place}: expected UTF-8, {error}") from error
        found.setdefault(word, np.frombuffer(content, "<f4"))
    return found


def read_similarities(path: str | pathlib.Path) -> list[tuple[str, str, float]]:
    r"""Reads lines "word, word, number" apart by tabs, as WordSim-353 and SimLex-999; lower case.

    >>> _ = pathlib.Path("pairs.tsv").write_text("tiger\tcat\t7.35\nKing\tcabbage\t0.23\n")
    >>> read_similarities("pairs.tsv")
    [('tiger', 'cat', 7.35), ('king', 'cabbage', 0.23)]

    Raises: DataError naming a line that is of another form.
    """
    rows = []
    for place, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        fields = line.split("\t")
        try:
            rows.append((fields[0].lower(), fields[1].lower(), number(fields[2])))
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}, line {place}: expected word, word, number") from error
    if not rows:
        raise DataError(f"{path}: no pairs of words")
    return rows


def read_questions(path: str | pathlib.Path) -> dict[str, list[list[str]]]:
    r"""Reads analogy questions of four words, lower case, by the sections that ": name" starts.

    >>> _ = pathlib.Path("questions.txt").write_text(": capitals\nAthens Greece Oslo Norway\n")
    >>> read_questions("questions.txt")
    {'capitals': [['athens', 'greece', 'oslo', 'norway']]}

    Raises: DataError naming a line that has not four words.
    """
    sections: dict[str, list[list[str]]] = {}
    rows = sections.setdefault("", [])
    for place, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        if line.startswith(":"):
            rows = sections.setdefault(line[1:].strip(), [])
            continue
        fields = line.lower().split()
        if len(fields) != 4:
            raise DataError(f"{path}, line {place}: expected four words, got {len(fields)}")
        rows.append(fields)
    found = {name: some for name, some in sections.items() if some}
    if not found:
        raise DataError(f"{path}: no questions")
    return found
