"""One HTML file of one or several runs: nothing in it is fetched, so it can be sent and kept."""

import base64
import importlib.resources
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxdl.runs._read import Record, axis, flat, histories, options, shown


class _Row(NamedTuple):
    name: str
    values: list[str]  # one a run
    differs: bool


def page(records: Sequence[Record]) -> str:
    """Writes options, closing numbers, curves, figures and environment of runs as one HTML page.

    >>> import pathlib
    >>> from jaxdl.runs import read
    >>> folder = pathlib.Path("of_page")
    >>> folder.mkdir()
    >>> _ = (folder / "config.json").write_text('{"learning_rate": 0.1}')
    >>> text = page([read(folder)])
    >>> text[:15], "learning_rate" in text
    ('<!DOCTYPE html>', True)

    Args:
        records: as `read` gives them; those that differ in the seed alone are drawn as one band.

    Returns: the page; text of the runs is escaped, and it needs nothing from outside itself.

    Raises: ValueError if there are no records.
    """
    import jinja2

    if not records:
        raise ValueError("a page needs at least one run")
    template = importlib.resources.files("jaxdl.runs").joinpath("page.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    configuration = _rows([options(record) for record in records])
    configuration.sort(key=lambda row: not row.differs)  # those that differ first
    return environment.from_string(template).render(
        title=", ".join(_distinct(str(r.config.get("experiment", "run")) for r in records)),
        names=_short_names(records),
        records=records,
        results=[row._replace(differs=False) for row in _rows([r.results for r in records])],
        options=configuration,
        environments=_rows([flat(record.environment) for record in records]),
        curves=_curves(records),
        along=axis(records) if any(record.rows for record in records) else "",
        figures=_distinct(name for record in records for name in record.figures),
        image=lambda path: _uri("image/png", path.read_bytes()),
        rows=lambda record: _uri("text/plain", (record.folder / "metrics.jsonl").read_bytes()),
    )


def _rows(columns: Sequence[Mapping[str, Any]]) -> list[_Row]:
    rows = []
    for name in _distinct(name for column in columns for name in column):
        values = [shown(column[name]) if name in column else "-" for column in columns]
        rows.append(_Row(name, values, len(set(values)) > 1))
    return rows


def _short_names(records: Sequence[Record]) -> list[str]:
    """The last part of each folder's path, or the path where two end alike."""
    names = [record.folder.resolve().name for record in records]
    return names if len(set(names)) == len(names) else [str(r.folder) for r in records]


def _curves(records: Sequence[Record]) -> str | None:
    """The curves as SVG in a data URI; None where there are no rows."""
    from matplotlib.text import Text

    from jaxdl import plots

    if not any(record.rows for record in records):
        return None
    if len(records) == 1:
        figure = plots.curves(records[0].rows, x=axis(records))
    else:
        figure = plots.compare(histories(records), x=axis(records))
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a name may hold dollar signs
    for axes in figure.axes:
        axes.patch.set_alpha(0)  # on the page's own ground, which may be dark
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _uri("image/svg+xml", file.getvalue())


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
