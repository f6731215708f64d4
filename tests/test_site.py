"""The site's pages name what exists. The build itself, which runs them, is a step of `.ci/run`."""

import ast
import importlib
import importlib.util
import json
import pathlib
import re
import shlex

import pytest

from tests import test_docstrings, test_index

ROOT = pathlib.Path(__file__).parents[1]
SITE = ROOT / ".github" / "site"
PAGES = SITE / "pages"
NOTEBOOKS = sorted(PAGES.rglob("*.py"))
TEXTS = [*NOTEBOOKS, *sorted(PAGES.rglob("*.md")), ROOT / ".github" / "CONTRIBUTING.md"]
# Made while building, by the hooks.
MADE = {"conventions.md", "where_others_go_wrong.md", "results.md", "speed.md", "gallery.jpg"}
DEPENDENCIES = {"mkdocs", "pytest"}  # of the extras
LAUNCH = ("cli.py", "parallel/_processes.py")  # options that every experiment has


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: pathlib.Path) -> str:
    """What a page says, without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        cells = re.split(r"^# %%", text, flags=re.M)
        texts = [cell.split("\n", 1)[1] for cell in cells if cell.startswith(" [markdown]")]
        text = re.sub(r"^# ?", "", "\n".join(texts), flags=re.M)
    return text


def exists(address: str, page: pathlib.Path) -> bool:
    """Whether the page of a link stands in the folder, or a hook makes it."""
    target = (page.parent / address).resolve().relative_to(PAGES).as_posix()
    if target in MADE or (PAGES / target).is_file():
        return True
    if (PAGES / target).with_suffix(".py").is_file() and target.endswith(".md"):
        return True
    if found := re.fullmatch(r"sources/(.*)\.md", target):
        return (ROOT / f"{found[1]}.py").is_file()
    found = re.fullmatch(r"reference/(.*)\.md", target)
    return found is not None and (found[1] == "index" or room(found[1]) is not None)


def room(name: str):
    try:
        return importlib.import_module(f"jaxdl.{name}")
    except ImportError:
        return None


def test_every_page_of_the_navigation_exists_and_every_notebook_is_in_it():
    text = (SITE / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/]+\.md", text[text.index("\nnav:") :])
    assert [page for page in listed if not exists(page, PAGES / "index.md")] == []
    made = {path.relative_to(PAGES).with_suffix(".md").as_posix() for path in NOTEBOOKS}
    assert made - set(listed) == set()


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_lead_somewhere(path):
    page = PAGES / "contributing.md" if path.name == "CONTRIBUTING.md" else path
    links = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    for link in links:
        address, _, anchor = link.partition("#")
        if address.startswith("http"):
            continue
        assert exists(address, page), link
        if anchor.startswith("jaxdl."):
            where, _, name = anchor.removeprefix("jaxdl.").rpartition(".")
            assert name in room(where).__all__, link


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_the_names_that_a_page_uses_exist(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "jaxdl"
        for alias in node.names
    }
    assert all(room(name) for name in imported.values())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        name = node.value.id
        if name in imported and not is_local(tree, name):
            assert node.attr in room(imported[name]).__all__, f"{name}.{node.attr}"


def is_local(tree: ast.Module, name: str) -> bool:
    """Whether a name of a room is also an argument somewhere (`train`, say)."""
    return any(isinstance(node, ast.arg) and node.arg == name for node in ast.walk(tree))


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_no_measured_number_is_typed_by_hand(path):
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$|```.*?```", "", prose(path), flags=re.S)
    assert test_docstrings.measured_numbers(text) == []


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_commands_can_be_given(path):
    """Modules and files exist, and an experiment has the options."""
    blocks = re.findall(r"```console\n(.*?)```", prose(path), flags=re.S)
    for line in re.findall(r"^\s*\$ (.*)$", "\n".join(blocks), flags=re.M):
        words = shlex.split(line, comments=True)
        if words[:2] != ["python", "-m"]:
            assert words[0] in ("pip", "ruff", "mypy", "git"), line
            continue
        module, rest = words[2], words[3:]
        if module.startswith("experiments."):
            source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
            shared = "".join((ROOT / "jaxdl" / file).read_text() for file in LAUNCH)
            for option in (word[2:].replace("-", "_") for word in rest if word.startswith("--")):
                assert option == "help" or re.search(rf"\b{option}\b", source + shared), line
        else:
            known = module in DEPENDENCIES or importlib.util.find_spec(module) is not None
            assert known, line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_every_figure_has_words(path):
    """The last line of a cell that draws is the figure; the cell says what is to be seen."""
    cells = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.M)
    for cell in cells:
        lines = [line for line in cell.rstrip().splitlines() if not line.startswith("#")]
        last = ast.parse("\n".join(lines[1:])).body[-1:] if not cell.startswith(" [") else []
        drawn = [ast.unparse(node) for node in last if isinstance(node, ast.Expr)]
        if any(text == "figure" or text.startswith("plots.") for text in drawn):
            assert re.match(r' alt="[^"]{20,}"\n', cell), drawn


def test_every_row_of_the_index_belongs_to_a_subject():
    told = set()
    for path in (PAGES / "subjects").glob("*.py"):
        head = path.read_text(encoding="utf-8").split("# ---")[1]
        head = " ".join(head.replace("\n#", " ").split())
        assert ": " not in re.search(r"title: (.*) rows:", head)[1], "no YAML"
        for pattern in json.loads(re.search(r"rows: (\[.*\])", head)[1]):
            rows = [row[1] for row in test_index.ROWS if re.search(pattern, section(row[1]), re.I)]
            assert rows, f"{path.name}: {pattern}"
            told |= set(rows)
    assert {row[1] for row in test_index.ROWS} - told == set()


def section(text: str) -> str:
    """What a row is called without its numbers; as `hooks/house.py` reads it."""
    return re.sub(r"^[\d.,\- ]+", "", text).strip()
