"""A killed experiment that is given again ends as one that was left alone, to the bit."""

import importlib
import multiprocessing
import os
import pathlib
import signal
import sys
import threading
import zlib

import jax
import numpy as np
import pytest

from jaxdl import train
from tests import faults

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
NAMES = {path.stem for path in FOLDER.glob("*.py") if "cli.run(" in path.read_text()}
# All of what they say, or how many steps they take, are times.
MEASURING = {"benchmark", "compare_peers", "equal_time", "growth", "image_filters", "scaling"}
QUICK = {"lenet", "recommend", "sweep"}  # by `fit`, `run_blocks`, `sweep`
CASES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in sorted(NAMES - MEASURING)
]


def work(name: str, out: pathlib.Path, programs: str, strike: tuple[int, float] | None) -> None:
    """What the command does, saving as often as it may; in a process of its own.

    It is killed some seconds after it began to save for the nth time: `strike` says both.
    """
    log = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    jax.config.update("jax_compilation_cache_dir", programs)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    saves, save = 0, train.Checkpoints.save

    def counted(self, *args):
        nonlocal saves
        save(self, *args)  # goes on in the background; the one before is complete
        saves += 1
        if strike is not None and saves == strike[0]:
            threading.Timer(strike[1], os.kill, (os.getpid(), signal.SIGKILL)).start()

    train.Checkpoints.save = counted
    train.Checkpoints.due = lambda self: True
    module = importlib.import_module(f"experiments.{name}")
    module.main(module.Config(smoke=True, out=out))
    sys.stdout.write(f"saved {saves} times\n")
    sys.stdout.flush()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Processes that begin with everything imported, and with nothing computed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [f"experiments.{name}" for name in QUICK]
        + [__name__, "orbax.checkpoint", "tensorboardX", "matplotlib.figure"]
    )
    return context


def run(processes, name, out, strike=None):
    """The exit code, negative for the signal that ended it, and all that was said so far."""
    arguments = (name, out, jax.config.jax_compilation_cache_dir, strike)
    process = processes.Process(target=work, args=arguments)
    process.start()
    process.join()
    return process.exitcode, out.with_suffix(".log").read_text()


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_given_again_ends_as_one_left_alone(name, processes, tmp_path):
    code, said = run(processes, name, tmp_path / "whole")
    assert code == 0, said
    saves = int(said.split()[-2])
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    out = tmp_path / "killed"
    # From the second save on, so that there is one to go on from.
    strike = int(rng.integers(2, max(saves, 3))), rng.uniform(0, 0.05)
    code, said = run(processes, name, out, strike)
    assert code == -signal.SIGKILL, said
    code, said = run(processes, name, out)
    assert code == 0, said
    assert "continuing from" in said
    assert faults.difference(faults.record(out), faults.record(tmp_path / "whole"), 0.0) is None
