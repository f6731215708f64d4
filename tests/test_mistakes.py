"""What goes wrong around an experiment is one sentence and an exit code, and leaves nothing half.

Options that nothing can run with, folders that cannot be written or hold something else, a disk
that fills up, a folder that vanishes, Ctrl-C once and twice. All of it in this process.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure

from jaxdl import cli, data, runs, train
from jaxdl.metrics import Mean
from jaxdl.objectives import Aux
from jaxdl.train._signals import Interrupts


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    epochs: int = 2
    batch_size: int = 2
    learning_rate: float = 0.1
    out: pathlib.Path | None = None


def idle(config):
    """An experiment that computes nothing."""
    with runs.open(config, name="idle", out=config.out, quiet=True) as run:
        run.write(1, {"train/loss": 1.0})
        return run.finish({"train/loss": 1.0})


def learn(config):
    """The mean of two numbers, by gradient descent."""

    def objective(mean, model_state, batch, key, *, train):
        return Mean.from_values((batch["x"] - mean) ** 2, batch["mask"]), Aux({}, model_state)

    trainer = train.make(objective, optax.sgd(config.learning_rate))
    state = trainer.init(jax.random.key(config.seed), params=jnp.array(1.0))
    split = data.Dataset({"x": np.array([1.0, 2.0], np.float32)})
    options = {"epochs": config.epochs, "batch_size": config.batch_size, "driver": "loop"}
    with runs.open(config, name="learn", out=config.out, quiet=True) as run:
        history = train.fit(trainer, split, state, run=run, **options).history
        return run.finish({"train/loss": history[-1]["train/loss"]})


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "use_compilation_cache", lambda: None)  # that of the tests stays
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)


def refused(capsys, *args, main=idle, code=2):
    """The one sentence that an experiment ends with."""
    with pytest.raises(SystemExit) as ended:
        cli.run(main, Config, args=[str(arg) for arg in args])
    said = capsys.readouterr()
    assert ended.value.code == code, said
    (line,) = said.err.splitlines()
    return line.removeprefix("error: ")


@pytest.mark.parametrize("seed", [-1, 2**31, 10**20])
def test_seeds_that_are_none(seed, capsys):
    assert refused(capsys, "--seed", seed) == f"seed must lie in 0..{2**31 - 1}, got {seed}"
    assert not pathlib.Path("runs").exists()


@pytest.mark.parametrize(
    "option, value, sentence",
    [
        ("--epochs", "0", "epochs must be at least 1, got 0"),
        ("--batch-size", "-3", "batch_size must be at least 1, got -3"),
        *(
            ("--learning-rate", value, f"learning_rate must be positive and finite, got {value}")
            for value in ("nan", "inf", "-inf", "0.0", "-0.1")
        ),
    ],
)
def test_numbers_that_nothing_trains_with(option, value, sentence, capsys):
    assert refused(capsys, option, value) == sentence


def test_training_that_diverges_ends_with_a_sentence(capsys):
    said = refused(capsys, "--learning-rate", "1e30", main=learn)
    assert said.startswith("training diverged, train/loss is ")
    assert "the learning rate may be too high" in said


@pytest.mark.parametrize(
    "options, sentence",
    [
        (("--coordinator", "h:99999", "--processes", 2, "--process-id", 0), "got 'h:99999'"),
        (("--coordinator", "h:0", "--processes", 2, "--process-id", 0), "got 'h:0'"),
        (("--coordinator", "h:1", "--processes", -2, "--process-id", 0), "at least 1, got -2"),
        (("--coordinator", "h:1", "--processes", 2, "--process-id", -1), "lie in 0..1, got -1"),
        (("--processes", 2), "processes and process_id need a coordinator"),
    ],
)
def test_launches_that_are_none(options, sentence, capsys):
    assert sentence in refused(capsys, *options)


def test_folders_that_cannot_be_one(capsys, tmp_path):
    long, file = "x" * 300, tmp_path / "file"
    file.write_text("mine")
    assert "File name too long" in refused(capsys, "--out", long)
    assert refused(capsys, "--out", file) == f"{file} is a file, not a run folder"
    assert "Not a directory" in refused(capsys, "--out", file / "below")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    assert "holds other files and no run" in refused(capsys, "--out", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "other", "thesis.tex"]


@pytest.mark.parametrize("content", ["[]", "null", "3", "{", "", "\0", "[" * 10**5])
def test_a_record_that_is_none_is_not_written_over(content, capsys, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(content)
    said = refused(capsys, "--out", folder)
    assert said == f"{folder / 'config.json'} holds no options of a run; name a new folder"
    assert (folder / "config.json").read_text() == content


@contextlib.contextmanager
def without_privileges():
    """As somebody to whom permissions apply."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_may_only_be_read(capsys):
    cli.run(idle, Config, args=["--out", "warm"])  # what is imported on use is, from here on
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "run").mkdir()
        (folder / "run" / "config.json").write_text("{}")
        for path in (folder / "run", folder):
            path.chmod(0o555)
        with without_privileges():
            new = refused(capsys, "--out", folder / "new")
            old = refused(capsys, "--out", folder / "run", "--seed", 3)
        assert "Permission denied" in new
        assert "another configuration" in old
        assert sorted(path.name for path in folder.rglob("*")) == ["config.json", "run"]
        for path in (folder, folder / "run"):
            path.chmod(0o755)


def test_two_runs_in_one_folder(capsys):
    with runs.open(Config(), name="idle", out=pathlib.Path("a"), quiet=True):
        here = f"process {os.getpid()} on {os.uname().nodename}"
        wanted = f"a is in use by {here}; wait for it to end or name another folder"
        assert refused(capsys, "--out", "a") == wanted
    assert cli.run(idle, Config, args=["--out", "a"]) == {"train/loss": 1.0}


def vanishing(what):
    def main(config):
        with runs.open(config, name="idle", out=config.out, quiet=True) as run:
            run.write(1, {"train/loss": 1.0})
            shutil.rmtree(run.folder)
            if what == "row":
                run.write(2, {"train/loss": 1.0})
            elif what == "figure":
                run.figure("curves", Figure())
            return run.finish({"train/loss": 1.0})

    return main


@pytest.mark.parametrize("what", ["row", "figure", "result"])
def test_a_folder_that_vanishes(what, capsys, tmp_path):
    said = refused(capsys, "--out", tmp_path / "a", main=vanishing(what))
    assert str(tmp_path / "a") in said
    assert "No such file or directory" in said


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 128 KiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def filling(what):
    def main(config):
        with runs.open(config, name="idle", out=config.out, quiet=True) as run:
            if what == "rows":
                for step in range(1, 3000):
                    run.write(step, {f"train/{name}": 1.0 for name in "abcdefgh"})
            elif what == "checkpoint":
                noise = np.random.default_rng(0).normal(size=50_000)  # does not compress
                run.checkpoints.save(1, {"w": jnp.ones(3)}, {"history": []})
                run.checkpoints.save(2, {"w": noise}, {"history": []})
                run.checkpoints.wait()
            else:
                figure = Figure(figsize=(8, 8), dpi=200)
                figure.subplots().imshow(np.random.default_rng(0).random((500, 500)))
                run.figure("noise", figure)
            return run.finish({"train/loss": 1.0})

    return main


@pytest.mark.parametrize("what", ["rows", "checkpoint", "figure"])
def test_a_disk_that_is_full(what, capsys, small_disk):
    said = refused(capsys, "--out", small_disk / "a", main=filling(what))
    assert str(small_disk / "a") in said
    assert "No space left on device" in said or "RESOURCE_EXHAUSTED" in said
    assert not (small_disk / "a" / "result.json").exists()
    if what == "rows":  # all but the one that did not fit
        steps = [row["step"] for row in runs.read_metrics(small_disk / "a")]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) > 10
    if what == "checkpoint":
        with train.Checkpoints(small_disk / "a" / "checkpoints") as checkpoints:
            assert checkpoints.steps() == [1]


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C as it is outside a worker of pytest; an end at once as an exception."""

    class AtOnce(BaseException):
        pass

    def leave(code):
        raise AtOnce(code)

    monkeypatch.setattr(os, "_exit", leave)
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield AtOnce
    signal.signal(signal.SIGINT, old)


def test_ctrl_c_ends_with_130(interrupted):
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda config: signal.raise_signal(signal.SIGINT), Config, args=[])
    assert ended.value.code == 130


def test_ctrl_c_in_training_saves_and_ends_with_130(interrupted, monkeypatch):
    write = runs.Run.write

    def struck(self, step, row):
        signal.raise_signal(signal.SIGINT)
        write(self, step, row)

    monkeypatch.setattr(runs.Run, "write", struck)
    with pytest.raises(SystemExit) as ended:
        cli.run(learn, Config, args=["--out", "a"])
    assert ended.value.code == 130
    with train.Checkpoints(pathlib.Path("a/checkpoints").resolve()) as checkpoints:
        assert checkpoints.steps() == [1]


@pytest.mark.parametrize("inside", [False, True])
def test_ctrl_c_twice_ends_at_once(inside, interrupted, capfd):
    def main(config):
        with Interrupts() if inside else contextlib.nullcontext():
            for _ in range(2):
                with contextlib.suppress(KeyboardInterrupt):  # as where a library swallows it
                    signal.raise_signal(signal.SIGINT)

    with pytest.raises(interrupted, match="130"):
        cli.run(main, Config, args=[])
    assert capfd.readouterr().err == "stopped at once; what was saved last is kept\n"


def test_a_signal_that_is_ignored_stays_ignored():
    """So is Ctrl-C in what a script started by `&`."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert interrupts.received is None
            signal.raise_signal(signal.SIGTERM)
            assert interrupts.received == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)
