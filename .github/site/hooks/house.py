"""The house as its files tell it, read without importing them: rooms, names, docstrings, rows."""

import ast
import functools
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[3]
LAYERS = {  # the order of the house in six floors, for the picture
    "arrays": ("ops", "information", "losses", "metrics"),
    "networks": ("nn", "models", "optim", "classical", "decode"),
    "data and machines": ("data", "parallel"),
    "training": ("objectives", "train", "inspect"),
    "wings": ("word_vectors", "recommenders"),
    "instruments": ("bench", "plots", "runs", "cli"),
}


def read(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def docstring(path: pathlib.Path) -> str:
    return ast.get_docstring(read(path)) or ""


def source_of(room: str) -> pathlib.Path:
    """The file that shows what a room holds."""
    folder = ROOT / "jaxdl" / room.replace(".", "/")
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def names_of(room: str) -> list[str]:
    """The names in `__all__` of a room."""
    for node in read(source_of(room)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


@functools.cache
def rooms() -> tuple[str, ...]:
    """The rooms in the order of the house, sub-rooms after their room."""
    text = docstring(ROOT / "jaxdl" / "__init__.py")
    found: list[str] = []
    for room in text[text.index("The rooms") :].split("`")[1::2]:
        inside = sorted((ROOT / "jaxdl" / room).glob("*/__init__.py"))
        found += [room, *(f"{room}.{path.parent.name}" for path in inside)]
    return tuple(found)


def rooms_imported(room: str) -> set[str]:
    """The rooms that the files of a room import, at the top or inside a function."""
    top = ROOT / "jaxdl" / room
    found = set()
    for path in sorted(top.rglob("*.py")) if top.is_dir() else [top.with_suffix(".py")]:
        for node in ast.walk(read(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jaxdl":
                parts = (node.module or "").split(".")
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return {name for name in found if name in rooms() and name != room}


@functools.cache
def index_rows() -> tuple[tuple[str, str, str, str], ...]:
    """Rows (section, blocks, tests, experiments) of the table that leads from subject to code."""
    lines = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| 00\d ", line)]
    # The last cell may be empty. Numbers of sections say nothing without the text they count.
    padded = [[*row, ""][1:5] for row in rows]
    return tuple((re.sub(r"^[\d.,\- ]+", "", a).strip(), b, c, d) for a, b, c, d in padded)


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def experiments() -> list[str]:
    return sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))


@functools.cache
def where_tests_are() -> dict[str, str]:
    """The file, below `tests`, of every test by its name."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M):
            found[name] = path.relative_to(ROOT / "tests").as_posix()
    return found
