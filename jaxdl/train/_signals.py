"""SIGTERM and Ctrl-C as a wish that is granted at the end of the step."""

import signal
import threading
import types
from typing import Any, Self

import jax
import numpy as np

from jaxdl.train._checkpoint import Checkpoints


class Interrupted(SystemExit):
    """Training was asked to stop and did; the exit code is 128 + the signal's number."""


class Interrupts:
    """While entered, remembers the first SIGTERM or SIGINT in `received` instead of dying of it.

    A second Ctrl-C is the old handler's, or its `again`'s where it has one. A signal that the
    process was started to ignore, as by `command &` in a script, stays ignored. Outside the main
    thread, where Python allows no handlers, and with `active=False` it does nothing.
    """

    def __init__(self, *, active: bool = True) -> None:
        self.received: int | None = None
        self._active = active and threading.current_thread() is threading.main_thread()
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self._active:
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._old[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        self.received = number
        if (old := self._old.get(signal.SIGINT)) is not None:
            signal.signal(signal.SIGINT, getattr(old, "again", old))


def agreed(received: int | None, checkpoints: Checkpoints | None) -> tuple[int, bool]:
    """The signal to stop for (0 for none) and whether to save: the same answer in every process."""
    due = checkpoints is not None and checkpoints.due()
    if jax.process_count() == 1:
        return received or 0, due
    from jax.experimental import multihost_utils

    wishes = multihost_utils.process_allgather(np.array([received or 0, due], np.int32))
    signal, due = np.max(wishes, axis=0)
    return int(signal), bool(due)
