"""Run records: one folder per run, readable by a person, a script and TensorBoard.

    with runs.open(config, name="lenet", out=config.out) as run:
        run.write(step, {"train/loss": 0.3})

    python -m jaxdl.runs list [FOLDER]         every run below the folder with its closing numbers
    python -m jaxdl.runs compare RUN RUN ...   options and numbers that differ, and their curves

config.json       what was asked for            metrics.jsonl   one line per `write`
environment.json  what it ran on                events.*        the same for TensorBoard
*.png             figures                       result.json     the closing numbers
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tyro

# Options that say where and how a run is kept, not what is computed.
_NOT_COMPUTED = ("out", "resume", "data_dir")
_UNNAMED = (*_NOT_COMPUTED, "seed")  # runs that differ in these alone are one line of a figure


class Run:
    """An open run folder; made by `open`."""

    def __init__(self, folder: pathlib.Path, config: Mapping[str, Any], quiet: bool) -> None:
        self.folder = folder
        self.config = dict(config)
        self.results: dict[str, float] = {}
        self._writes = _is_first_process()
        self._quiet = quiet or not self._writes
        metrics = folder / "metrics.jsonl" if self._writes else pathlib.Path(os.devnull)
        self._metrics = metrics.open("a", encoding="utf-8")
        self._events: Any = None
        self._purge: int | None = None
        self._bar = _Bar(self._quiet)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends one row of numbers and prints those that are not times."""
        row = {"step": step, **{name: float(value) for name, value in values.items()}}
        self._metrics.write(json.dumps(row) + "\n")
        self._metrics.flush()
        if not self._writes:
            return
        if self._events is None:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(self.folder), purge_step=self._purge)
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        shown = (f"{name} {value:.4g}" for name, value in values.items() if "time/" not in name)
        self.note("  ".join(shown))

    def rewind(self, step: int) -> None:
        """Drops the rows after `step`: training goes on from there, and will write them again."""
        if not self._writes:
            return
        rows = [row for row in read_metrics(self.folder) if row["step"] <= step]
        self._metrics.close()
        path = self.folder / "metrics.jsonl"
        _write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))
        self._metrics = path.open("a", encoding="utf-8")
        self._purge = step + 1  # TensorBoard then hides what came after

    def progress(self, done: int, total: int, text: str) -> None:
        """Moves the progress bar, where there is a terminal to show one."""
        self._bar.update(done, total, text)

    def figure(self, name: str, figure: Any) -> pathlib.Path:
        """Saves a Matplotlib figure as `name.png` and returns its path."""
        path = self.folder / f"{name}.png"
        if self._writes:
            figure.savefig(path, dpi=150, bbox_inches="tight")
        return path

    def note(self, text: str) -> None:
        """Prints a line, above the progress bar if there is one."""
        if not self._quiet:
            self._bar.print(text)

    def history(self) -> list[dict[str, float]]:
        """The rows written so far."""
        return read_metrics(self.folder)

    def finish(self, results: Mapping[str, float]) -> dict[str, float]:
        """Keeps the closing numbers, prints them with the folder, and returns them."""
        self.results = {name: float(value) for name, value in results.items()}
        if self._writes:
            _write_json(self.folder / "result.json", self.results)
        self._bar.close()
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in self.results.items())
        self.note(f"{numbers}  ->  {self.folder}")
        return self.results

    def close(self) -> None:
        self._bar.close()
        self._metrics.close()
        if self._events is not None:
            self._events.close()


@contextlib.contextmanager
def open(
    config: Any,
    *,
    name: str,
    out: pathlib.Path | None = None,
    data: Mapping[str, Any] | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Iterator[Run]:
    """Opens a run folder and writes what it is a record of.

    Args:
        config: a dataclass; written to config.json.
        name: of the experiment; without `out` the folder is runs/NAME/DATE-TIME.
        out: the folder. If it holds a run of the same configuration, that run is continued.
        data: the splits it works on; their checksums go into environment.json.
        resume: False starts over in a folder that holds a run of the same configuration.
        quiet: print nothing.
    Of several processes the first one writes; all of them are given the folder by name.

    Raises: FileExistsError if the folder holds a run of another configuration (the differences are
        named), or other files. ValueError if several processes are given no folder.
    """
    asked = {key: _plain(value) for key, value in dataclasses.asdict(config).items()}
    asked = {"experiment": name, **asked}
    if out is None:
        if not _is_only_process():
            raise ValueError("a run of several processes needs a folder by name (--out)")
        now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S-%f")[:-3]
        out = pathlib.Path("runs") / name / now
    folder = pathlib.Path(out)
    _refuse_foreign(folder, asked)
    _wait_for_all("checked")
    try:
        if _is_first_process():
            if not resume and folder.exists():
                shutil.rmtree(folder)  # a run of this very configuration, or empty: see above
            folder.mkdir(parents=True, exist_ok=True)
            _write_json(folder / "config.json", asked)
    except OSError as error:
        message = f"cannot write the run folder {folder}: {error.strerror}"
        raise FileNotFoundError(message) from error
    checksums = {key: split.checksum() for key, split in (data or {}).items()}
    if _is_first_process():
        _write_json(folder / "environment.json", {**environment(), "data": checksums})
    _wait_for_all("opened")
    run = Run(folder, asked, quiet)
    try:
        yield run
    finally:
        run.close()


def environment() -> dict[str, Any]:
    """Versions, devices and commit: what has to be known to run it again."""
    import jax

    packages = ("jaxdl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": {package: _version(package) for package in packages},
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "commit": _commit(),
    }


def read_metrics(folder: pathlib.Path) -> list[dict[str, float]]:
    """Reads the rows of metrics.jsonl; a last line cut off by a kill is left out."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _is_only_process() -> bool:
    import jax

    return jax.process_count() == 1


def _is_first_process() -> bool:
    import jax

    return jax.process_index() == 0


def _wait_for_all(what: str) -> None:
    """Lets no process run ahead of what another one reads or writes."""
    if not _is_only_process():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(f"jaxdl.runs {what}")


def _refuse_foreign(folder: pathlib.Path, asked: Mapping[str, Any]) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, not a run folder")
    path = folder / "config.json"
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} holds other files and no run; name a new folder")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise FileExistsError(f"{path} is not readable ({error}); name a new folder") from error
    keys = [key for key in {**found, **asked} if key not in _NOT_COMPUTED]
    other = [
        f"{key} {found.get(key)!r} there, {asked.get(key)!r} here"
        for key in keys
        if found.get(key) != asked.get(key)
    ]
    if other:
        raise FileExistsError(f"{folder} holds a run of another configuration: {'; '.join(other)}")


def _plain(value: Any) -> Any:
    """The value as JSON gives it back."""
    if isinstance(value, pathlib.Path):
        return str(value)
    return json.loads(json.dumps(value, default=str))


def _write_json(path: pathlib.Path, content: Any) -> None:
    _write_whole(path, json.dumps(content, indent=2) + "\n")


def _write_whole(path: pathlib.Path, text: str) -> None:
    # Whole or not at all: a kill between the two leaves the old file.
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout jaxdl is imported from, with a + if it was changed."""
    here = pathlib.Path(__file__).parent
    if not (here.parent / ".git").exists():
        return None  # installed from a wheel: an enclosing repository would be somebody else's
    try:
        git = ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--dirty=+"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The run folders at or below `folder`, oldest first by name."""
    return sorted(path.parent for path in folder.rglob("config.json"))


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON file of a run folder; {} where it is not there (a run that did not finish)."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main(args: Sequence[str] | None = None) -> None:
    """The command line of run records; see the top of the file."""
    try:
        tyro.extras.subcommand_cli_from_dict({"list": _list, "compare": _compare}, args=args)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _list(folder: tyro.conf.Positional[pathlib.Path] = pathlib.Path("runs")) -> None:
    """Lists the runs below a folder with their closing numbers.

    Args:
        folder: where to look.
    """
    from rich import box, console, table

    found = find(folder)
    if not found:
        raise FileNotFoundError(f"no run below {folder}")
    shown = table.Table("run", "rows", "state", "result", box=box.SIMPLE)
    for run in found:
        result = read_json(run / "result.json")
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in result.items())
        shown.add_row(
            str(run), str(len(read_metrics(run))), "done" if result else "unfinished", numbers
        )
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

    for folder in folders:
        if not (folder / "config.json").exists():
            raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json")
    if len(folders) < 2:
        raise ValueError("name two or more run folders to compare")
    configs = [read_json(folder / "config.json") for folder in folders]
    results = [read_json(folder / "result.json") for folder in folders]
    keys = [key for key in configs[0] if any(c.get(key) != configs[0][key] for c in configs)]
    shown = table.Table("", *(str(folder) for folder in folders), box=box.SIMPLE)
    for key in keys:
        shown.add_row(key, *(str(config.get(key)) for config in configs))
    for name in dict.fromkeys(name for result in results for name in result):
        shown.add_row(name, *(f"{r[name]:.4g}" if name in r else "-" for r in results))
    console.Console().print(shown)
    if out is not None:
        groups: dict[str, list] = {}
        for folder, config in zip(folders, configs, strict=True):
            differing = (f"{key} {config.get(key)}" for key in keys if key not in _UNNAMED)
            label = ", ".join(differing) or str(config.get("experiment"))
            groups.setdefault(label, []).append(read_metrics(folder))
        plots.compare(groups).savefig(out, dpi=150)
        print(f"figure -> {out}")


class _Bar:
    """A rich progress bar on a terminal; nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._progress: Any = None
        self._task: Any = None
        self._shows = sys.stderr.isatty() and not quiet
        self._drawn = 0.0

    def update(self, done: int, total: int, text: str) -> None:
        if not self._shows or (time.monotonic() - self._drawn < 0.1 and done < total):
            return
        self._drawn = time.monotonic()
        if self._progress is None:
            from rich import progress
            from rich.console import Console

            self._progress = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[rate]}"),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=total, rate="")
        task = self._progress.tasks[0]
        rate = f"{task.speed:.1f} steps/s" if task.speed else ""
        self._progress.update(self._task, completed=done, total=total, description=text, rate=rate)

    def print(self, text: str) -> None:
        if self._progress is None:
            print(text, flush=True)
        else:
            self._progress.console.print(text, highlight=False)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


if __name__ == "__main__":
    main()
