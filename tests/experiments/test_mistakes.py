"""A mistake on any experiment's command line is one sentence and exit code 2, never a traceback."""

import dataclasses
import importlib
import pathlib

import pytest

from jaxdl import cli

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if "cli.run(" in path.read_text())
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
        said = capsys.readouterr().err
        assert ended.value.code == 2
        assert said.startswith(f"error: {field} must be "), said
        assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_options_by_default_are_not_refused(name):
    cli._check(importlib.import_module(f"experiments.{name}").Config())
