"""The README is short, its links lead somewhere, and its code runs as it stands there."""

import ast
import pathlib
import re

import equinox
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]


def test_it_is_read_in_a_minute():
    assert len(TEXT.splitlines()) <= 90
    assert len([line for line in CODE.splitlines() if line]) <= 12
    assert max(map(len, CODE.splitlines())) <= 100


def test_links_lead_to_files():
    targets = re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT)
    assert len(targets) >= 6
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_commands_name_modules_that_exist():
    modules = re.findall(r"python -m ([\w.]+)", TEXT)
    assert "experiments.lenet" in modules
    for module in set(modules) - {"pytest"}:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


COMPARED = re.compile(
    r"\d[\d.,]*\s?(?:x|times|%|percent)(?!\w)"
    r"|\b(?:faster|slower|better|worse|larger|smaller|fewer|more|less)\b[^.|]*\d"
    r"|\d[^.|]*\b(?:faster|slower|better|worse|more accurate)\b"
)
SURE = re.compile(r"\bn = \d|± ?\.?\d|\[\.?\d[\d.]*, ?\.?\d[\d.]*\]")


def unsure(text: str) -> list[str]:
    """Paragraphs and rows of tables that compare numbers without an interval or n.

    A table is sure as a whole where the paragraph before it says how often it was measured.
    """
    found, before = [], ""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        table = paragraph.lstrip().startswith("|")
        parts = paragraph.splitlines()[2:] if table else [" ".join(paragraph.split())]
        said = table and SURE.search(before)
        found += [p for p in parts if COMPARED.search(p) and not SURE.search(p) and not said]
        before = paragraph
    return found


def test_what_compares_numbers_is_found():
    bad = [
        "jaxdl is 3.6 times faster.",
        "It takes 40 % of the time",
        "fewer steps, 12 in all",
        "2x",
    ]
    assert [unsure(text) for text in bad] == [[text] for text in bad]
    good = [
        "3.6 [3.4, 3.9] times faster",
        "twice as fast, 2.0 ± .1 times",
        "5 % less (n = 5)",
        "Twelve lines of images `[B, H, W, C]`",
        "## Title\n\nMedians, n = 5 rounds.\n\n| a | b |\n|---|---|\n| LeNet | 2x |",
    ]
    assert [unsure(text) for text in good] == [[] for _ in good]
    table = "Some rounds.\n\n| a | b |\n|---|---|\n| LeNet | 2x |\n| MLP | 2x [1.9, 2.1] |"
    assert unsure(table) == ["| LeNet | 2x |"]


@pytest.mark.parametrize("name", ["README.md", "experiments/README.md", "experiments/SPEED.md"])
def test_every_comparison_says_how_sure_it_is(name):
    assert unsure((ROOT / name).read_text(encoding="utf-8")) == []


def test_every_ratio_of_the_table_of_speed_has_a_spread_or_n():
    text = (ROOT / "experiments" / "SPEED.md").read_text(encoding="utf-8")
    told, table = re.search(r"(.*?)\n\n(\| work .*?)\n\n", text, re.DOTALL).groups()
    rows = [row.strip("| ").split(" | ")[-1] for row in table.splitlines()[2:]]
    assert len(rows) > 15
    assert re.search(r"n = \d", told) or [row for row in rows if not SURE.search(row)] == []


class NnxNet(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(64, 10, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.dense(jnp.reshape(x, (len(x), -1)))


class EquinoxNet(equinox.Module):
    dense: equinox.nn.Linear

    def __call__(self, x):
        return self.dense(jnp.ravel(x))


MODULES = {
    "as it is": "models.MLP((64, 10))",
    "nnx": "NnxNet()",
    "equinox": "EquinoxNet(equinox.nn.Linear(64, 10, key=jax.random.key(0)))",
}


@pytest.mark.parametrize("module", MODULES)
def test_the_code_runs_and_learns_with_any_module(module, capsys):
    assert MODULES["as it is"] in CODE
    code = CODE.replace(MODULES["as it is"], MODULES[module])
    names = {"NnxNet": NnxNet, "EquinoxNet": EquinoxNet, "equinox": equinox, "jax": jax}
    exec(compile(code, "README.md", "exec"), names)
    printed = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
    assert printed["accuracy"] > 0.9
