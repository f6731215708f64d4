"""Two programs that take turns, each in a process of its own.

Libraries in one process share threads, the allocator and the device's memory, and disturb each
other's numbers. Here every side is a command that builds its work and calls `serve`; `alternate`
starts all of them and times them one after the other, round by round. The sides may be different
libraries, two versions of one, or two Python environments.
"""

import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from jaxdl.bench._timing import Timing, seconds_of

_MARK = "@bench "  # before every line of the protocol, so that a library may print what it likes


@dataclasses.dataclass(frozen=True)
class Side:
    """What one command answered: its `Timing`, and the facts it reported when it was ready."""

    timing: Timing
    facts: dict[str, Any]


def alternate(
    commands: Mapping[str, Sequence[str]],
    *,
    repeats: int = 10,
    min_seconds: float = 0.01,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Side]:
    """Starts every command, waits until all are ready, and times them in turns.

    >>> from jaxdl import bench
    >>> side = "from jaxdl import bench; bench.serve(lambda: sum(range(1000)), {'sum': 499500})"
    >>> answers = alternate({"ours": [sys.executable, "-c", side]}, repeats=3)
    >>> answers["ours"].facts, len(answers["ours"].timing.seconds)
    ({'sum': 499500}, 3)

    Args:
        commands: by name, the command line of a program that calls `serve`.
        repeats: rounds, in each of which every side is timed once.
        min_seconds: that a repeat of each side lasts at least.
        environment: variables set for all sides. JAX takes three quarters of a GPU's memory at its
            start; XLA_PYTHON_CLIENT_PREALLOCATE=false is set here unless given.

    Returns:
        By name, a `Side`.

    Raises:
        ValueError: if a command ends without an answer; its last words are in the message.
    """
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ, **(environment or {})}
    workers: dict[str, _Worker] = {}
    try:
        for name, command in commands.items():  # one by one: they would disturb each other's start
            workers[name] = _Worker(name, command, environment)
            workers[name].wait()
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        calls = {name: worker.ask(fill=min_seconds)["calls"] for name, worker in workers.items()}
        for _ in range(repeats):
            for name, worker in workers.items():
                seconds[name].append(worker.ask(calls=calls[name])["seconds"])
        return {
            name: Side(Timing(tuple(seconds[name]), calls[name]), worker.facts)
            for name, worker in workers.items()
        }
    finally:
        for worker in workers.values():
            worker.end()


def serve(work: Callable[[], Any], facts: Mapping[str, Any] | None = None) -> None:
    """Answers `alternate` until it hangs up: the last line of a side's program.

    >>> from unittest import mock
    >>> with mock.patch("sys.stdin", []):  # without any request
    ...     serve(lambda: sum(range(1000)), {"sum": 499500})
    @bench {"sum": 499500}

    Args:
        work: what is timed, without arguments; JAX arrays it returns are waited for, other
            libraries have to be done when it returns.
        facts: told to the other side once: results to compare, versions, sizes.
    """
    jax.block_until_ready(work())  # compiled before the first number
    _tell(dict(facts or {}))
    for line in sys.stdin:
        question = json.loads(line)
        if "calls" in question:
            # a round begins with a call that is not counted: the other side has used the caches
            seconds_of(work, 1)
            _tell({"seconds": seconds_of(work, question["calls"]) / question["calls"]})
        else:
            _tell({"calls": max(1, math.ceil(question["fill"] / seconds_of(work, 1)))})


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(_MARK + json.dumps(message) + "\n")
    sys.stdout.flush()


class _Worker:
    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed by `end`
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            list(command), stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=environment
        )
        self.facts: dict[str, Any] = {}

    def wait(self) -> None:
        self.facts = self._answer()

    def ask(self, **question: float) -> dict[str, Any]:
        stdin: Any = self.process.stdin
        try:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; the answer tells how
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        stdout: Any = self.process.stdout
        for line in stdout:
            if line.startswith(_MARK):
                return json.loads(line.removeprefix(_MARK))
        code = self.process.wait()
        self.errors.seek(0)
        words = [line for line in self.errors.read().splitlines() if line.strip()][-3:]
        raise ValueError(f"{self.name} ended with code {code}: {' / '.join(words)}")

    def end(self) -> None:
        try:
            self.process.communicate(timeout=10)  # closes its input, which ends `serve`
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self.errors.close()
