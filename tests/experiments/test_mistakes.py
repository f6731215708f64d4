"""A mistake on any experiment's command line is one sentence and exit code 2, never a traceback."""

import dataclasses
import importlib
import pathlib
import typing

import pytest

from jaxdl import cli, data

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if "cli.run(" in path.read_text())
# Data sets that dependencies ship; the others are read from a folder.
EMBEDDED = {name for name, source in data.SOURCES.items() if source.embedded}
WRONG = {
    "batch_size": "-1",
    "epochs": "-1",
    "learning_rate": "nan",
    "seeds": "-1",
}


@pytest.mark.parametrize("name", NAMES)
def test_absurd_options_are_one_sentence(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)  # settings of the whole process
    monkeypatch.setattr(cli, "use_compilation_cache", lambda: None)
    module = importlib.import_module(f"experiments.{name}")
    fields = {field.name for field in dataclasses.fields(module.Config)}
    for field in fields & WRONG.keys():
        option = f"--{field.replace('_', '-')}"
        with pytest.raises(SystemExit) as ended:
            cli.run(module.main, module.Config, ["--smoke", option, WRONG[field]])
        outputs = capsys.readouterr().err
        assert ended.value.code == 2
        assert outputs.startswith(f"error: {field} must be "), outputs
        assert outputs.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def choices(name: str) -> list[str]:
    """The data sets of an experiment that are read from a folder."""
    config = importlib.import_module(f"experiments.{name}").Config
    hints = typing.get_type_hints(config)
    return [d for d in typing.get_args(hints.get("data")) if d not in EMBEDDED]


def test_data_sets_of_experiments_are_those_of_the_table():
    modules = [importlib.import_module(f"experiments.{name}") for name in NAMES]
    hints = [typing.get_type_hints(module.Config).get("data") for module in modules]
    used = {name for hint in hints for name in typing.get_args(hint)}
    assert used - set(data.SOURCES) == set()
    assert used > {"digits", "manual", "dates", "low_rank", "ptb", "tatoeba"}


@pytest.mark.parametrize("name, dataset", [(n, d) for n in NAMES for d in choices(n)])
def test_a_missing_folder_is_named(name, dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(cli, "use_compilation_cache", lambda: None)
    module = importlib.import_module(f"experiments.{name}")
    missing = tmp_path / "none"
    with pytest.raises(SystemExit) as ended:
        cli.run(module.main, module.Config, ["--data", dataset, "--data-dir", str(missing)])
    outputs = capsys.readouterr().err
    assert ended.value.code == 2
    assert outputs.startswith("error: "), outputs
    assert str(missing) in outputs or "needs --weights" in outputs, outputs
    assert outputs.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_options_by_default_are_not_refused(name):
    cli._check(importlib.import_module(f"experiments.{name}").Config())


FOLDERED = [n for n in NAMES if choices(n)]


@pytest.mark.parametrize("name", FOLDERED)
def test_a_folder_that_would_not_be_read_is_refused(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(cli, "use_compilation_cache", lambda: None)
    module = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit) as ended:
        cli.run(module.main, module.Config, ["--smoke", "--data-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert "is embedded and reads no folder; leave data_dir out\n" in capsys.readouterr().err
