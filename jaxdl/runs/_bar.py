"""The progress bar of a run."""

import sys
import time
from typing import Any


class Bar:
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
