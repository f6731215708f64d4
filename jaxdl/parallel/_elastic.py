"""A run of several processes that starts itself again with those that are left."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from jaxdl.parallel import _meeting
from jaxdl.parallel._processes import Launch

REGROUP_SECONDS = 40.0  # JAX may take this long to notice that a peer is gone
_FINAL = (0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM)  # done, a mistake, or stopped
_QUICK, _MOST_QUICK = 60.0, 3  # so many failures that soon are not the fault of a peer


def supervise(command: Callable[[Launch], Sequence[str]], launch: Launch) -> int:
    """Runs a command as one of several processes, again and again while peers die under it.

    Where it fails, it meets those that are left at the coordinator's port, all get new numbers, and
    the command is started again: with the largest number of processes that divides the first one,
    so that a batch of the same size splits over their devices. Process 0 has to be among them.

    >>> import sys
    >>> supervise(lambda launch: [sys.executable, "-c", "print()"], Launch("node0:8476", 4, 1))
    0

    Args:
        command: what to run, given how this process finds the others.
        launch: how it finds them at first; a coordinator HOST:PORT, and both numbers.
    Returns: the exit code of the last command.
    Raises: ValueError if the launch is not given by its three numbers, process 0 is gone, or this
        process is not needed any more.
    """
    place, count, number = launch.coordinator, launch.processes, launch.process_id
    if place is None or place == "auto" or count is None or number is None:
        raise ValueError("elastic needs a coordinator HOST:PORT, processes and process_id")
    quick = 0
    while True:
        started = time.monotonic()
        code, stopped = _run(command(Launch(place, count, number)))
        quick = quick + 1 if time.monotonic() - started < _QUICK else 1
        if code in _FINAL or stopped or count == 1 or quick == _MOST_QUICK:
            return code
        count, number = _meeting.regroup(place, count, number, REGROUP_SECONDS)
        sys.stderr.write(f"going on as process {number} of {count}\n")


def _run(command: Sequence[str]) -> tuple[int, bool]:
    """The exit code, and whether this process was told to stop, which it passes on."""
    process = subprocess.Popen(command)
    with _passing_on(process) as received:
        code = process.wait()
    return (code if code >= 0 else 128 - code), bool(received)


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """SIGTERM goes on to the command; Ctrl-C reaches it by itself."""
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        received.append(number)
        if number == signal.SIGTERM:
            process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    old = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
