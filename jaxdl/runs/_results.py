"""A file of measured numbers, which tables are written from: one entry a command."""

import contextlib
import contextvars
import json
import os
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxdl.runs._environment import environment
from jaxdl.runs._files import write_whole
from jaxdl.runs._read import read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Opened(NamedTuple):
    """The folder of a run that was opened, and whether it goes on from a checkpoint."""

    folder: pathlib.Path
    continued: bool


_OPENED: contextvars.ContextVar[list[Opened] | None] = contextvars.ContextVar(
    "opened", default=None
)
_NOT_KEPT = ("--out", "--data-dir", "--seed")  # where things lie on this machine; which repetition


@contextlib.contextmanager
def following() -> Iterator[list[Opened]]:
    """The runs that are opened inside, in their order."""
    found: list[Opened] = []
    token = _OPENED.set(found)
    try:
        yield found
    finally:
        _OPENED.reset(token)


def note_opened(folder: pathlib.Path, continued: bool) -> None:
    """Tells whoever follows that a run was opened."""
    opened = _OPENED.get()
    if opened is not None:
        opened.append(Opened(folder, continued))


def record(
    path: pathlib.Path,
    experiment: str,
    args: Sequence[str],
    numbers: Mapping[str, float],
    *,
    seconds: float | None,
    cpu_seconds: float | None = None,
    folders: Sequence[pathlib.Path] = (),
    shows: str = "",
) -> None:
    """Adds a run to a file of results, in place of an earlier one of the same command and seed.

    Args:
        path: a JSON list of entries; made where it does not exist.
        experiment: its name.
        args: of the command line. Where files lie and the seed are no part of an entry's command:
            a file is kept by its name.
        numbers: what the run returned; those that are no finite number are kept as JSON has them.
        seconds: from the command to its end; None for a run that was continued, and took longer.
        cpu_seconds: that all cores worked for it, which other work beside it does not change much.
        folders: of the runs it opened; their checksums of the data are kept.
        shows: what a new entry is said to be there for.

    Several processes may record into one file at a time.

    Raises: ValueError naming the file if it holds something else.
    """
    options, seed = _options(args)
    key = {"experiment": experiment, "options": options}
    checksums: dict[str, Any] = {}
    for folder in folders:
        checksums |= read_json(folder / "environment.json").get("data", {})
    where = environment()
    run = {
        "seed": seed,
        "numbers": {name: float(value) for name, value in numbers.items()},
        **_rounded(seconds=seconds, cpu_seconds=cpu_seconds),
        "data": checksums,
        **{name: where[name] for name in ("time", "commit", "python", "packages", "platform")},
        **{name: where[name] for name in ("cpu_count", "devices", "variables")},
    }
    with _alone_in(path.parent):
        entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        if not isinstance(entries, list):
            raise ValueError(f"{path} holds no list of results")
        entry = next((entry for entry in entries if key.items() <= entry.items()), None)
        if entry is None:
            entry = {**key, "data": "", "shows": shows, "published": "", "here": "", "seconds": ""}
            entry |= {"chosen": "", "runs": []}
            entries.append(entry)
        if "{" not in entry["here"]:  # entered by hand, or new
            entry["here"] = ", ".join(f"{name} {{{name}:.4g}}" for name in _headlines(numbers))
        entry["runs"] = [old for old in entry["runs"] if old["seed"] != seed] + [run]
        write_whole(path, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def _rounded(**seconds: float | None) -> dict[str, float]:
    return {name: round(value, 1) for name, value in seconds.items() if value is not None}


@contextlib.contextmanager
def _alone_in(folder: pathlib.Path) -> Iterator[None]:
    """Waits until no other process records in the folder."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _headlines(numbers: Mapping[str, float]) -> list[str]:
    """Up to four numbers: those of the test set first; times and baselines last."""

    def rank(name: str) -> int:
        parts = name.split("/")
        return 2 if {"time", "majority", "spread"} & set(parts) else int(parts[0] != "test")

    return sorted(numbers, key=rank)[:4]


def _options(args: Sequence[str]) -> tuple[str, int]:
    """The command without what belongs to this machine, and the seed."""
    kept, seed = [], 0
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in _NOT_KEPT:
            kept.append(_without_folder(word))
            continue
        value = value if equals else next(words, "")
        seed = int(value) if name == "--seed" else seed
    return shlex.join(kept), seed


def _without_folder(word: str) -> str:
    """The name of a file, where a word of the command says where one lies."""
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    path = pathlib.Path(value)
    return f"{option}{equals}{path.name}" if len(path.parts) > 1 and path.exists() else word
