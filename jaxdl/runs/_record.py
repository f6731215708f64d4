"""Writing run folders."""

import contextlib
import contextvars
import dataclasses
import datetime
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxdl.runs._bar import Bar
from jaxdl.runs._environment import environment
from jaxdl.runs._events import Events
from jaxdl.runs._files import named, plain, whole, write_json, write_whole
from jaxdl.runs._folder import (
    Lock,
    find_unfinished,
    has_checkpoints,
    has_own_checkpoints,
    move_aside,
    refuse_foreign,
)
from jaxdl.runs._part import Part
from jaxdl.runs._read import parse_metrics, read_metrics
from jaxdl.runs._results import note_opened
from jaxdl.runs._together import in_first_process, is_first_process, is_only_process, wait_for_all

if TYPE_CHECKING:
    from jaxdl import train


_WATCH: contextvars.ContextVar[int | None] = contextvars.ContextVar("watched", default=None)


@contextlib.contextmanager
def watching(every: int) -> Iterator[None]:
    """Runs opened inside keep what `inspect.observe` sees of every so many steps.

    Norms of parameters, ratios of updates and dead units go into watch.jsonl and TensorBoard,
    histograms into TensorBoard. A watched step is taken twice; training itself stays the same.

    >>> config = dataclasses.make_dataclass("Config", [])()
    >>> with watching(100), open(config, name="watched", quiet=True) as run:
    ...     run.watch_every
    100

    Raises: ValueError for a number below 1.
    """
    if every < 1:
        raise ValueError(f"watch must be at least every step, got {every}")
    token = _WATCH.set(every)
    try:
        yield
    finally:
        _WATCH.reset(token)


class Run:
    """An open run folder; made by `open`."""

    def __init__(
        self, folder: pathlib.Path, config: Mapping[str, Any], quiet: bool, save_seconds: float
    ) -> None:
        self.folder = folder
        self.config = dict(config)
        self.results: dict[str, float] = {}
        self._writes = is_first_process()
        self._quiet = quiet or not self._writes
        self._path = folder / "metrics.jsonl" if self._writes else pathlib.Path(os.devnull)
        self._metrics = self._path.open("a", encoding="utf-8")
        self._save_seconds = save_seconds
        self._checkpoints: train.Checkpoints | None = None
        self._parts: dict[str, Part] = {}
        self._events: Events | None = None
        self._purge: int | None = None
        self._bar = Bar(self._quiet)
        self.watch_every = _WATCH.get()  # steps; None where nothing is watched
        self._observe: Any = None

    @property
    def checkpoints(self) -> "train.Checkpoints":
        """Where the run is saved: `train.Checkpoints` in its folder, closed together with it."""
        if self._checkpoints is None:
            self._checkpoints = self._checkpoints_in("checkpoints")
        return self._checkpoints

    def _checkpoints_in(self, folder: str) -> "train.Checkpoints":
        from jaxdl import train

        return train.Checkpoints(self.folder / folder, every_seconds=self._save_seconds)

    def part(self, name: str) -> Part:
        """A recorder of its own for one of several trainings that are this run.

        Its rows are rows of this run with names "NAME/...", its checkpoints lie beside the run's.

        Raises: ValueError for a name that is empty, a number, or no name of a folder.
        """
        if not name or name.isdigit() or "/" in name or name.startswith("."):
            raise ValueError(f"a part needs a name that can be a folder's, no number; got {name!r}")
        return self._parts.setdefault(name, Part(self, name))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends one row of numbers and prints those that are not times.

        Raises: OSError naming the file if it cannot be written.
        """
        self._append(step, values)
        shown = {name: v for name, v in values.items() if "time" not in name.split("/")}
        self.note("  ".join(f"{name} {value:.4g}" for name, value in shown.items()))

    def _append(self, step: int, values: Mapping[str, float]) -> None:
        row = {"step": step, **{name: float(value) for name, value in values.items()}}
        with named(self._path):
            self._metrics.write(json.dumps(row) + "\n")
            self._metrics.flush()
        if not self._writes:
            return
        if self._events is None:
            with named(self.folder):
                self._events = Events(self.folder, self._purge)
        with named(self.folder / "events.*"):
            self._events.add(step, values)

    def rewind(self, step: int, history: Sequence[Mapping[str, float]] = ()) -> None:
        """Drops the rows after `step`: training goes on from there, and will write them again.

        Args:
            step: of the checkpoint.
            history: the rows up to there as the checkpoint holds them, each with its "step". Those
                that are missing or damaged in metrics.jsonl are put back; the damaged file is kept
                as metrics.jsonl.1.
        Rows of parts stay: each part drops its own.
        """
        self._rewind(step, history, None)

    def _rewind(self, step: int, history: Sequence[Mapping[str, float]], part: str | None) -> None:
        if not self._writes:
            return
        found, damage = parse_metrics(self._path)
        own = [self._part_of(row) == part for row in found]
        kept_rows = [r for r, o in zip(found, own, strict=True) if not o or r["step"] <= step]
        first = own.index(True) if True in own else len(found)
        after = [r for r, o in zip(found[first:], own[first:], strict=True) if not o]
        mine = [row for row in kept_rows if self._part_of(row) == part]
        rows = [*found[:first], *_merged(mine, history), *after]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        kept = "".join(json.dumps(row) + "\n" for row in kept_rows)
        self._metrics.close()
        with named(self._path):
            if damage or text != kept:
                reason = f"line {damage[0]} is damaged" if damage else "rows are missing or changed"
                old = move_aside(self._path) if self._path.exists() else None
                kept_as = f" (kept as {old.name})" if old and found else ""
                self.note(f"{self._path}: {reason}{kept_as}; {len(rows)} rows are in place again")
            write_whole(self._path, text)
            self._metrics = self._path.open("a", encoding="utf-8")
        self._purge = step + 1  # TensorBoard then hides what came after

    def _part_of(self, row: Mapping[str, float]) -> str | None:
        """The part that wrote a row; those of an earlier process are known by their checkpoints."""
        name = next((name for name in row if name != "step"), "").split("/")[0]
        known = name in self._parts or (self.folder / "checkpoints" / name).is_dir()
        return name if name and known else None

    def look(self, step: int, trainer: Any, state: Any, batch: Any) -> None:
        """Keeps what `inspect.observe` sees of the step after `step` others, in watch.jsonl."""
        import jax

        from jaxdl import inspect

        if self._observe is None:
            self._observe = jax.jit(functools.partial(inspect.observe, trainer))
        seen = jax.device_get(self._observe(state, batch))
        numbers = {f"watch/{name}": float(value) for name, value in seen.numbers.items()}
        path = self.folder / "watch.jsonl"
        if not self._writes:
            return
        with named(path):
            rows = [row for row in parse_metrics(path)[0] if row["step"] < step]
            write_whole(
                path, "".join(json.dumps(r) + "\n" for r in [*rows, {"step": step, **numbers}])
            )
        if self._events is None:
            with named(self.folder):
                self._events = Events(self.folder, self._purge)
        with named(self.folder / "events.*"):
            self._events.add(step, numbers)
            self._events.add_histograms(step, {f"watch/{n}": h for n, h in seen.histograms.items()})

    def expect(self, examples: int, flops: Callable[[], float]) -> None:
        """Tells the progress bar what a step works through, for the rates that it shows."""
        self._bar.expect(examples, flops)

    def progress(self, done: int, total: int, text: str) -> None:
        """Moves the progress bar, where there is a terminal to show one."""
        self._bar.update(done, total, text)

    def figure(self, name: str, figure: Any) -> pathlib.Path:
        """Saves a Matplotlib figure as `name.png` and returns its path."""
        path = self.folder / f"{name}.png"
        if self._writes:
            with named(path), whole(path) as part:
                figure.savefig(part, format="png", dpi=150, bbox_inches="tight")
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
            write_json(self.folder / "result.json", self.results)
        self._bar.close()
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in self.results.items())
        self.note(f"{numbers}  ->  {self.folder}")
        return self.results

    def _explain(self, error: BaseException) -> None:
        """Writes nonfinite.txt where training gave up: which operation it was, and why."""
        from jaxdl import inspect, train

        if not isinstance(error, train.NonfiniteError) or not is_only_process():
            return  # what is spread over processes cannot be replayed by one
        self.note("training gave up; looking for the operation to blame")
        try:
            report = inspect.explain_nonfinite(error.trainer, error.state, error.batch)
            write_whole(self.folder / "nonfinite.txt", f"{report}\n")
        except Exception as failure:  # the first error is the one to be told
            error.add_note(f"the step could not be replayed: {failure}")
        else:
            error.add_note(f"{report}\n({self.folder / 'nonfinite.txt'})")

    def close(self) -> None:
        """Waits for what is being saved, and closes every file."""
        self._bar.close()
        try:
            for saved in (self._checkpoints, *self._parts.values()):
                if saved is not None:
                    saved.close()
        finally:
            try:
                with named(self._path):
                    self._metrics.close()
            finally:
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
    save_seconds: float = 60.0,
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

    Without `out` the newest unfinished run of the same configuration, on the same data, is
    continued where it has a checkpoint, and a line says so; otherwise runs/NAME/DATE-TIME is begun.
    With `out` the run in that folder is continued from its checkpoint. Where there is none to go on
    from, or `resume` is False, what the folder holds is renamed to OUT.1 (or the next free number):
    nothing is deleted. Two processes never write one folder, for it is locked while it is open; of
    several processes of one run the first one locks and writes, and all are given `out`.

    Where training gives up (`train.NonfiniteError`) its last step is replayed: nonfinite.txt, and a
    note of the error, name the operation to blame (`inspect.explain_nonfinite`).

    Args:
        config: a dataclass; written to config.json.
        name: of the experiment.
        out: the folder.
        data: the splits it works on; their checksums go into environment.json.
        resume: False begins a new run.
        quiet: print nothing.
        save_seconds: how often a run is saved, besides after every epoch.

    Raises: FileExistsError if the folder holds a run of another configuration or on other data (the
        differences are named), other files, or is in use by another process. FileNotFoundError if
        it cannot be written. ValueError if several processes are given no folder.
    """
    wanted = {key: plain(value) for key, value in dataclasses.asdict(config).items()}
    wanted = {"experiment": name, **wanted}
    checksums = {key: split.checksum() for key, split in (data or {}).items()}
    lines = []
    if out is None:
        if not is_only_process():
            raise ValueError("a run of several processes needs a folder by name (--out)")
        parent = pathlib.Path("runs") / name
        out = find_unfinished(parent, wanted, checksums) if resume else None
        if out is not None:
            lines.append(f"continuing the unfinished run {out}; --no-resume starts a new one")
        out = out or parent / datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S-%f")[:-3]
    folder = pathlib.Path(out)
    refuse_foreign(folder, wanted, checksums)
    wait_for_all("checked")
    with contextlib.ExitStack() as stack:

        def prepare() -> None:
            old = _lock(folder, stack, keep=resume)
            if old is not None:
                lines.append(f"{folder} held a run; it is now {old}")
            write_json(folder / "config.json", wanted)
            write_json(folder / "environment.json", {**environment(), "data": checksums})

        in_first_process(prepare, f"cannot write the run folder {folder}")
        run = Run(folder, wanted, quiet, save_seconds)
        note_opened(folder, has_checkpoints(folder))
        for line in lines:
            run.note(line)
        if run._path.stat().st_size and not has_own_checkpoints(folder):
            run.rewind(-1)  # nothing was saved that its rows could belong to
        try:
            yield run
        except BaseException as error:
            run._explain(error)
            with contextlib.suppress(Exception):  # the first error is the one to be told
                run.close()
            raise
        run.close()


def _lock(folder: pathlib.Path, stack: contextlib.ExitStack, *, keep: bool) -> pathlib.Path | None:
    """Makes and locks the folder, the old one moved aside unless it is kept; where to, if so."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder)
    metrics = folder / "metrics.jsonl"
    used = (folder / "result.json").exists() or (metrics.exists() and metrics.stat().st_size > 0)
    used = used or has_checkpoints(folder)
    if not used or (keep and has_checkpoints(folder)):
        stack.callback(lock.close)
        return None
    old = move_aside(folder)
    lock.close()
    folder.mkdir()
    stack.callback(Lock(folder).close)
    return old


def _merged(
    rows: Sequence[dict[str, float]], history: Sequence[Mapping[str, float]]
) -> list[dict[str, float]]:
    """The rows of the file with those of the checkpoint put in their place, by step."""
    merged = list(rows)
    for row in history:
        for place, old in enumerate(merged):
            if old["step"] == row["step"] and old.keys() >= row.keys():
                merged[place] = {**old, **row}
                break
        else:
            merged.append({"step": row["step"], **row})
    return sorted(merged, key=lambda row: row["step"])
