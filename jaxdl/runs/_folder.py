"""Which folder a run is kept in, and that no other process writes there."""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from jaxdl.runs._read import NOT_COMPUTED

try:
    import fcntl
except ImportError:  # Windows has no such locks: there two processes are not kept apart
    fcntl = None  # type: ignore[assignment]

_DATED = re.compile(r"\d{4}-\d\d-\d\d-\d{6}-\d{3}")
_LOCK = "lock"


class Lock:
    """An exclusive lock on a run folder, let go of by `close` or when the process dies.

    Raises: FileExistsError if another process holds it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._file = (folder / _LOCK).open("a+", encoding="utf-8")
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            owner = self._file.read(100).strip() or "another process"
            self._file.close()
            raise FileExistsError(
                f"{folder} is in use by {owner}; wait for it to end or name another folder"
            ) from None
        except OSError:  # a file system without locks
            return
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def is_locked(folder: pathlib.Path) -> bool:
    """Whether another process is writing the run."""
    try:
        Lock(folder).close()
    except FileExistsError:
        return True
    except OSError:
        return True  # not ours to write
    return False


def has_checkpoints(folder: pathlib.Path) -> bool:
    """Whether the run has a complete checkpoint to go on from."""
    parts = (folder / "checkpoints").glob("*/*")  # a part's lie one deeper
    return has_own_checkpoints(folder) or any(path.name.isdigit() for path in parts)


def has_own_checkpoints(folder: pathlib.Path) -> bool:
    """Whether the run itself has one; its parts may have others."""
    return any(path.name.isdigit() for path in (folder / "checkpoints").glob("*"))


def find_unfinished(
    parent: pathlib.Path, config: Mapping[str, Any], checksums: Mapping[str, str]
) -> pathlib.Path | None:
    """The newest run below `parent` that was interrupted: of this configuration, on these data.

    Folders that a user named are left alone, and so are runs that another process is writing.
    """
    dated = (path for path in parent.glob("*") if _DATED.fullmatch(path.name))
    for folder in sorted(dated, reverse=True):
        if (folder / "result.json").exists() or not has_checkpoints(folder):
            continue
        found = _read_or_none(folder / "config.json")
        if found is None or differences(found, config, ("out", "resume")):
            continue
        environment = _read_or_none(folder / "environment.json") or {}
        if environment.get("data") == dict(checksums) and not is_locked(folder):
            return folder
    return None


def refuse_foreign(
    folder: pathlib.Path, config: Mapping[str, Any], checksums: Mapping[str, str]
) -> None:
    """Raises FileExistsError if the folder holds anything but a run of this configuration."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, not a run folder")
    path = folder / "config.json"
    if not path.exists():
        if folder.is_dir() and any(entry.name != _LOCK for entry in folder.iterdir()):
            raise FileExistsError(f"{folder} holds other files and no run; name a new folder")
        return
    found = _read_or_none(path)
    if found is None:
        raise FileExistsError(f"{path} holds no options of a run; name a new folder")
    if other := differences(found, config, NOT_COMPUTED):
        raise FileExistsError(f"{folder} holds a run of another configuration: {'; '.join(other)}")
    before = (_read_or_none(folder / "environment.json") or {}).get("data", {})
    changed = [name for name in checksums if before.get(name, checksums[name]) != checksums[name]]
    if changed:
        raise FileExistsError(f"{folder} holds a run on other data: {', '.join(changed)} differ")


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], without: tuple[str, ...]
) -> list[str]:
    """The options that differ, each with both values."""
    return [
        f"{key} {there.get(key)!r} there, {here.get(key)!r} here"
        for key in {**there, **here}
        if key not in without and there.get(key) != here.get(key)
    ]


def move_aside(path: pathlib.Path) -> pathlib.Path:
    """Renames a file or folder to the first free of NAME.1, NAME.2, ...; returns the new path."""
    path = path.resolve()
    number = 1
    while (new := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return path.rename(new)


def _read_or_none(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
