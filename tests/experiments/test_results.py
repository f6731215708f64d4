"""The tables of results are those of the records, and every experiment is in the list."""

import importlib.util
import json
import re
import shutil
import sys

import pytest
import scipy.stats

from experiments import __main__ as command
from experiments import _catalog, lenet
from jaxdl import cli, data, runs

FIELDS = [
    "experiment",
    "options",
    "data",
    "shows",
    "published",
    "here",
    "seconds",
    "chosen",
    "runs",
]


def test_every_experiment_stands_under_one_subject():
    listed = [name for members in _catalog.SUBJECTS.values() for name in members]
    assert sorted(listed) == _catalog.names()
    assert all(len(_catalog.first_line(name)) > 10 for name in listed)


def test_the_page_is_written_from_the_records():
    page = (_catalog.FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    assert page == _catalog.results_page(), "run python -m experiments --tables"


def test_every_entry_has_a_command_of_its_own_and_its_fields():
    entries = _catalog.read()
    assert {e["experiment"] for e in entries if not e["options"]} == set(_catalog.names())
    commands = [(entry["experiment"], entry["options"]) for entry in entries]
    assert len(set(commands)) == len(commands)
    for entry in entries:
        assert entry["experiment"] in _catalog.names()
        assert list(entry) == [
            "experiment",
            "options",
            "data",
            "shows",
            "published",
            "here",
            "seconds",
            "chosen",
            "runs",
        ]
        assert bool(entry["runs"]) == ("{" in entry["here"]), entry
        assert entry["data"], entry


def test_a_run_is_recorded_and_repeated_seeds_give_an_interval(tmp_path):
    path = tmp_path / "results.json"
    for seed, accuracy in ((0, 0.97), (1, 0.98), (2, 0.96), (2, 0.99)):  # the last one anew
        args = ["--epochs", "3", f"--seed={seed}", "--out", str(tmp_path / "x"), "--data-dir=/y"]
        runs.record(path, "lenet", args, {"test/accuracy": accuracy}, seconds=10 + seed)
    (entry,) = json.loads(path.read_text())
    assert entry["options"] == "--epochs 3"
    assert [run["seed"] for run in entry["runs"]] == [0, 1, 2]
    assert "packages" in entry["runs"][0]
    values = [0.97, 0.98, 0.99]
    half = scipy.stats.sem(values) * scipy.stats.t.ppf(0.975, 2)
    entry["here"] = "{test/accuracy:.4f}"
    assert _catalog.measured(entry) == f"0.9800 ± {half:.4f} (n = 3)"
    assert _catalog.seconds(entry) == "11"
    runs.record(path, "lenet", args, {"test/accuracy": 0.9}, seconds=30, cpu_seconds=21)
    (entry,) = json.loads(path.read_text())
    assert _catalog.seconds(entry) == "17 (CPU 21)"


BROKEN_OFF = """
def main(config):
    with runs.open(config, name="broken_off", out=config.out):
        return {"test/accuracy": 0.5}
"""


def test_a_run_that_was_continued_tells_no_seconds(tmp_path):
    folder, names = tmp_path / "run", {"__file__": str(tmp_path / "broken_off.py"), "runs": runs}
    exec(BROKEN_OFF, names)
    for times in (1, 2):  # anew, then where the first one stopped
        cli._record(names["main"], lenet.Config(out=folder), [])
        (entry,) = json.loads((tmp_path / "results.json").read_text())
        (run,) = entry["runs"]
        assert ("seconds" in run, "cpu_seconds" in run) == (times == 1, times == 1)
        (folder / "checkpoints" / "3").mkdir(parents=True, exist_ok=True)
    assert _catalog.seconds(entry) == ""


def test_one_seed_stands_alone_and_what_was_entered_by_hand_stays(tmp_path):
    path = tmp_path / "results.json"
    runs.record(path, "lenet", [], {"test/accuracy": 0.5, "test/loss": 1.0}, seconds=1)
    (entry,) = json.loads(path.read_text())
    assert _catalog.measured(entry) == "test/accuracy 0.5, test/loss 1"
    assert _catalog.measured({"runs": [], "here": ".986-.997"}) == ".986-.997"


def test_the_numbers_of_a_new_row_are_those_of_the_test_set_without_times(tmp_path):
    path, glove = tmp_path / "results.json", tmp_path / "data" / "glove.txt"
    glove.parent.mkdir()
    glove.write_text("")
    numbers = {"time/step": 1.0, "majority/accuracy": 0.1, "a .5/loss": 2.0, "test/accuracy": 0.9}
    args = ["--vectors-file", str(glove), f"--words={glove}", "--rate", "1/2"]
    runs.record(path, "sentiment", args, numbers, seconds=1)
    (entry,) = json.loads(path.read_text())
    assert entry["options"] == "--vectors-file glove.txt --words=glove.txt --rate 1/2"
    assert _catalog.measured(entry).startswith("test/accuracy 0.9, a .5/loss 2, time/step 1")


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match=r"results.json holds no list of results"):
        runs.record(tmp_path / "results.json", "lenet", [], {}, seconds=1)


def test_the_list_names_every_experiment(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert command.main([]) == 0
    shown = capsys.readouterr().out
    assert [name for name in _catalog.names() if not re.search(rf"^{name} ", shown, re.M)] == []


def test_a_mistyped_name_gets_the_nearest(capsys):
    assert command.main(["lennet", "--smoke"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no experiment is called 'lennet'; did you mean lenet")
    assert error.count("\n") == 1


def test_an_experiment_is_started_by_name_and_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)  # settings of the whole process
    monkeypatch.setattr(cli, "use_compilation_cache", lambda: None)
    folder = tmp_path / "own"
    folder.mkdir()
    source = shutil.copy(_catalog.FOLDER / "activations.py", folder / "activations.py")
    spec = importlib.util.spec_from_file_location("activations_of_mine", source)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    cli.run(module.main, module.Config, ["--smoke", "--record", "--out", str(tmp_path / "run")])
    (entry,) = json.loads((folder / "results.json").read_text())
    assert entry["experiment"] == "activations"
    assert entry["runs"][0]["numbers"]
    assert "recorded in" in capsys.readouterr().out


def test_the_table_of_data_sets_is_shown_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert command.main(["--data"]) == 0
    shown = capsys.readouterr().out
    for name, source in data.SOURCES.items():
        assert f"\n{name} " in shown
        assert source.embedded or source.where.split(" ")[0][:60] in shown
    for kind, columns in data.COLUMNS.items():
        assert f"\n{kind} {', '.join(columns)}".rstrip() in shown
