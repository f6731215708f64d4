"""The command line: help, one sentence per mistake, and a quick start."""

import dataclasses
import subprocess
import sys

import pytest

import jaxdl
from jaxdl import cli
from tests.runs import parting


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 3  # passes over the data
    learning_rate: float = 0.1  # at the start


def test_options_become_the_config():
    config = cli.run(lambda config: config, Config, args=["--epochs", "7"])
    assert config == Config(epochs=7)


def test_help_shows_fields_comments_and_defaults(capsys):
    with pytest.raises(SystemExit) as error:
        cli.run(lambda config: config, Config, args=["--help"])
    assert error.value.code == 0
    shown = capsys.readouterr().out
    assert "--learning-rate FLOAT" in shown
    assert "at the start (default: 0.1)" in shown


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, FileExistsError])
def test_a_users_mistake_is_one_sentence_and_code_2(error, capsys, monkeypatch):
    def main(config):
        raise error("batch_size must be between 1 and 9, got 0")

    with pytest.raises(SystemExit) as raised:
        cli.run(main, Config, args=[])
    assert raised.value.code == 2
    assert capsys.readouterr().err == "error: batch_size must be between 1 and 9, got 0\n"
    monkeypatch.setenv("JAXDL_TRACEBACK", "1")
    with pytest.raises(error):
        cli.run(main, Config, args=[])


def test_an_unknown_option_is_code_2(capsys):
    with pytest.raises(SystemExit) as raised:
        cli.run(lambda config: config, Config, args=["--epoch", "7"])
    assert raised.value.code == 2
    assert "--epoch" in capsys.readouterr().err


def test_a_bug_is_not_taken_for_a_mistake():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda config: 1 // 0, Config, args=[])


def test_summary_prints_modules_and_trains_nothing(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run(parting.main, parting.Config, args=["--summary"])
    assert ended.value.code == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["first"][1] == "40"  # parameters: 4 x 8 and 8
    assert rows["total"][1] == "139"
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda config: None, Config, args=["--summary"])
    assert ended.value.code == 2


def test_import_is_lazy():
    code = "import sys, jaxdl; print(any(m in sys.modules for m in ('jax', 'numpy', 'flax')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == (
        "False\n"
    )
    assert set(jaxdl.__all__) <= set(dir(jaxdl))
    for name in jaxdl.__all__:
        assert getattr(jaxdl, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        jaxdl.nothing  # noqa: B018
