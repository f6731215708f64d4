"""Where texts come from: CPython's manual, plain files, the Penn Treebank; lines, a row each."""

import pathlib
from collections.abc import Mapping

from jaxdl.data._archives import ENDINGS, from_anywhere
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import read_text, text_column

_SHARE = 0.1  # of the lines, at the end, that become "test"


def joined(splits: Mapping[str, Dataset]) -> dict[str, str]:
    r"""The text of each split in one piece: its lines have kept their ends.

    >>> import numpy as np
    >>> splits = {"train": Dataset({"text": np.array(["to be,\n", "or not\n"])})}
    >>> joined(splits)
    {'train': 'to be,\nor not\n'}
    """
    return {name: "".join(split["text"]) for name, split in splits.items()}


def manual() -> dict[str, Dataset]:
    """The language reference that ships with CPython."""
    from pydoc_data.topics import topics

    return _hold_out("\n".join(topics[key] for key in sorted(topics)))


def read_texts(path: str | pathlib.Path) -> dict[str, Dataset]:
    """A plain UTF-8 file, or all `*.txt` of a folder (or archive) in the order of their names."""
    path = pathlib.Path(path)
    if path.is_dir() or path.name.lower().endswith(ENDINGS):
        return _hold_out(_of_folder(path))
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path}: no text")
    return _hold_out(text)


@from_anywhere
def _of_folder(folder: pathlib.Path) -> str:
    text = "\n".join(read_text(file) for file in sorted(folder.glob("*.txt")))
    if not text.strip():
        raise DataError(f"{folder}: no text, or no *.txt file in the folder")
    return text


@from_anywhere
def read_ptb(folder: pathlib.Path) -> dict[str, Dataset]:
    """The Penn Treebank in Mikolov's preprocessing, three files."""
    splits = {}
    for name, part in (("train", "train"), ("validation", "valid"), ("test", "test")):
        file = f"ptb.{part}.txt"
        found = sorted(folder.rglob(file))
        if not found or not found[0].stat().st_size:
            raise DataError(f"{folder}: expected {file}, found none")
        splits[name] = _rows(read_text(found[0]).splitlines(keepends=True))
    return splits


def _hold_out(text: str) -> dict[str, Dataset]:
    """The lines at the end are held out, so that nothing cut out of the others holds a part."""
    lines = text.splitlines(keepends=True)
    cut = round(len(lines) * (1 - _SHARE))
    return {"train": _rows(lines[:cut]), "test": _rows(lines[cut:])}


def _rows(lines: list[str]) -> Dataset:
    return Dataset({"text": text_column(lines)})
