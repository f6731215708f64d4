"""The progress bar of a run."""

import sys
import time
from collections.abc import Callable
from typing import Any


def rates(speed: float, examples: int = 0, flops: float = 0.0, peak: float = 0.0) -> str:
    """What a speed in steps per second comes to.

    >>> rates(10.0, examples=256, flops=2e12, peak=1e14)
    '10.0 steps/s  2,560 examples/s  20.0 TFLOP/s  MFU 20 %'

    Args:
        examples: of a step, over all devices.
        flops: of a step's products, those of all devices together; 0 where they are not known.
        peak: operations per second that the devices could do; 0 where nothing is published.
    """
    parts = [f"{speed:.1f} steps/s"]
    if examples:
        parts.append(f"{speed * examples:,.0f} examples/s")
    if flops:
        parts.append(f"{speed * flops / 1e12:.3g} TFLOP/s")
        if peak:
            parts.append(f"MFU {speed * flops / peak:.0%}".replace("%", " %"))
    return "  ".join(parts)


def peak_of_devices() -> float:
    """Published operations per second of all devices in bfloat16; 0 where there are none."""
    import jax

    from jaxdl import bench

    chips = [bench.chip_of(device.device_kind) for device in jax.devices()]
    known = [chip.flops["bfloat16"] / chip.cores for chip in chips if chip is not None]
    return sum(known) if len(known) == len(chips) else 0.0


class Bar:
    """A rich progress bar on a terminal; nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._progress: Any = None
        self._task: Any = None
        self._shows = sys.stderr.isatty() and not quiet
        self._drawn = 0.0
        self._examples, self._flops, self._peak = 0, 0.0, 0.0

    def expect(self, examples: int, count: Callable[[], float]) -> None:
        """What a step works through; its operations are counted only where there is a bar."""
        if self._shows:
            self._examples, self._flops, self._peak = examples, count(), peak_of_devices()

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
        work = (self._examples, self._flops, self._peak)
        rate = rates(task.speed, *work) if task.speed else ""
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
