"""The order of the rooms: each imports only the ones before it, and shows exactly `__all__`."""

import ast
import importlib
import inspect
import pathlib
import re

import pytest

import jaxdl

ORDER = ["ops", "information", "losses", "metrics", "nn", "models", "optim", "classical", "decode"]
ORDER += ["data", "parallel", "objectives", "train", "inspect", "word_vectors", "recommenders"]
ORDER += ["bench", "plots", "runs", "cli", "new"]
DATA = ["data.images", "data.readers", "data.tabular", "data.text"]
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


@pytest.mark.parametrize("room", ORDER + DATA)
def test_public_names_are_those_of_all_and_are_documented(room):
    module = importlib.import_module(f"jaxdl.{room}")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{room}.{name} has no docstring"


# British forms, with a mark in each so that this list is not found by what looks for them.
BRITISH = """colo~ur gre~y cent~re catalo~gue neighbo~ur behavio~ur favo~ur hono~ur learn~t spel~t
label~led label~ling model~ling cancel~led travel~led licen~ce judge~ment arte~fact analy~se
normali~s initiali~s locali~s standardi~s factori~s minimi~s maximi~s optimi~s equali~s quanti~s
binari~s regulari~s penali~s generali~s vectori~s memori~s recogni~s summari~s organi~s tokeni~s
visuali~s parametri~s lineari~s discreti~s seriali~s synchroni~s finali~s randomi~s"""
BRITISH = re.compile("|".join(BRITISH.replace("~", "").split()), re.IGNORECASE)


def public_names(room: str) -> set[str]:
    """Names of a room, of the parameters of its functions and of the fields of its classes."""
    module = importlib.import_module(f"jaxdl.{room}")
    found = set(module.__all__)
    for value in (getattr(module, name) for name in module.__all__):
        members = [value]
        if inspect.isclass(value):
            found |= {n for n in vars(value) if not n.startswith("_")}
            found |= set(getattr(value, "__annotations__", {}))
            members += [v for n, v in vars(value).items() if inspect.isfunction(v) and n[0] != "_"]
        for member in members:
            if inspect.isfunction(member):
                found |= set(inspect.signature(member).parameters)
    return found


@pytest.mark.parametrize("room", ORDER + DATA)
def test_public_names_are_spelled_the_american_way(room):
    assert {name for name in public_names(room) if BRITISH.search(name)} == set()


def test_files_are_spelled_the_american_way():
    folders = [PACKAGE, PACKAGE.parent / "experiments", PACKAGE.parent / "tests"]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    assert [path for path in paths if BRITISH.search(path.stem)] == []


def test_the_british_list_finds_what_it_is_for():
    for word in ("colo" + "ur", "_initiali" + "sers", "Normali" + "se", "GRE" + "Y"):
        assert BRITISH.search(word), word


@pytest.mark.parametrize("room", ORDER + DATA)
def test_no_docstring_cites_a_note_by_number(room):
    module = importlib.import_module(f"jaxdl.{room}")
    texts = [module.__doc__ or ""]
    texts += [inspect.getdoc(getattr(module, name)) or "" for name in module.__all__]
    assert not [text for text in texts if re.search(r"\bnotes? 00\d", text, re.IGNORECASE)]
