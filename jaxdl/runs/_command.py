"""The command line of run records."""

import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from jaxdl.runs import _page
from jaxdl.runs._read import axis, differing, find, histories, read


def main(args: Sequence[str] | None = None) -> None:
    """Lists runs, compares them, or makes a page of them; a mistake is one sentence and exit 2.

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
    from rich import box, console, table

    found = [read(run) for run in find(folder)]
    if not found:
        raise FileNotFoundError(f"no run below {folder}")
    shown = table.Table("run", "rows", "state", "result", box=box.SIMPLE)
    for run in found:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in run.results.items())
        state = "done" if run.results else "unfinished"
        shown.add_row(str(run.folder), str(len(run.rows)), state, numbers)
    console.Console().print(shown)


def _compare(
    folders: tyro.conf.Positional[list[pathlib.Path]], out: pathlib.Path | None = None
) -> None:
    """Shows what differs between runs: options, closing numbers, and the curves in one figure.

    Args:
        folders: run folders; those whose options differ only in the seed are drawn as one band.
        out: where to save the figure as PNG.
    """
    from rich import box, console, table

    from jaxdl import plots

    records = [read(folder) for folder in folders]
    if len(records) < 2:
        raise ValueError("name two or more run folders to compare")
    shown = table.Table("", *(str(folder) for folder in folders), box=box.SIMPLE)
    for key in differing(records):
        shown.add_row(key, *(str(record.config.get(key)) for record in records))
    results = [record.results for record in records]
    for name in dict.fromkeys(name for result in results for name in result):
        shown.add_row(name, *(f"{r[name]:.4g}" if name in r else "-" for r in results))
    console.Console().print(shown)
    if out is not None:
        plots.compare(histories(records), x=axis(records)).savefig(out, dpi=150)
        print(f"figure -> {out}")


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
    text = _page.page([read(folder) for folder in folders])
    if out is None:
        out = folders[0] / "page.html" if len(folders) == 1 else pathlib.Path("page.html")
    out.write_text(text, encoding="utf-8")
    print(f"page -> {out}")
