"""Reading run folders: any file of one may be missing, and the last line cut off."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
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
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__} where names and values belong")
    return content


def read_metrics(folder: pathlib.Path) -> list[dict[str, float]]:
    """Reads the rows of metrics.jsonl; a last line cut off by a kill is left out.

    >>> _ = pathlib.Path("metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\\n{"step": 2, "lo')
    >>> read_metrics(pathlib.Path("."))
    [{'step': 1, 'loss': 0.5}]

    Raises: ValueError naming the file and the line if another one is no row of numbers.
    """
    path = folder / "metrics.jsonl"
    rows, damaged = parse_metrics(path)
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise ValueError(f"{path} is damaged: line {damaged[0]} is no row of numbers{more}")
    return rows


def parse_metrics(path: pathlib.Path) -> tuple[list[dict[str, float]], list[int]]:
    """The rows that can be read, and the numbers of the lines that cannot, counted from 1."""
    rows, damaged = [], []
    *lines, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
    for number, line in enumerate(lines, 1):
        if (row := _row(line)) is None:
            damaged.append(number)
        else:
            rows.append(row)
    row = _row(last)  # without its end of line it may have been cut off
    return (rows if row is None else [*rows, row]), damaged


def _row(line: bytes) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    return row if all(type(value) in (int, float) for value in row.values()) else None


def options(record: Record) -> dict[str, Any]:
    """The options of a run by name, "outer inner" for those that are nested."""
    return flat(record.config)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The mapping with names "outer inner" for what is nested."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = value
    return found


def shown(value: Any) -> str:
    """The value of an option or a result as a table shows it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(map(shown, value))
    return "-" if value is None or value == {} else str(value)


def differing(records: Sequence[Record]) -> list[str]:
    """The options in which the runs differ."""
    found = [options(record) for record in records]
    keys = dict.fromkeys(key for one in found for key in one)
    return [key for key in keys if any(one.get(key) != found[0].get(key) for one in found)]


def repeated(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The runs by what tells them apart; those that differ in the seed alone are together."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        kept = {k: v for k, v in options(record).items() if k not in _UNNAMED}
        groups.setdefault(json.dumps(kept, sort_keys=True), []).append(record)
    labels = [_label(group, records) for group in groups.values()]
    for place, group in enumerate(groups.values()):
        if len(labels[place]) > _LONGEST or labels.count(labels[place]) > 1:
            names = [record.folder.resolve().name for record in group]
            labels[place] = ", ".join(names[:2]) + (f" +{len(names) - 2}" if names[2:] else "")
    if len(set(labels)) < len(labels):
        labels = [str(group[0].folder) for group in groups.values()]
    return dict(zip(labels, groups.values(), strict=True))


def histories(records: Sequence[Record]) -> dict[str, list[list[dict[str, float]]]]:
    """The rows of the runs, grouped as by `repeated`."""
    return {label: [r.rows for r in group] for label, group in repeated(records).items()}


def _label(group: Sequence[Record], records: Sequence[Record]) -> str:
    """The experiment, where there are several, and the options that tell its own runs apart."""
    experiment = str(group[0].config.get("experiment", group[0].folder.resolve().name))
    alike = [r for r in records if r.config.get("experiment") == group[0].config.get("experiment")]
    keys = [key for key in differing(alike) if key not in _UNNAMED]
    values = options(group[0])
    facts = [f"{key} {shown(values.get(key))}" for key in keys]
    return ", ".join(facts if facts and len(alike) == len(records) else [experiment, *facts])


_LONGEST = 72  # characters of a label; the folder's name stands for longer ones


def axis(records: Sequence[Record]) -> str:
    """What the curves are drawn over: epochs, where every row tells its own, or else steps."""
    return "epoch" if all("epoch" in row for r in records for row in r.rows) else "step"
