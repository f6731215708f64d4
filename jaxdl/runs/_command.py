"""The command line of run records."""

import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tyro
from rich.markup import escape

from jaxdl.runs._page import page
from jaxdl.runs._read import (
    Record,
    axis,
    differing,
    find,
    histories,
    options,
    read,
    repeated,
    shown,
)


def main(args: Sequence[str] | None = None) -> None:
    """Lists runs, compares them, shows them on a page, or finds where two of them part.

    A mistake is one sentence and exit code 2.

    >>> folder = pathlib.Path("of_main")
    >>> folder.mkdir()
    >>> _ = (folder / "config.json").write_text('{"experiment": "lenet"}')
    >>> main(["page", "of_main"])
    page -> of_main/page.html
    """
    commands: dict[str, Callable[..., Any]] = {
        "list": _list,
        "compare": _compare,
        "page": _write_page,
        "diverge": _diverge,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(commands, args=args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _list(folder: tyro.conf.Positional[pathlib.Path] = pathlib.Path("runs")) -> None:
    """Lists the runs below a folder with their closing numbers.

    Args:
        folder: where to look.
    """
    from rich import box, table

    found, damaged = [], []
    for run in find(folder):
        try:
            found.append(read(run))
        except ValueError as error:  # one that cannot be read does not hide the others
            damaged.append(error)
    if not found and not damaged:
        raise FileNotFoundError(f"no run below {folder}")
    lines = table.Table(box=box.SIMPLE)
    for name in ("run", "rows", "state"):
        lines.add_column(name, no_wrap=True, overflow="fold")
    lines.add_column("result", no_wrap=True, overflow="ellipsis")
    for record in found:
        numbers = [f"{name} {value:.4g}" for name, value in record.results.items()]
        more = [f"and {len(numbers) - _LISTED} more"] if len(numbers) > _LISTED else []
        state = "done" if record.results else "unfinished"
        cells = (record.folder, len(record.rows), state, "  ".join(numbers[:_LISTED] + more))
        lines.add_row(*(escape(str(cell)) for cell in cells))
    _print(lines)
    if damaged:
        raise ValueError("; ".join(map(str, damaged)))


_LISTED = 4  # closing numbers of a run; `page` shows all of them


def _print(lines: Any) -> None:
    """Prints a table, in lines as long as they are where no terminal sets a width."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 10_000
    console.print(lines)


def _compare(
    folders: tyro.conf.Positional[list[pathlib.Path]], out: pathlib.Path | None = None
) -> None:
    """Shows what differs between runs: options, closing numbers, and the curves in one figure.

    Where runs repeat others with another seed, their means and spreads stand below, and for two
    sets of runs the difference with its 95 % interval and p (Welch's test).

    Args:
        folders: run folders; those whose options differ only in the seed are drawn as one band.
        out: where to save the figure as PNG.
    """
    from rich import box, table

    from jaxdl import plots

    records = [read(folder) for folder in folders]
    if len(records) < 2:
        raise ValueError("name two or more run folders to compare")
    lines = table.Table("", *(escape(str(folder)) for folder in folders), box=box.SIMPLE)
    found = [options(record) for record in records]
    for key in differing(records):
        cells = (key, *(shown(one.get(key)) for one in found))
        lines.add_row(*map(escape, cells))
    results = [record.results for record in records]
    for name in dict.fromkeys(name for result in results for name in result):
        lines.add_row(escape(name), *(f"{r[name]:.4g}" if name in r else "-" for r in results))
    _print(lines)
    groups = repeated(records)
    if any(len(group) > 1 for group in groups.values()):
        _print(_over_seeds(groups))
    if out is not None:
        plots.compare(histories(records), x=axis(records)).savefig(out, dpi=150)
        print(f"figure -> {out}")


def _over_seeds(groups: dict[str, list[Record]]) -> Any:
    """A table of each number over the runs of a group, and how two groups differ."""
    from rich import box, table

    from jaxdl import train

    pair = len(groups) == 2 and all(len(group) > 1 for group in groups.values())
    lines = table.Table("", *map(escape, groups), box=box.SIMPLE)
    if pair:
        lines.add_column("difference")
    names = dict.fromkeys(n for group in groups.values() for r in group for n in r.results)
    for name in names:
        values = [
            np.array([r.results[name] for r in group if name in r.results])
            for group in groups.values()
        ]
        cells = [
            f"{v.mean():.4g} +- {v.std(ddof=1):.2g} (n = {len(v)})"
            if len(v) > 1
            else "".join(f"{x:.4g}" for x in v)
            for v in values
        ]
        if pair and min(map(len, values)) > 1 and np.isfinite(np.concatenate(values)).all():
            found = train.compare(*values)
            cells.append(f"{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}], p {found.p:.2g}")
        lines.add_row(escape(name), *cells)
    return lines


def _write_page(
    folders: tyro.conf.Positional[list[pathlib.Path]], out: pathlib.Path | None = None
) -> None:
    """Writes one HTML file with options, numbers, curves and figures of runs, side by side.

    Args:
        folders: run folders; those whose options differ only in the seed are drawn as one band.
        out: the file; page.html in the folder of a single run, or here for several, if not given.
    """
    if not folders:
        raise ValueError("name one or more run folders to show")
    text = page([read(folder) for folder in folders])
    if out is None:
        out = folders[0] / "page.html" if len(folders) == 1 else pathlib.Path("page.html")
    out.write_text(text, encoding="utf-8")
    print(f"page -> {out}")


def _diverge(
    first: tyro.conf.Positional[pathlib.Path],
    second: tyro.conf.Positional[pathlib.Path],
    tolerance: float = 1e-5,
    module: str | None = None,
) -> None:
    """Finds the first step in which two runs differ, and the first tensor in it.

    Args:
        first: a run folder.
        second: another run of the same experiment.
        tolerance: greatest difference, of a tensor's greatest magnitude, that counts as none.
        module: that made the runs; by default experiments.NAME, as config.json has it.
    """
    from rich.console import Console

    from jaxdl.runs._diverge import diverge

    with Console(stderr=True).status("reading") as status:
        found = diverge(first, second, tolerance=tolerance, module=module, progress=status.update)
    print(found)
