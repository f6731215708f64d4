"""Writing run folders."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from jaxdl.runs._bar import Bar
from jaxdl.runs._environment import environment
from jaxdl.runs._part import Part
from jaxdl.runs._read import NOT_COMPUTED, read_metrics


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
        self._bar = Bar(self._quiet)
        self._parts: dict[str, Part] = {}
        self._checkpoints: Any = None

    @property
    def checkpoints(self) -> Any:
        """Where the run is saved and continued from, `train.Checkpoints`."""
        if self._checkpoints is None:
            from jaxdl.train import Checkpoints

            self._checkpoints = Checkpoints(self.folder / "checkpoints")
        return self._checkpoints

    def is_new(self) -> bool:
        """Whether nothing of the run itself was saved; its parts may have been."""
        saved = self.folder / "checkpoints"
        return not saved.is_dir() or not any(path.name.isdigit() for path in saved.iterdir())

    def part(self, name: str) -> Part:
        """A recorder of its own for one of several trainings that are this run.

        Its rows are rows of this run with names "NAME/...", its checkpoints lie beside the run's.

        Raises: ValueError for a name that is empty, a number, or no name of a folder.
        """
        if not name or name.isdigit() or "/" in name or name.startswith("."):
            raise ValueError(f"a part needs a name that can be a folder's, no number; got {name!r}")
        return self._parts.setdefault(name, Part(self, name))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends one row of numbers and prints those that are not times."""
        self._append(step, values)
        shown = {name: v for name, v in values.items() if "time" not in name.split("/")}
        self.note("  ".join(f"{name} {value:.4g}" for name, value in shown.items()))

    def _append(self, step: int, values: Mapping[str, float]) -> None:
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

    def rewind(self, step: int) -> None:
        """Drops the rows after `step`: training goes on from there, and will write them again.

        Those of parts stay: each part drops its own.
        """
        self._drop_rows(step, None)

    def _drop_rows(self, step: int, part: str | None) -> None:
        if not self._writes:
            return
        rows = [
            row
            for row in read_metrics(self.folder)
            if row["step"] <= step or self._part_of(row) != part
        ]
        self._metrics.close()
        path = self.folder / "metrics.jsonl"
        _write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))
        self._metrics = path.open("a", encoding="utf-8")
        self._purge = step + 1  # TensorBoard then hides what came after

    def _part_of(self, row: Mapping[str, float]) -> str | None:
        """The part that wrote a row; those of the last time are known by their checkpoints."""
        name = next((name for name in row if name != "step"), "").split("/")[0]
        known = name in self._parts or (self.folder / "checkpoints" / name).is_dir()
        return name if name and known else None

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
        for saved in (self._checkpoints, *self._parts.values()):
            if saved is not None:
                saved.close()
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

    >>> @dataclasses.dataclass
    ... class Config:
    ...     learning_rate: float = 0.1
    >>> with open(Config(), name="lenet", out=pathlib.Path("lenet"), quiet=True) as run:
    ...     run.write(1, {"train/loss": 0.5})
    ...     run.finish({"test/accuracy": 0.9})
    {'test/accuracy': 0.9}
    >>> run.history(), sorted(path.name for path in run.folder.glob("*.json"))
    ([{'step': 1, 'train/loss': 0.5}], ['config.json', 'environment.json', 'result.json'])

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
    if run.is_new():
        run.rewind(-1)  # nothing was saved that its rows could belong to
    try:
        yield run
    finally:
        run.close()


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
    keys = [key for key in {**found, **asked} if key not in NOT_COMPUTED]
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
