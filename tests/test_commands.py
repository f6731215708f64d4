"""`python -m jaxdl` and `python -m jaxdl.new`: the first things that somebody types."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

from jaxdl import __main__ as about
from jaxdl import new


def test_it_says_what_is_installed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    about.main()
    shown = capsys.readouterr().out
    assert "jaxdl 0.1.0" in shown
    assert "devices: 8 x cpu" in shown
    assert "yes test" in shown
    assert all(name in shown for name in about.EXTRAS)


def test_a_copy_imports_nothing_that_stays_behind(tmp_path):
    for name in ("glove", "lenet", "sweep"):
        folder = tmp_path / name
        written = new.copy_experiment(name, folder)
        assert written[0] == folder / f"{name}.py"
        for path in written:
            tree = ast.parse(path.read_text())
            modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            assert "experiments" not in modules
            assert "python -m experiments" not in path.read_text().split('"""')[1]


def test_a_copy_runs_by_itself(tmp_path):
    assert new.main(["activations", str(tmp_path / "mine")]) == 0
    out = tmp_path / "run"
    command = [sys.executable, "activations.py", "--out", str(out)]
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(new.__file__).parents[1])}
    subprocess.run(command, cwd=tmp_path / "mine", env=env, check=True, capture_output=True)
    assert (out / "result.json").exists()


def test_nothing_is_overwritten(tmp_path, capsys):
    assert new.main(["lenet", str(tmp_path)]) == 0
    (tmp_path / "lenet.py").write_text("mine")
    assert new.main(["lenet", str(tmp_path)]) == 2
    assert "exists; name another folder" in capsys.readouterr().err
    assert (tmp_path / "lenet.py").read_text() == "mine"


def test_all_of_them(tmp_path):
    written = new.copy_experiment("all", tmp_path)
    assert tmp_path / "experiments" / "peers" / "boxes.py" in written
    with pytest.raises(FileExistsError, match="name another folder"):
        new.copy_experiment("all", tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("lennet", "no experiment is called 'lennet'; there are lenet"),
        ("growth", "growth needs the folder experiments/workloads; copy them all"),
    ],
)
def test_what_cannot_be_copied(name, message, tmp_path, capsys):
    assert new.main([name, str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()
