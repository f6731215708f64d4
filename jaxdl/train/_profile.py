"""A trace of some steps for XProf and Perfetto: `--profile STEPS` of every experiment."""

import contextlib
import contextvars
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

_STEPS: contextvars.ContextVar[int | None] = contextvars.ContextVar("profiled steps", default=None)
_WARM = 2  # steps before the first that is traced


@contextlib.contextmanager
def profiling(steps: int) -> Iterator[None]:
    """Inside, `fit` traces that many steps into the folder "profile" of its run.

    The steps are annotated by their numbers, a call each while they are traced; the first two of
    a run are left out. A run without a folder is not traced. What the time of a step went into
    stands in the row of the epoch as "time/profile/...", in seconds: see `time_split`.

    >>> with profiling(10):
    ...     pass  # train.fit(trainer, split, epochs=1, batch_size=32, run=run)

    Raises: ValueError for fewer steps than one.
    """
    if steps < 1:
        raise ValueError(f"profile must be at least one step, got {steps}")
    token = _STEPS.set(steps)
    try:
        yield
    finally:
        _STEPS.reset(token)


class Profile:
    """The trace of one call of `fit`; without `profiling` around it, nothing."""

    def __init__(self, run: Any, position: int) -> None:
        folder = getattr(run, "folder", None)
        steps = None if folder is None else _STEPS.get()
        self._folder = pathlib.Path(folder or ".") / "profile"
        self._start = position + _WARM
        self._stop = self._start + (steps or 0)
        self._waits, self._traces = steps is not None, False
        self._split: dict[str, float] = {}

    def limit(self, position: int, stop: int) -> int:
        """The step at which a call has to end: the next one, while steps are traced."""
        return position + 1 if self._waits or self._traces else stop

    @contextlib.contextmanager
    def step(self, position: int) -> Iterator[None]:
        """Around the call of a step."""
        if self._waits and position >= self._start:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._waits, self._traces = False, True
        if not self._traces:
            yield
            return
        with jax.profiler.StepTraceAnnotation("train", step_num=position):
            yield

    def after(self, position: int, state: Any, run: Any) -> None:
        """Ends the trace when its steps are taken."""
        if self._traces and position >= self._stop:
            jax.block_until_ready(state)
            self.close()
            run.note(f"trace of steps {self._start} to {self._stop - 1} -> {self._folder}")
            found = max(self._folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
            self._split = time_split(found)

    def taken(self) -> dict[str, float]:
        """What the traced steps' time went into, once: for the row of the epoch they were in."""
        split, self._split = self._split, {}
        return {f"time/profile/{name}": seconds for name, seconds in split.items()}

    def close(self) -> None:
        if self._traces:
            jax.profiler.stop_trace()
            self._traces = False


# By the names of XLA's operations; what matches none is "elementwise".
_KINDS = {
    "collectives": r"all-|reduce-scatter|collective|send|recv|psum",
    "products": r"dot|conv(?!ert)|gemm|matmul|ynn|cublas|cudnn|triton",
    "copies": r"copy|transpose|bitcast|slice|concatenate|pad|gather|scatter",
    "control": r"while|call|conditional",
}


def time_split(trace: pathlib.Path) -> dict[str, float]:
    """Seconds of a step by kind of operation, from the trace of some annotated steps.

    An operation that runs inside another (the body of a loop) counts for itself alone; operations
    of several devices are averaged over them. Fusions count by what they are named after.

    Args:
        trace: an xplane.pb file.
    Returns: "step", from the start of the first to the end of the last by their number; of that
        "products", "collectives", "copies", "control" and "elementwise"; and "idle", in which no
        operation ran. Empty where the trace has no steps or no operations.
    """
    steps: list[tuple[float, float]] = []
    operations: dict[Any, list[tuple[float, float, str]]] = {}
    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            for event in line.events:
                if line.name == "python" and event.name != "train":
                    continue  # the many calls of the interpreter
                facts = dict(event.stats)
                ends = event.start_ns, event.start_ns + event.duration_ns
                if event.name == "train" and "step_num" in facts:
                    steps.append(ends)
                elif "hlo_op" in facts or line.name == "XLA Ops":
                    device = facts.get("device_ordinal", 0), plane.name, line.name
                    name = str(facts.get("hlo_op", event.name))
                    operations.setdefault(device, []).append((*ends, name))
    if not steps or not operations:
        return {}
    begin = min(start for start, _ in steps)
    end = max(stop for events in operations.values() for _, stop, _ in events)
    seconds = dict.fromkeys([*_KINDS, "elementwise"], 0.0)
    busy: dict[tuple[Any, str], list[tuple[float, float]]] = {}
    for (number, plane_name, _), events in operations.items():
        events = [event for event in events if event[0] >= begin]
        busy.setdefault((number, plane_name), []).extend((a, b) for a, b, _ in events)
        for own, name in _own_times(events):
            seconds[_kind(name)] += own
    devices = len(busy)
    idle = end - begin - sum(map(_covered, busy.values())) / devices
    scale = 1e-9 / len(steps)
    return {
        "step": (end - begin) * scale,
        **{kind: value * scale / devices for kind, value in seconds.items()},
        "idle": idle * scale,
    }


def _kind(name: str) -> str:
    return next((kind for kind, words in _KINDS.items() if re.search(words, name)), "elementwise")


def _own_times(events: list[tuple[float, float, str]]) -> Iterator[tuple[float, str]]:
    """Durations of events of one thread without those inside them."""
    open_events: list[list[Any]] = []
    for start, stop, name in sorted(events, key=lambda e: (e[0], -e[1])):
        while open_events and open_events[-1][0] <= start:
            yield tuple(open_events.pop()[1:])
        if open_events:
            open_events[-1][1] -= stop - start
        open_events.append([stop, stop - start, name])
    for _, own, name in open_events:
        yield own, name


def _covered(intervals: list[tuple[float, float]]) -> float:
    """The length that intervals cover together."""
    if not intervals:
        return 0.0
    starts, stops = np.array(sorted(intervals)).T
    reached = np.concatenate([starts[:1], np.maximum.accumulate(stops)[:-1]])
    return float(np.clip(stops - np.maximum(starts, reached), 0, None).sum())
