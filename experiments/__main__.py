"""Lists the experiments by subject, runs one, or writes the tables of results.

python -m experiments                    # what there is, on which data, how long it takes
python -m experiments --data             # the data sets: what each is, where to get it, its terms
python -m experiments lenet --smoke      # the same as python -m experiments.lenet --smoke
python -m experiments --tables           # RESULTS.md from results.json
"""

import difflib
import runpy
import sys

from experiments import _catalog


def main(args: list[str]) -> int:
    """Runs the command line and returns its exit code."""
    if not args:
        show()
        return 0
    if args == ["--data"]:
        show_data()
        return 0
    if args == ["--tables"]:
        (_catalog.FOLDER / "RESULTS.md").write_text(_catalog.results_page(), encoding="utf-8")
        return 0
    name = args[0]
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in _catalog.names():
        near = difflib.get_close_matches(name, _catalog.names(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        print(
            f"error: no experiment is called {name!r}{hint} `python -m experiments` lists them",
            file=sys.stderr,
        )
        return 2
    sys.argv = [f"experiments.{name}", *args[1:]]
    runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
    return 0


def show() -> None:
    """Prints every experiment with its data and its time, by subject."""
    import rich.console
    import rich.table

    console = rich.console.Console()
    width = max(map(len, _catalog.names()))
    for subject, members in _catalog.SUBJECTS.items():
        console.print(f"\n[bold]{subject}")
        table = rich.table.Table.grid(padding=(0, 2))
        table.add_column(style="cyan", no_wrap=True, min_width=width)
        table.add_column(ratio=1)
        table.add_column(justify="right", no_wrap=True, min_width=6)
        for name in members:
            entry = _catalog.default_entry(name)
            about = f"{_catalog.first_line(name)} [dim]· {entry['data']}[/]"
            time = _catalog.seconds(entry).split(" ")[0]
            table.add_row(name, about, f"{time} s" if time else "")
        console.print(table)
    console.print(
        "\npython -m experiments.NAME --help lists the options, --smoke takes seconds, --data-dir "
        "reads original files. Times are of two CPU cores; RESULTS.md has the numbers."
    )


def show_data() -> None:
    """Prints the table of data sets by kind; the embedded ones need neither files nor a network."""
    import rich.console
    import rich.table

    from jaxdl import data

    console = rich.console.Console()
    for kind, columns in data.COLUMNS.items():
        console.print(f"\n[bold]{kind}[/] [dim]{', '.join(columns)}[/]")
        table = rich.table.Table.grid(padding=(0, 2))
        table.add_column(style="cyan", no_wrap=True, min_width=max(map(len, data.SOURCES)))
        table.add_column(ratio=1)
        table.add_column(ratio=1, overflow="fold")
        for name, source in data.SOURCES.items():
            if source.kind == kind:
                terms = source.license or "no license stated"
                place = "embedded" if source.embedded else source.where
                table.add_row(name, f"{source.about} [dim]· {source.size}[/]", f"{place} · {terms}")
        console.print(table)
    console.print("\ndata.load(NAME) or --data NAME --data-dir DIR reads one; see data.SOURCES.")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
