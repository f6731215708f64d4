"""What a run is computed on: versions, devices, commit."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any


def environment() -> dict[str, Any]:
    """Versions, devices and commit: what has to be known to run it again.

    >>> told = environment()
    >>> told["backend"], told["processes"], "jax" in told["packages"]
    ('cpu', 1, True)
    """
    import jax

    packages = ("jaxdl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": {package: _version(package) for package in packages},
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout jaxdl is imported from, with a + if it was changed."""
    package = pathlib.Path(__file__).parent.parent
    if not (package.parent / ".git").exists():
        return None  # installed from a wheel: an enclosing repository would be somebody else's
    try:
        git = ["git", "-C", str(package), "describe", "--always", "--abbrev=12", "--dirty=+"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
