"""The index from the notes says what is so: the experiment of a row uses its blocks.

And what the table of traps names exists.
"""

import importlib
import pathlib
import re

import pytest

from tests import uses as source

ROOT = pathlib.Path(__file__).parents[1]
LINES = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8").splitlines()
ROWS = [line.strip("| ").split(" | ") for line in LINES if re.match(r"\| 00\d ", line)]
# Speed, sizes, how the library is used, and how sure a probability is.
NOT_IN_THE_NOTES = {"scaling", "benchmark", "growth", "compare_peers", "notebook", "calibration"}
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
OPEN = " (open)"  # after a block that no experiment uses yet
MOST_OPEN = 1  # goes down only


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def quoted_before(cell: str, mark: str) -> list[str]:
    return re.findall(rf"`([^`]+)`{re.escape(mark)}", cell)


def uses(experiment: str, block: str) -> bool:
    room, _, name = block.rpartition(".")
    return source.uses(f"experiments.{experiment}", room, name)


def test_every_note_is_in_the_index():
    assert {row[0] for row in ROWS} == {"000", "001", "002", "003", "004"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_what_a_row_names_exists(row):
    _, _, blocks, test, *experiment = row
    assert quoted(blocks)
    for block in quoted(blocks):
        room, _, name = block.rpartition(".")
        assert name in importlib.import_module(f"jaxdl.{room}").__all__, block
    assert all((ROOT / "tests" / path).is_file() for path in quoted(test))
    for name in quoted("".join(experiment)):
        assert (ROOT / "experiments" / f"{name}.py").is_file(), name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_the_experiment_of_a_row_uses_its_blocks(row):
    """Every block by some experiment of the row, every experiment some block of it."""
    named, still_open = quoted("".join(row[4:])), set(quoted_before(row[2], OPEN))
    blocks = [block for block in quoted(row[2]) if block not in still_open]
    used = {name: {block for block in blocks if uses(name, block)} for name in named}
    assert set(blocks) - set().union(*used.values()) == set()
    assert [name for name in named if not used[name]] == []


def test_what_is_marked_open_is_used_by_no_experiment():
    still_open = {block for row in ROWS for block in quoted_before(row[2], OPEN)}
    assert len(still_open) <= MOST_OPEN
    for block in still_open:
        assert [name for name in EXPERIMENTS if uses(name, block)] == [], block


def test_use_is_followed_through_modules_and_not_imagined():
    """By itself, through a model, through the engine, through a table; and not by its room."""
    for name, block in (
        ("lenet", "models.LeNet"),
        ("lenet", "ops.conv"),  # by the model, whose layer is `nn.Conv`
        ("lenet", "optim.weights_only"),  # named nowhere near it
        ("activations", "ops.relu"),  # `jax.nn.relu` under our name
        ("word_vectors", "word_vectors.word2vec"),  # a module
        ("char_lm", "nn.GRUCell"),  # from a table of cells
    ):
        assert uses(name, block) == (block != "optim.weights_only"), block
    assert not uses("lenet", "nn.LSTM")
    assert not uses("lenet", "models.ResNet")
    assert not uses("edges", "ops.nms")


def test_every_experiment_is_in_the_index():
    named = {name for row in ROWS for name in quoted("".join(row[4:]))}
    assert set(EXPERIMENTS) - named - NOT_IN_THE_NOTES == set()


def test_every_trap_is_held_by_tests_that_exist():
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    exist = set(re.findall(r"^def (test_\w+)", "\n".join(tests), re.MULTILINE))
    table = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    traps = dict(re.findall(r"^\| (\d+) \|.*\| (`test.*) \|$", table, re.MULTILINE))
    numbers = [int(number) for number in traps]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 28)) <= set(numbers)
    for number, named in traps.items():
        assert not set(quoted(named)) - exist, number
    cited = set(re.findall(r"\bT(\d\d?)\b", "\n".join(tests)))
    assert cited <= set(traps)
