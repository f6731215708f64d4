"""Other people's implementations, which the tests compare with."""

import importlib
import os
from types import ModuleType

import pytest


def reference(name: str) -> ModuleType:
    """Imports `name`; without it the module's tests are skipped, and in CI they fail."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{name} is not installed", allow_module_level=True)
