"""What the docstrings promise: every convention has its test, every example prints what it says."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest

from jaxdl import information, losses, metrics, models, nn, ops, train

TESTS = pathlib.Path(__file__).parents[1]
NUMBERS = ("losses", "metrics", "nn._norm", "ops._activations")
DOCUMENTED = {
    losses: "",
    metrics: "",
    information: "",
    ops: "_activations _signal",
    nn: "_norm _initialisers",
    models: "mlp",
    train: "_backprop",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_every_convention_has_its_test(name):
    text = importlib.import_module(f"jaxdl.{name}").__doc__
    promised = re.findall(r"`(test_\w+)`", text)
    written = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert promised
    assert [test for test in promised if f"def {test}(" not in written] == []


@pytest.mark.parametrize("room", DOCUMENTED, ids=lambda room: room.__name__)
def test_examples_print_what_they_say(room):
    names = [module.name for module in pkgutil.iter_modules(room.__path__)]
    for name in DOCUMENTED[room].split() or names:
        module = importlib.import_module(f"{room.__name__}.{name}")
        failed, _ = doctest.testmod(module)
        assert failed == 0, module
