"""Several processes, one run: finding each other, agreeing, and going down together.

A process that dies takes the others with it: their next collective fails, or, where they wait and
no error reaches them, JAX aborts them when the heartbeat stays out. The run is then started again
from outside and continues from its last checkpoint.
"""

import atexit
import dataclasses
import json
import os
import re
import subprocess
import sys
from typing import Any

import jax
import numpy as np

from jaxdl.parallel import _meeting

HEARTBEAT_SECONDS = 10  # without a sign of life, a process counts as dead


@dataclasses.dataclass(frozen=True)
class Launch:
    """How this process finds the others; the options every experiment has.

    `coordinator="auto"` reads what SLURM, Open MPI, Kubernetes or a cloud TPU tell, through JAX's
    own detection. Otherwise all three are given: the address of process 0, how many there are, and
    which one this is.

    >>> Launch(coordinator="node0:8476", processes=4, process_id=1)
    Launch(coordinator='node0:8476', processes=4, process_id=1)
    """

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None


def initialize(launch: Launch, *, advice: str = "run the same command again") -> None:
    """Joins the other processes; without a coordinator there is one process and nothing to do.

    Call it before anything else touches JAX. `advice` is printed if this process comes to be ended
    because another one failed: how to continue.

    >>> initialize(Launch())  # one process: nothing to join
    >>> initialize(Launch(processes=2, process_id=0))
    Traceback (most recent call last):
        ...
    ValueError: processes and process_id need a coordinator (HOST:PORT or auto)

    Raises: ValueError if only some of the options are given, or the coordinator cannot be reached.
    """
    explicit = (launch.processes, launch.process_id)
    if launch.coordinator is None:
        if explicit != (None, None):
            raise ValueError("processes and process_id need a coordinator (HOST:PORT or auto)")
        return
    options: dict[str, Any] = {}
    if launch.coordinator != "auto":
        if launch.processes is None or launch.process_id is None:
            raise ValueError("a coordinator HOST:PORT needs processes and process_id as well")
        if launch.processes < 1:
            raise ValueError(f"processes must be at least 1, got {launch.processes}")
        if not 0 <= launch.process_id < launch.processes:
            raise ValueError(
                f"process_id must lie in 0..{launch.processes - 1}, got {launch.process_id}"
            )
        _meeting.meet(launch.coordinator, launch.processes, launch.process_id)
        options = {
            "coordinator_address": launch.coordinator,
            "num_processes": launch.processes,
            "process_id": launch.process_id,
        }
    try:
        jax.distributed.initialize(
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            initialization_timeout=_meeting.JOIN_SECONDS,
            **options,
        )
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"cannot join the run at {launch.coordinator}: {first}") from error
    _leave_advice(f"process {jax.process_index()} was ended with the others; {advice}")


def _leave_advice(text: str) -> None:
    """Has `text` printed to stderr if this process ends without reaching Python's own exit.

    An abort out of C++ runs no Python any more, so a second process waits for the end of a pipe.
    """
    code = "import sys; text = sys.stdin.read(); text.endswith('bye') or sys.stderr.write(text)"
    witness = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
    pipe: Any = witness.stdin

    def leave() -> None:
        pipe.write("bye")
        pipe.close()
        witness.wait()

    pipe.write(f"{text}\n")
    pipe.flush()
    atexit.register(leave)


def agree(config: Any) -> None:
    """Checks that all processes were given the same configuration, a dataclass or a dict.

    >>> agree({"learning_rate": 0.1}) is None  # one process agrees with itself
    True

    Raises: ValueError in every process, naming the options that differ.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    is_record = dataclasses.is_dataclass(config) and not isinstance(config, type)
    options = dataclasses.asdict(config) if is_record else config
    text = json.dumps(options, sort_keys=True, default=str).encode()
    length = int(np.max(multihost_utils.process_allgather(np.array(len(text), np.int32))))
    padded = np.frombuffer(text.ljust(length), np.uint8)
    everyone = multihost_utils.process_allgather(padded)
    found = [json.loads(bytes(row.astype(np.uint8))) for row in everyone]
    different = [
        f"{name} is {found[0].get(name)!r} in process 0, {other.get(name)!r} in process {i}"
        for i, other in enumerate(found)
        for name in {**found[0], **other}
        if found[0].get(name) != other.get(name)
    ]
    if different:
        more = f" and {len(different) - 4} more" if len(different) > 4 else ""
        raise ValueError(
            f"processes disagree on the configuration: {'; '.join(different[:4])}{more}"
        )


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error is what a collective raises when another process is gone.

    XLA gives it as a RuntimeError or, through Gloo, a plain ValueError; both begin with the name of
    a status code.

    >>> is_peer_failure(RuntimeError("UNAVAILABLE: connection reset"))  # one process has no peers
    False
    """
    return jax.process_count() > 1 and re.match(r"[A-Z_]{5,}: ", str(error)) is not None


def end_together(error: BaseException) -> None:
    """Ends this process at once if others are part of the run and may be gone.

    Python's own exit would wait for peers that never answer. Does nothing in a run of one process.

    >>> end_together(ValueError("no such file")) is None  # one process goes on to raise it
    True
    """
    if jax.process_count() == 1:
        return
    first = (str(error) or type(error).__name__).splitlines()[0]
    sys.stderr.write(f"error: process {jax.process_index()}: {first}\n")
    sys.stderr.flush()
    os._exit(1)
