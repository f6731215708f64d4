"""Measurements as rows of a JSON file, and two such files compared."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdl.bench._timing import NOISY, Timing


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured workload.

    >>> Row("dot", seconds=(0.5, 0.5, 0.6), items=100.0).rate
    200.0

    Attributes:
        name: of the workload; rows of two files are matched by name, precision, batch and devices.
        seconds: of one call, a number a repeat.
        items: what one call works through, in the unit of `unit`.
        unit: "examples", "tokens", "sentences" and so on.
        precision: dtype of the computation.
        batch: examples of one call.
        devices: it ran on.
        flops: of products and convolutions in a call.
        bytes: read and written in a call, by XLA's estimate.
        peak_bytes: device memory of the compiled program.
        compile_seconds: of tracing and compiling.
        share: of what the roofline of the measured peaks allows, NaN if not known.
        joules: energy of a call, NaN where the device does not tell.
        probe: seconds of `make_probe` around the measurement, the slower of before and after.
    """

    name: str
    seconds: tuple[float, ...]
    items: float
    unit: str = "examples"
    precision: str = "float32"
    batch: int = 1
    devices: int = 1
    flops: float = math.nan
    bytes: float = math.nan
    peak_bytes: float = math.nan
    compile_seconds: float = math.nan
    share: float = math.nan
    joules: float = math.nan
    probe: float = math.nan

    @property
    def timing(self) -> Timing:
        return Timing(tuple(self.seconds))

    @property
    def rate(self) -> float:
        """Items per second."""
        return self.timing.rate(self.items)

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What two rows have in common that can be compared."""
        return self.name, self.precision, self.batch, self.devices


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One workload in two files.

    Attributes:
        key: name, precision, batch, devices.
        speedup: items a second of the second over the first, NaN if one of them lacks the row.
        verdict: "faster", "slower", "same" (the difference is within the spread, below 5 %, or no
            larger than that of the machine), "only in the first", "only in the second".
        noisy: either measurement is noisy or the machine was not equally fast, so that only large
            differences show.
    """

    key: tuple[str, str, int, int]
    speedup: float
    verdict: str
    noisy: bool


def write_report(
    path: pathlib.Path, rows: Sequence[Row], environment: Mapping[str, Any] | None = None
) -> None:
    """Writes rows and what they were measured on as JSON.

    >>> path = pathlib.Path("written.json")
    >>> write_report(path, [Row("dot", (0.5, 0.4), items=100.0)], {"backend": "cpu"})
    >>> sorted(json.loads(path.read_text()))
    ['environment', 'rows']
    """
    text = json.dumps(
        {"environment": dict(environment or {}), "rows": [_plain(row) for row in rows]}, indent=1
    )
    pathlib.Path(path).write_text(text + "\n")


def read_report(path: pathlib.Path) -> tuple[list[Row], dict[str, Any]]:
    """Reads rows and environment back.

    >>> write_report(pathlib.Path("read.json"), [Row("dot", (0.5, 0.4), items=100.0)])
    >>> rows, environment = read_report(pathlib.Path("read.json"))
    >>> rows[0].name, rows[0].seconds, environment
    ('dot', (0.5, 0.4), {})

    Raises:
        ValueError: if the file is no report.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text())
        rows = []
        for row in content["rows"]:
            known: dict[str, Any] = {k: math.nan if v is None else v for k, v in row.items()}
            rows.append(Row(**{**known, "seconds": tuple(row["seconds"])}))
        return rows, content["environment"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no report of jaxdl.bench: {error!r}") from None


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[Comparison]:
    """Says for each workload whether the second is faster, slower, or not to be told apart.

    Faster or slower needs both: confidence intervals of the medians that do not meet, and a
    difference above 5 %, below which two runs of the same program differ on most machines. Where
    the probes differ by more, so must the workloads: a probe that took twice as long says that a
    workload that did so as well is the same.

    >>> a = Row("dot", (1.0, 1.01, 0.99, 1.0, 1.0, 1.0), 1.0)
    >>> b = dataclasses.replace(a, seconds=(0.5, 0.51, 0.5, 0.5, 0.49, 0.5))
    >>> compare([a], [b])[0].verdict
    'faster'
    """
    before, after = {row.key: row for row in first}, {row.key: row for row in second}
    found = []
    for key in dict.fromkeys([*before, *after]):
        if key not in after or key not in before:
            where = "second" if key in after else "first"
            found.append(Comparison(key, math.nan, f"only in the {where}", False))
            continue
        a, b = before[key], after[key]
        (a_low, a_high), (b_low, b_high) = a.timing.interval, b.timing.interval
        speedup = b.rate / a.rate
        meet = a_low / a.items <= b_high / b.items and b_low / b.items <= a_high / a.items
        machine = 0.0 if math.isnan(a.probe + b.probe) else abs(math.log(a.probe / b.probe))
        unequal = machine > math.log(1 + NOISY)
        verdict = "same"
        if not meet and abs(math.log(speedup)) > math.log(1 + NOISY) + machine:
            verdict = "faster" if speedup > 1 else "slower"
        noisy = a.timing.noisy or b.timing.noisy or unequal
        found.append(Comparison(key, speedup, verdict, noisy))
    return found


def drift(rows: Sequence[Row]) -> float:
    """How much longer the slowest probe of a run took than the fastest, as a share; 0 for none.

    >>> drift([Row("a", (0.5,), 1.0, probe=0.010), Row("b", (0.5,), 1.0, probe=0.015)])
    0.5
    """
    probes = [row.probe for row in rows if not math.isnan(row.probe)]
    return max(probes) / min(probes) - 1 if probes else 0.0


def _plain(row: Row) -> dict[str, Any]:
    """JSON knows no NaN: null stands for it."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in dataclasses.asdict(row).items()
    }
