"""Training that is killed and resumed is, bit for bit, the training that was not."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxdl import runs, train

ROOT = pathlib.Path(__file__).parents[2]


def start(folder, pause=0.0, epochs=20):
    command = [sys.executable, "-m", "tests.train.killable", str(folder), str(pause), str(epochs)]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **cache}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process):
    output, _ = process.communicate(timeout=300)
    return process.returncode, output.decode()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = finish(start(folder))
    assert code == 0, output
    return folder


def same(folder, undisturbed):
    got, want = np.load(folder / "final.npz"), np.load(undisturbed / "final.npz")
    assert got.files == want.files
    for name in want.files:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    rows, wanted = runs.read_metrics(folder), runs.read_metrics(undisturbed)
    untimed = [
        [{k: v for k, v in r.items() if "time/" not in k} for r in x] for x in (rows, wanted)
    ]
    assert untimed[0] == untimed[1]


def killed_and_resumed(folder, kills, seed, epochs=20):
    """SIGKILLs at moments drawn after the first row is written; returns how many struck."""
    rng, struck = np.random.default_rng(seed), 0
    for _ in range(kills):
        process = start(folder, pause=0.05, epochs=epochs)
        rows = len(runs.read_metrics(folder))
        while process.poll() is None and len(runs.read_metrics(folder)) <= rows:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        code, _ = finish(process)
        struck += code == -signal.SIGKILL
    code, output = finish(start(folder, epochs=epochs))
    assert code == 0, output
    return struck


def test_three_kills_change_nothing(undisturbed, tmp_path):
    assert killed_and_resumed(tmp_path / "run", 3, seed=0) == 3
    same(tmp_path / "run", undisturbed)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path):
    code, output = finish(start(tmp_path / "undisturbed", epochs=120))
    assert code == 0, output
    assert killed_and_resumed(tmp_path / "run", 20, seed=1, epochs=120) == 20
    same(tmp_path / "run", tmp_path / "undisturbed")


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_saves_and_says_so(undisturbed, tmp_path, number, code):
    folder = tmp_path / "run"
    process = start(folder, pause=0.05)
    while process.poll() is None and len(runs.read_metrics(folder)) < 3:
        time.sleep(0.01)
    process.send_signal(number)
    returned, output = finish(process)
    assert returned == code, output
    assert "stopped and saved at step" in output
    step = int(output.split("saved at step ")[1].split(";")[0])
    with train.Checkpoints(folder / "checkpoints") as checkpoints:
        assert checkpoints.latest() == step
    code, output = finish(start(folder))
    assert code == 0
    assert f"continuing from step {step}" in output  # no step lost
    same(folder, undisturbed)
