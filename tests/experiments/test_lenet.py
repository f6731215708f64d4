"""The first command of the README, and the same training written out by hand."""

import itertools
import json

import pytest

from experiments import by_hand, lenet
from jaxdl import cli, runs


def test_smoke_writes_a_whole_run_record(tmp_path):
    numbers = lenet.main(lenet.Config(smoke=True, out=tmp_path / "run"))
    assert numbers["test/accuracy"] > 0.2  # two epochs of 256 images; chance has 0.1
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "environment.json", "metrics.jsonl", "result.json"} <= names
    assert {"curves.png", "confusion.png", "checkpoints"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["test/accuracy"] == numbers["test/accuracy"]


def test_by_hand_is_the_same_training(tmp_path):
    """The same batches and steps, so the same losses, to the rounding of another program."""
    by_hand.main(by_hand.Config(smoke=True, out=tmp_path / "hand"))
    lenet.main(lenet.Config(smoke=True, max_shift=0, driver="stream", out=tmp_path / "fit"))
    for ours, theirs in itertools.zip_longest(
        runs.read_metrics(tmp_path / "hand"), runs.read_metrics(tmp_path / "fit")
    ):
        assert ours["step"] == theirs["step"]
        assert ours["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-4)
        assert ours["test/accuracy"] == pytest.approx(theirs["test/accuracy"], abs=0.01)


@pytest.mark.parametrize(
    "args, message",
    [
        (["--batch-size", "0"], "batch_size must be at least 1, got 0"),
        (["--batch-size", "9999"], "batch_size must be between 1 and"),
        (["--learning-rate", "nan"], "learning_rate must be positive and finite"),
        (["--data", "mnist", "--data-dir", "/nowhere"], "/nowhere: no such folder"),
        (["--data-dir", "/tmp"], "digits is embedded and reads no folder"),
        (["--epochs", "-3"], "epochs must be at least 1, got -3"),
        (["--max-shift", "-1"], "max_shift must not be negative"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(args, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as error:
        cli.run(lenet.main, lenet.Config, args=[*args, "--smoke", "--out", str(tmp_path / "run")])
    assert error.value.code == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
