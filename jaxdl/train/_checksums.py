"""Checksums over the files of a checkpoint: damage is noticed before anything of it is used."""

import hashlib
import json
import pathlib

_NAME = "checksums"
# Orbax writes these after the checksums, together with the final name of the folder.
_COMMITTED = "commit_success.txt"
_METADATA = "_CHECKPOINT_METADATA"


def write(folder: pathlib.Path) -> None:
    """Writes the SHA-256 of every file of `folder` into its file "checksums"."""
    (folder / _NAME).write_text(_render(folder), encoding="utf-8")


def find_damage(folder: pathlib.Path) -> str | None:
    """What differs between `folder` and its checksums, in a few words; None if nothing does."""
    try:
        written = (folder / _NAME).read_bytes()
        present = _render(folder)
    except FileNotFoundError:
        return "it has no checksums"
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"
    if written == present.encode():
        return None
    there, here = (_lines(text) for text in (written.decode(errors="replace"), present))
    missing = [f"{name} is missing" for name in there if name not in here]
    changed = [f"{name} is damaged" for name in here if there.get(name) != here[name]]
    differences = changed or missing or [f"{_NAME} is damaged"]
    more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
    return differences[0] + more


def _render(folder: pathlib.Path) -> str:
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())
    listed = [name for name in names if name not in (_NAME, _COMMITTED)]
    return "".join(f"{_digest(folder / name, name)}  {name}\n" for name in listed)


def _digest(path: pathlib.Path, name: str) -> str:
    if name == _METADATA:
        try:
            content = json.loads(path.read_bytes())
            content.pop("commit_timestamp_nsecs", None)  # set by the commit itself
            return hashlib.sha256(json.dumps(content).encode()).hexdigest()
        except (ValueError, AttributeError):
            pass  # damaged: it then has the digest of its bytes, which was never written
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(text: str) -> dict[str, str]:
    pairs = (line.partition("  ") for line in text.splitlines())
    return {name: digest for digest, _, name in pairs}
