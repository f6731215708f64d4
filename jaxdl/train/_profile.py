"""A trace of some steps for XProf and Perfetto: `--profile STEPS` of every experiment."""

import contextlib
import contextvars
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

_STEPS: contextvars.ContextVar[int | None] = contextvars.ContextVar("profiled steps", default=None)
_WARM = 2  # steps before the first that is traced


@contextlib.contextmanager
def profiling(steps: int) -> Iterator[None]:
    """Inside, `fit` traces that many steps into the folder "profile" of its run.

    The steps are annotated by their numbers, a call each while they are traced; the first two of
    a run are left out. A run without a folder is not traced.

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

    def close(self) -> None:
        if self._traces:
            jax.profiler.stop_trace()
            self._traces = False
