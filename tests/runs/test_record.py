"""Run folders: what they hold, whom they refuse, how they are listed and compared."""

import dataclasses
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import data, metrics, objectives, runs, train
from jaxdl.runs import _events
from tests import faults
from tests.figures import ink
from tests.references import reference

event_accumulator = reference("tensorboard.backend.event_processing.event_accumulator")


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    learning_rate: float = 0.1
    out: pathlib.Path | None = None


def record(folder, seed=0, rows=2):
    with runs.open(Config(seed=seed, out=folder), name="try", out=folder, quiet=True) as run:
        for step in range(1, rows + 1):
            run.write(step, {"epoch": step, "test/loss": 1 / step + seed, "time/train": 0.1})
        run.finish({"test/loss": 1 / rows})


def test_a_folder_tells_what_was_asked_where_it_ran_and_what_came_out(tmp_path):
    splits = data.DatasetDict(
        {"train": data.Dataset({"x": [1, 2]})}, data.DatasetInfo("toy", "here")
    )
    with runs.open(Config(), name="try", out=tmp_path / "a", data=splits, quiet=True) as run:
        run.write(3, {"test/loss": 0.5})
        run.finish({"test/loss": 0.5})
    config = runs.read_json(tmp_path / "a" / "config.json")
    assert config == {"experiment": "try", "seed": 0, "learning_rate": 0.1, "out": None}
    environment = runs.read_json(tmp_path / "a" / "environment.json")
    assert environment["packages"]["jax"]
    assert environment["backend"] == "cpu"
    assert environment["data"] == {"train": splits["train"].checksum()}
    assert runs.read_metrics(tmp_path / "a") == [{"step": 3, "test/loss": 0.5}]
    assert runs.read_json(tmp_path / "a" / "result.json") == {"test/loss": 0.5}


def test_tensorboard_reads_the_same_numbers(tmp_path):
    record(tmp_path / "a")
    events = event_accumulator.EventAccumulator(str(tmp_path / "a")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("test/loss")] == [(1, 1.0), (2, 0.5)]


def test_another_configuration_is_refused_and_named(tmp_path):
    record(tmp_path / "a")
    before = sorted(path.name for path in (tmp_path / "a").iterdir())
    with (
        pytest.raises(FileExistsError, match="another configuration: seed 0 there, 5 here"),
        runs.open(Config(seed=5), name="try", out=tmp_path / "a", quiet=True),
    ):
        pass
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("dear")
    with (
        pytest.raises(FileExistsError, match="other files and no run"),
        runs.open(Config(), name="try", out=tmp_path / "b", quiet=True),
    ):
        pass
    with (
        pytest.raises(FileExistsError, match="is a file"),
        runs.open(Config(), name="try", out=tmp_path / "b" / "letter.txt", quiet=True),
    ):
        pass
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FileNotFoundError, match="cannot write the run folder .*Not a directory"),
        runs.open(Config(), name="try", out=tmp_path / "file" / "a", quiet=True),
    ):
        pass


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    record(tmp_path / "a")
    with (tmp_path / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "te')
    assert [row["step"] for row in runs.read_metrics(tmp_path / "a")] == [1, 2]


def test_seconds_are_kept_but_not_printed(tmp_path, capsys):
    with runs.open(Config(), name="try", out=tmp_path / "a") as run:
        run.write(1, {"test/loss": 2.0, "time/train": 3.0, "inverse time/loss": 4.0})
        assert run.history()[0]["time/train"] == 3.0
    printed = "".join(capsys.readouterr())
    assert "test/loss 2  inverse time/loss 4" in printed
    assert "time/train" not in printed


def test_list_and_compare(tmp_path, capsys):
    record(tmp_path / "a", seed=0)
    record(tmp_path / "b", seed=1)
    runs.main(["list", str(tmp_path)])
    shown = capsys.readouterr().out
    assert shown.count("done") == 2
    runs.main(
        ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c.png")]
    )
    assert "seed" in capsys.readouterr().out
    assert ink(tmp_path / "c.png") > 0.03
    for wrong in (["compare", str(tmp_path), str(tmp_path)], ["list", str(tmp_path / "none")]):
        with pytest.raises(SystemExit) as error:
            runs.main(wrong)
        assert error.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_lines_are_printed_where_there_is_no_terminal(tmp_path, capsys):
    with runs.open(Config(), name="try", out=tmp_path / "a") as run:
        run.progress(1, 2, "loss 1")
        run.write(1, {"test/loss": 0.25, "time/train": 1.0})
        run.finish({"test/loss": 0.25})
    captured = capsys.readouterr()
    assert captured.out == f"test/loss 0.25\ntest/loss 0.25  ->  {tmp_path / 'a'}\n"
    assert captured.err == ""
    assert json.loads((tmp_path / "a" / "metrics.jsonl").read_text())["time/train"] == 1.0


def test_a_part_has_rows_and_checkpoints_of_its_own(tmp_path):
    config = Config(out=tmp_path / "a")
    with runs.open(config, name="try", out=config.out, quiet=True) as run:
        one, two = run.part("one"), run.part("two")
        for step in (1, 2, 3):
            one.write(step, {"train/loss": step})
            two.write(step, {"train/loss": -step})
        one.checkpoints.save(2, {"w": np.arange(3.0)}, {"history": []})
        two.checkpoints.save(3, {"w": np.ones(2)}, {"history": []})
        run.write(3, {"test/loss": 0.5})
    with runs.open(config, name="try", out=config.out, quiet=True) as run:
        # Nothing of the run itself was saved, so that its own row is written again.
        assert [row["step"] for row in run.history()] == [1, 1, 2, 2, 3, 3]
        assert run.part("one").checkpoints.latest() == 2
        run.part("one").rewind(2)
        run.rewind(0)
        assert [row["step"] for row in run.history() if "one/train/loss" in row] == [1, 2]
        assert [row["two/train/loss"] for row in run.history() if "two/train/loss" in row] == [
            *(-1, -2, -3)
        ]
    assert {path.name for path in (tmp_path / "a" / "checkpoints").iterdir()} == {"one", "two"}


@pytest.mark.parametrize("name", ["", "3", "a/b", "..", ".hidden"])
def test_a_part_needs_a_name_that_can_be_a_folder(name, tmp_path):
    with (
        runs.open(Config(), name="try", out=tmp_path / "a", quiet=True) as run,
        pytest.raises(ValueError, match="a part needs a name"),
    ):
        run.part(name)


def test_training_that_gives_up_leaves_the_reason_in_the_folder(tmp_path):
    def objective(w, model_state, batch, key, *, train):
        loss = jnp.log(batch["x"] * w)  # of a negative number
        return metrics.Mean.from_values(loss, batch["mask"]), objectives.Aux({}, model_state)

    trainer = train.make(objective, optax.sgd(0.1), skip_nonfinite=1)
    split = data.Dataset({"x": np.array([1, 1, -1, 1], np.float32)})
    state = trainer.init(jax.random.key(0), params=jnp.ones(()))
    with (
        pytest.raises(train.NonfiniteError, match="not finite") as caught,
        runs.open(Config(), name="try", out=tmp_path / "a", quiet=True) as run,
    ):
        train.fit(trainer, split, state, epochs=1, batch_size=2, seed=None, run=run)
    text = (tmp_path / "a" / "nonfinite.txt").read_text()
    assert "`log` gives nan at index [0], row 0 of the batch" in text
    assert "# of a negative number" in text
    assert text.strip() in caught.value.__notes__[0]


def test_curves_of_a_run_that_went_on_after_the_clock_went_back(tmp_path, monkeypatch):
    """TensorBoard reads files in the order of their names, which begin with the time."""
    first = _events.Events(tmp_path, None)
    for step in (1, 2, 3):
        first.add(step, {"loss": 1.0})
    first.close()
    yesterday = time.time() - 86_400
    monkeypatch.setattr(time, "time", lambda: yesterday)
    monkeypatch.setattr(time, "time_ns", lambda: int(yesterday * 1e9))
    for purge, value in ((3, 2.0), (4, 3.0)):  # twice in one instant
        again = _events.Events(tmp_path, purge)
        for step in range(purge, 5):
            again.add(step, {"loss": value})
        again.close()
    assert faults.scalars(tmp_path) == {"loss": [(1, 1.0), (2, 1.0), (3, 2.0), (4, 3.0)]}
