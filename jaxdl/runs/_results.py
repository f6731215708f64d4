"""A file of measured numbers, which tables are written from: one entry a command."""

import contextlib
import contextvars
import json
import os
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxdl.runs._environment import environment
from jaxdl.runs._read import read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OPENED: contextvars.ContextVar[list[pathlib.Path] | None] = contextvars.ContextVar(
    "opened", default=None
)
_NOT_KEPT = ("--out", "--data-dir", "--seed")  # where things lie on this machine; which repetition


@contextlib.contextmanager
def following() -> Iterator[list[pathlib.Path]]:
    """The folders of the runs that are opened inside, in their order."""
    folders: list[pathlib.Path] = []
    token = _OPENED.set(folders)
    try:
        yield folders
    finally:
        _OPENED.reset(token)


def note_opened(folder: pathlib.Path) -> None:
    """Tells whoever follows that a run was opened."""
    opened = _OPENED.get()
    if opened is not None:
        opened.append(folder)


def record(
    path: pathlib.Path,
    experiment: str,
    args: Sequence[str],
    numbers: Mapping[str, float],
    *,
    seconds: float,
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
        seconds: from the command to its end.
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
        "seconds": round(seconds, 1),
        **({} if cpu_seconds is None else {"cpu_seconds": round(cpu_seconds, 1)}),
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
        whole = path.with_name(path.name + ".part")
        whole.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(whole, path)


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
