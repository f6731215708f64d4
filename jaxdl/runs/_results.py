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
    folders: Sequence[pathlib.Path] = (),
    shows: str = "",
) -> None:
    """Adds a run to a file of results, in place of an earlier one of the same command and seed.

    Args:
        path: a JSON list of entries; made where it does not exist.
        experiment: its name.
        args: of the command line. Where files lie and the seed are no part of an entry's command.
        numbers: what the run returned; those that are no finite number are kept as JSON has them.
        seconds: from the command to its end.
        folders: of the runs it opened; their checksums of the data are kept.
        shows: what a new entry is said to be there for.

    Raises: ValueError naming the file if it holds something else.
    """
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if not isinstance(entries, list):
        raise ValueError(f"{path} holds no list of results")
    options, seed = _options(args)
    key = {"experiment": experiment, "options": options}
    found = [entry for entry in entries if key.items() <= entry.items()]
    if not found:
        found = [{**key, "data": "", "shows": shows, "published": "", "here": "", "seconds": ""}]
        found[0] |= {"chosen": "", "runs": []}
        entries += found
    entry = found[0]
    if "{" not in entry["here"]:  # entered by hand, or new
        entry["here"] = ", ".join(f"{name} {{{name}:.4g}}" for name in list(numbers)[:4])
    checksums: dict[str, Any] = {}
    for folder in folders:
        checksums |= read_json(folder / "environment.json").get("data", {})
    where = environment()
    run = {
        "seed": seed,
        "numbers": {name: float(value) for name, value in numbers.items()},
        "seconds": round(seconds, 1),
        "data": checksums,
        **{name: where[name] for name in ("time", "commit", "python", "packages", "platform")},
        **{name: where[name] for name in ("cpu_count", "devices", "variables")},
    }
    entry["runs"] = [old for old in entry["runs"] if old["seed"] != seed] + [run]
    whole = path.with_name(path.name + ".part")
    whole.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(whole, path)


def _options(args: Sequence[str]) -> tuple[str, int]:
    """The command without what belongs to this machine, and the seed."""
    kept, seed = [], 0
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in _NOT_KEPT:
            kept.append(word)
            continue
        value = value if equals else next(words, "")
        seed = int(value) if name == "--seed" else seed
    return shlex.join(kept), seed
