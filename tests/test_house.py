"""The order of the rooms: each imports only the ones before it, and shows exactly `__all__`."""

import ast
import importlib
import inspect
import pathlib

import pytest

import jaxdl

ORDER = ["ops", "information", "losses", "metrics", "nn", "models", "optim", "classical", "decode"]
ORDER += ["data", "parallel", "objectives", "train", "bench", "plots", "runs", "cli"]
PACKAGE = pathlib.Path(jaxdl.__file__).parent


def rooms_imported(path: pathlib.Path) -> set[str]:
    """Names of the rooms that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxdl"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jaxdl.")}
    return found


@pytest.mark.parametrize("room", ORDER)
def test_imports_point_one_way(room):
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else []
    files += (PACKAGE / room).rglob("*.py")
    assert files
    later = set(ORDER[ORDER.index(room) + 1 :]) | {"experiments"}
    for path in files:
        assert not rooms_imported(path) & later, path


def test_every_room_is_in_the_order():
    assert sorted(ORDER) == sorted(jaxdl.__all__)
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert {room for room in rooms if not room.startswith("_")} == set(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_public_names_are_those_of_all_and_are_documented(room):
    module = importlib.import_module(f"jaxdl.{room}")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{room}.{name} has no docstring"
