"""Reading run folders: any file of one may be missing, and the last line cut off."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

# Options that say where and how a run is kept, not what is computed.
NOT_COMPUTED = ("out", "resume", "data_dir")
_UNNAMED = (*NOT_COMPUTED, "seed")  # runs that differ in these alone are one line of a figure


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run folder holds; what is missing is empty."""

    folder: pathlib.Path
    config: dict[str, Any]
    environment: dict[str, Any]
    results: dict[str, float]  # the closing numbers; a run that did not finish has none
    rows: list[dict[str, float]]  # one for each `write`
    figures: dict[str, pathlib.Path]  # PNG files by name


def read(folder: pathlib.Path) -> Record:
    """Reads a run folder.

    >>> folder = pathlib.Path("of_read")
    >>> folder.mkdir()
    >>> _ = (folder / "config.json").write_text('{"learning_rate": 0.1}')
    >>> _ = (folder / "metrics.jsonl").write_text('{"step": 1, "train/loss": 0.5}')
    >>> record = read(folder)
    >>> record.config, record.rows, record.results
    ({'learning_rate': 0.1}, [{'step': 1, 'train/loss': 0.5}], {})

    Raises: FileNotFoundError if it is none; ValueError if a file of it is not JSON.
    """
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json")
    return Record(
        folder,
        read_json(folder / "config.json"),
        read_json(folder / "environment.json"),
        read_json(folder / "result.json"),
        read_metrics(folder),
        {path.stem: path for path in sorted(folder.glob("*.png"))},
    )


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The run folders at or below `folder`, oldest first by name.

    >>> for name in ("of_find/b", "of_find/a"):
    ...     pathlib.Path(name).mkdir(parents=True)
    ...     _ = pathlib.Path(name, "config.json").write_text("{}")
    >>> [folder.name for folder in find(pathlib.Path("of_find"))]
    ['a', 'b']
    """
    return sorted(path.parent for path in folder.rglob("config.json"))


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON file of a run folder; {} where it is not there (a run that did not finish).

    >>> _ = pathlib.Path("result.json").write_text('{"test/accuracy": 0.9}')
    >>> read_json(pathlib.Path("result.json")), read_json(pathlib.Path("missing.json"))
    ({'test/accuracy': 0.9}, {})

    Raises: ValueError if it is not JSON, or no mapping.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__} where names and values belong")
    return content


def read_metrics(folder: pathlib.Path) -> list[dict[str, float]]:
    """Reads the rows of metrics.jsonl; a last line cut off by a kill is left out.

    >>> _ = pathlib.Path("metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\\n{"step": 2, "lo')
    >>> read_metrics(pathlib.Path("."))
    [{'step': 1, 'loss': 0.5}]
    """
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def differing(records: Sequence[Record]) -> list[str]:
    """The options in which the runs differ."""
    keys = dict.fromkeys(key for record in records for key in record.config)
    first = records[0].config
    return [key for key in keys if any(r.config.get(key) != first.get(key) for r in records)]


def histories(records: Sequence[Record]) -> dict[str, list[list[dict[str, float]]]]:
    """The rows of the runs by what tells them apart; those that differ in the seed are together."""
    keys = [key for key in differing(records) if key not in _UNNAMED]
    groups: dict[str, list[list[dict[str, float]]]] = {}
    for record in records:
        label = ", ".join(f"{key} {record.config.get(key)}" for key in keys)
        name = label or str(record.config.get("experiment", record.folder.name))
        groups.setdefault(name, []).append(record.rows)
    return groups


def axis(records: Sequence[Record]) -> str:
    """What the curves are drawn over: epochs, where every row tells its own, or else steps."""
    return "epoch" if all("epoch" in row for r in records for row in r.rows) else "step"
