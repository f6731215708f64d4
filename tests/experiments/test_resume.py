"""A killed experiment that is given again ends as one that was left alone, to the bit."""

import importlib
import json
import multiprocessing
import os
import pathlib
import signal
import time
import zlib

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
NAMES = {path.stem for path in FOLDER.glob("*.py") if "cli.run(" in path.read_text()}
MEASURING = {"benchmark", "compare_peers", "growth", "image_filters", "scaling"}  # all are times
QUICK = {"lenet", "mlp_digits", "word_vectors", "sweep", "recommend"}
CASES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in sorted(NAMES - MEASURING)
]


def work(name: str, out: pathlib.Path) -> None:
    """What the command does, on one device; in a process of its own."""
    os.environ.update(XLA_FLAGS="", JAX_PLATFORMS="cpu", JAX_COMPILATION_CACHE_DIR="")
    module = importlib.import_module(f"experiments.{name}")
    module.main(module.Config(smoke=True, out=out))


@pytest.fixture(scope="module")
def processes():
    """Processes that begin with everything imported, and with nothing computed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [f"experiments.{name}" for name in QUICK] + ["orbax.checkpoint", "tensorboardX"]
    )
    return context


def run(processes, name: str, out: pathlib.Path, seconds: float | None = None) -> int:
    """The exit code, negative for the signal that ended it; killed after `seconds`, if given."""
    process = processes.Process(target=work, args=(name, out))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def is_measured(name: str) -> bool:
    """Whether a number says how long it took or how much memory it used."""
    return not {"time", "memory"} & set(name.split("/"))


def record(out: pathlib.Path) -> tuple[dict, list[dict]]:
    """Closing numbers and rows, without those of time and memory."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads((out / "result.json").read_text()), *map(json.loads, lines)]
    result, *rows = ({n: v for n, v in row.items() if is_measured(n)} for row in rows)
    return result, rows


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_given_again_ends_as_one_left_alone(name, processes, tmp_path):
    started = time.monotonic()
    assert run(processes, name, tmp_path / "whole") == 0
    seconds = time.monotonic() - started
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    for attempt in range(8):  # a machine that became faster may be done before it is killed
        out = tmp_path / f"killed{attempt}"
        fraction = rng.uniform(0.3, 0.95) * 0.8**attempt
        code = run(processes, name, out, fraction * seconds)
        assert code in (0, -signal.SIGKILL)
        if not (out / "result.json").exists():
            break
    assert code == -signal.SIGKILL
    assert run(processes, name, out) == 0
    assert record(out) == record(tmp_path / "whole")
