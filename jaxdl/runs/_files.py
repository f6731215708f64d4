"""Files that are whole or not there, and errors that name them."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any


def plain(value: Any) -> Any:
    """The value as JSON gives it back."""
    if isinstance(value, pathlib.Path):
        return str(value)
    return json.loads(json.dumps(value, default=str))


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes it as JSON, or leaves the file as it was."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes the text, or leaves the file as it was."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A name to write to, which becomes `path` at the end: a kill before it leaves the old file."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named(path: pathlib.Path) -> Iterator[None]:
    """Says which file it was where the disk is full or gone."""
    try:
        yield
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
