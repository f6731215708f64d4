"""The index from the notes, and the table of traps: what they name exists."""

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LINES = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8").splitlines()
ROWS = [line.strip("| ").split(" | ") for line in LINES if re.match(r"\| 00\d ", line)]
# Speed, sizes and how the library is used.
NOT_IN_THE_NOTES = {"__init__", "scaling", "benchmark", "growth", "compare_peers", "notebook"}


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_note_is_in_the_index():
    assert {row[0] for row in ROWS} == {"000", "001", "002", "003", "004"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_what_a_row_names_exists(row):
    _, _, blocks, test, *experiment = row
    assert quoted(blocks)
    for block in quoted(blocks):
        room, name = block.split(".")
        assert name in importlib.import_module(f"jaxdl.{room}").__all__, block
    assert all((ROOT / "tests" / path).is_file() for path in quoted(test))
    for name in quoted("".join(experiment)):
        assert (ROOT / "experiments" / f"{name}.py").is_file(), name


def test_every_experiment_is_in_the_index():
    named = {name for row in ROWS for name in quoted("".join(row[4:]))}
    found = {path.stem for path in (ROOT / "experiments").glob("*.py")}
    assert found - named - NOT_IN_THE_NOTES == set()


def test_every_trap_is_held_by_tests_that_exist():
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    exist = set(re.findall(r"^def (test_\w+)", "\n".join(tests), re.MULTILINE))
    table = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    traps = dict(re.findall(r"^\| (\d+) \|.*\| (`test.*) \|$", table, re.MULTILINE))
    assert list(traps) == [str(number) for number in range(1, 28)]
    for number, named in traps.items():
        assert not set(quoted(named)) - exist, number
    cited = set(re.findall(r"\bT(\d\d?)\b", "\n".join(tests)))
    assert cited <= set(traps)
