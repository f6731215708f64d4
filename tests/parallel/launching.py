"""Workers of several processes, started and waited for."""

import os
import pathlib
import re
import socket
import subprocess
import sys

from jaxdl import runs

ROOT = pathlib.Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(folder, processes, *options, different=(), worker="worker", devices=1, **others):
    """Starts the workers; `different` are options of the last one alone."""
    flags = re.sub(
        r"--xla_force_host_platform_device_count=\d+", "", os.environ["XLA_FLAGS"]
    ).strip()
    flags += f" --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    base = [sys.executable, "-m", f"tests.parallel.{worker}", "--out", str(folder), *options]
    launch = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", str(processes)]
    return [
        subprocess.Popen(
            [*base, *(different if i == processes - 1 else ())]
            + ([*launch, "--process-id", str(i)] if processes > 1 else []),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **others,
        )
        for i in range(processes)
    ]


def finish(workers, seconds=120):
    """Their exit codes and what they printed."""
    outputs = [worker.communicate(timeout=seconds)[0].decode() for worker in workers]
    return [worker.returncode for worker in workers], outputs


def untimed(folder):
    """The rows of a run without what differs from time to time."""
    return [{k: v for k, v in row.items() if "time/" not in k} for row in runs.read_metrics(folder)]
