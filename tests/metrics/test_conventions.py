"""What the docstrings promise: every convention has its test."""

import importlib
import pathlib
import re

import pytest

TESTS = pathlib.Path(__file__).parents[1]
NUMBERS = ("losses", "metrics", "nn._norm", "ops._activations")


@pytest.mark.parametrize("name", NUMBERS)
def test_every_convention_has_its_test(name):
    text = importlib.import_module(f"jaxdl.{name}").__doc__
    promised = re.findall(r"`(test_\w+)`", text)
    written = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert promised
    assert [test for test in promised if f"def {test}(" not in written] == []
