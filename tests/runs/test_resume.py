"""A run folder that is opened again: continued, moved aside or refused, and never lost."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import pytest
from matplotlib.figure import Figure

from jaxdl import data, runs

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    data_dir: pathlib.Path | None = None
    out: pathlib.Path | None = None
    resume: bool = True


def row(step):
    return {"step": step, "epoch": float(step), "test/loss": 1 / step}


def train(run, until, start=1):
    """Writes a row and a checkpoint per step, as `fit` does."""
    for step in range(start, until + 1):
        run.write(step, {k: v for k, v in row(step).items() if k != "step"})
        history = [row(k) for k in range(1, step + 1)]
        run.checkpoints.save(step, {"w": jnp.full(2, step)}, {"history": history})


def open_run(config=None, **options):
    config = config or Config()
    options = {"out": config.out, "resume": config.resume, "quiet": True, **options}
    return runs.open(config, name="try", **options)


def interrupted(config=None, steps=3, **options):
    with open_run(config, **options) as run:
        train(run, steps)
    return run.folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_same_command_finds_its_newest_unfinished_run(capsys):
    first = interrupted()
    with open_run(quiet=False) as run:
        assert run.folder == first
        assert run.checkpoints.latest() == 3
        outputs = capsys.readouterr().out
        assert outputs == f"continuing the unfinished run {first}; --no-resume starts a new one\n"
        run.rewind(3)
        run.finish({"test/loss": 1.0})
    with open_run() as run:  # a finished run is not continued
        assert run.folder != first
        assert not runs.read_metrics(run.folder)
    assert [r["step"] for r in runs.read_metrics(first)] == [1, 2, 3]


def test_another_run_is_not_taken_for_it(tmp_path):
    mine = interrupted()
    splits = data.DatasetDict(
        {"train": data.Dataset({"x": [1, 2]})}, data.DatasetInfo("toy", "here")
    )
    for config, options in (
        (Config(seed=1), {}),
        (Config(data_dir=tmp_path), {}),
        (Config(), {"resume": False}),
        (Config(), {"data": splits}),
    ):
        with open_run(config, **options) as run:
            assert run.folder != mine, (config, options)
            assert not runs.read_metrics(run.folder)
    with runs.open(Config(), name="other", quiet=True) as run:
        assert run.folder != mine
    time.sleep(0.002)
    with open_run(), open_run() as second:  # the first one is being written
        assert second.folder != mine
    with open_run() as run:
        assert run.folder == mine


def test_nothing_is_deleted_where_a_run_starts_over(tmp_path, capsys):
    out = tmp_path / "a"
    interrupted(Config(out=out))
    with open_run(Config(out=out, resume=False), quiet=False) as run:
        assert run.checkpoints.latest() is None
        assert run.history() == []
        train(run, 1)
    assert f"{out} held a run; it is now {tmp_path / 'a.1'}" in capsys.readouterr().out
    assert len(runs.read_metrics(tmp_path / "a.1")) == 3
    assert (tmp_path / "a.1" / "checkpoints" / "3").is_dir()
    interrupted(Config(out=out, resume=False), steps=2)
    assert [len(runs.read_metrics(tmp_path / k)) for k in ("a", "a.1", "a.2")] == [2, 3, 1]


def test_a_folder_used_twice_without_checkpoints_holds_one_run(tmp_path):
    out = tmp_path / "a"
    for _ in range(2):
        with open_run(Config(out=out)) as run:
            run.write(1, {"test/loss": 0.5})
            run.finish({"test/loss": 0.5})
    assert len(runs.read_metrics(out)) == len(runs.read_metrics(tmp_path / "a.1")) == 1
    assert len(list(out.glob("events.*"))) == 1


def test_a_named_folder_is_continued_from_its_checkpoint(tmp_path):
    config = Config(out=tmp_path / "a")
    interrupted(config)
    with open_run(config) as run:
        run.write(4, {"test/loss": 0.0})  # a row of which no checkpoint knows
    with open_run(config) as run:
        run.rewind(3)
        assert [r["step"] for r in run.history()] == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], lines[1][:9] + "\0" + lines[1][10:], *lines[2:]],
        lambda lines: [lines[0], "5", lines[2]],
        lambda lines: [lines[0], "{}", lines[2]],
        lambda lines: [lines[0], "[" * 100_000, lines[2]],
        lambda lines: [lines[0], '{"step": "2"}', lines[2]],
        lambda lines: [lines[0], lines[1].replace("0.5", "0.7"), lines[2]],  # JSON all the same
        lambda lines: lines[:1],
        lambda lines: [],
        lambda lines: None,
    ],
    ids=["byte", "5", "{}", "deep", "text", "digit", "short", "empty", "gone"],
)
def test_rows_come_back_from_the_checkpoint(tmp_path, damage, capsys):
    config = Config(out=tmp_path / "a")
    path = interrupted(config) / "metrics.jsonl"
    whole = path.read_text()
    lines = damage(whole.splitlines())
    if lines is None:
        path.unlink()
    else:
        path.write_text("".join(line + "\n" for line in lines))
    before = path.read_bytes() if lines is not None else b""
    with open_run(config, quiet=False) as run:
        _, record = run.checkpoints.restore({"w": jnp.zeros(2, jnp.int32)})
        capsys.readouterr()
        run.rewind(3, record["history"])
    assert path.read_text() == whole
    assert len(capsys.readouterr().out.splitlines()) == 1
    if before:
        assert path.with_name("metrics.jsonl.1").read_bytes() == before


def test_a_line_cut_off_by_a_kill_is_no_damage(tmp_path, capsys):
    config = Config(out=tmp_path / "a")
    path = interrupted(config) / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"step": 4, "te')
    with open_run(config, quiet=False) as run:
        run.rewind(3, [row(1), row(2), row(3)])
    assert path.read_text() == whole
    assert capsys.readouterr().out == ""
    assert not path.with_name("metrics.jsonl.1").exists()


def test_other_data_are_refused(tmp_path):
    def splits(x):
        return data.DatasetDict(
            {"train": data.Dataset({"x": [x]})}, data.DatasetInfo("toy", "here")
        )

    config = Config(out=tmp_path / "a")
    interrupted(config, data=splits(1))
    with (
        pytest.raises(FileExistsError, match="a run on other data: train differ"),
        open_run(config, data=splits(2)),
    ):
        pass


HOLDER = """
import dataclasses, pathlib, sys, time
from jaxdl import cli, runs

@dataclasses.dataclass(frozen=True)
class Config:
    out: pathlib.Path
    hold: bool = False

def main(config):
    with runs.open(dataclasses.replace(config, hold=False), name="try", out=config.out) as run:
        run.write(1, {"loss": 1.0})
        time.sleep(60 * config.hold)

cli.run(main, Config)
"""


def test_two_processes_on_one_folder_is_one_sentence_and_code_2(tmp_path):
    command = [sys.executable, "-c", HOLDER, "--out", str(tmp_path / "a")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    options = {"env": environment, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    first = subprocess.Popen([*command, "--hold"], **options)
    try:
        while not runs.read_metrics(tmp_path / "a"):
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.05)
        second = subprocess.run(command, check=False, text=True, timeout=100, **options)
        assert second.returncode == 2
        assert second.stderr == (
            f"error: {tmp_path / 'a'} is in use by process {first.pid} on {os.uname().nodename}; "
            "wait for it to end or name another folder\n"
        )
        assert len(runs.read_metrics(tmp_path / "a")) == 1
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    third = subprocess.run(command, check=False, text=True, timeout=100, **options)
    assert third.returncode == 0, third.stderr  # a process that died holds nothing


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_one_sentence_with_the_name_of_the_file(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.jsonl").symlink_to("/dev/full")
    (tmp_path / "a" / "config.json").write_text(
        json.dumps({"experiment": "try", "seed": 0, "data_dir": None})
    )
    path = tmp_path / "a" / "metrics.jsonl"
    with (
        pytest.raises(OSError, match=rf"^cannot write {path}: No space left on device$"),
        open_run(out=tmp_path / "a") as run,
    ):
        run.write(1, {"loss": 1.0})
    with open_run(out=tmp_path / "b") as run:
        (tmp_path / "b" / "curves.png.part").symlink_to("/dev/full")
        with pytest.raises(OSError, match=r"^cannot write .*b/curves.png: No space left"):
            run.figure("curves", Figure())
        assert not (tmp_path / "b" / "curves.png").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence():
    with (
        pytest.raises(FileNotFoundError, match="cannot write the run folder /proc/none"),
        open_run(out=pathlib.Path("/proc/none")),
    ):
        pass
    with (
        pytest.raises(OSError, match="File name too long"),
        open_run(out=pathlib.Path("x" * 300)),
    ):
        pass


def test_an_error_in_the_run_is_not_hidden_by_one_in_closing_it(tmp_path):
    def fail():
        with open_run(out=tmp_path / "a") as run:
            train(run, 1)
            run.checkpoints.close = None  # closing fails
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


FULL = """
import dataclasses, pathlib, resource, signal, sys
from jaxdl import cli, runs

@dataclasses.dataclass(frozen=True)
class Config:
    out: pathlib.Path

def main(config):
    with runs.open(config, name="try", out=config.out) as run:
        run.write(1, {"loss": 1.0})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        for step in range(2, 200):  # the events are the larger file
            run.write(step, {"loss": 1.0})

cli.run(main, Config)
"""


def test_a_disk_that_fills_up_in_the_run_ends_it_with_one_sentence(tmp_path):
    """No thread is waited for, and no traceback printed."""
    command = [sys.executable, "-c", FULL, "--out", str(tmp_path / "a")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    done = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line == f"error: cannot write {tmp_path / 'a' / 'events.*'}: File too large"
    assert runs.read_metrics(tmp_path / "a")[:2] == [{"step": k, "loss": 1.0} for k in (1, 2)]
