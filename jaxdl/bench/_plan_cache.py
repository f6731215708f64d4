"""Compiled plans in the user's cache folder: compiling for a TPU can take minutes."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
from typing import Any

import jax

from jaxdl.bench._arguments import Argument
from jaxdl.bench._targets import Target

_FORMAT = 1  # of cached plans


def key_of(text: str, machine: Target, mesh: dict[str, int], arguments: list[Argument]) -> str:
    """Everything that the compiled part depends on."""
    versions = {}
    for name in ("jax", "jaxlib", "libtpu", "jax-cuda12-plugin", "nvidia-cuda-nvcc-cu12", "jaxdl"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    flags = {
        name: os.environ.get(name, "")
        for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    }
    flags["effort"] = str(getattr(jax.config, "jax_exec_time_optimization_effort", ""))
    names = [(one.name, one.kind, one.bytes) for one in arguments]
    parts = json.dumps([_FORMAT, machine.name, mesh, versions, flags, names, _source()])
    return hashlib.sha256(f"{parts}\n{text}".encode()).hexdigest()


def _source() -> str:
    """Of the files that read compiled programs: a plan is not older than what made it."""
    folder = pathlib.Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("_*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _folder() -> pathlib.Path:
    from jaxdl.data import cache_folder  # here, for timers need none of it

    return cache_folder() / "plans"


def read(key: str) -> dict[str, Any] | None:
    """The content kept under a key; None where there is none, or none that can be read."""
    try:
        return json.loads((_folder() / f"{key}.json").read_text())
    except (OSError, ValueError):
        return None  # not there, half written, or of another version


def write(key: str, content: dict[str, Any]) -> None:
    """Keeps a content under a key; others never see half of it."""
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        part = _folder() / f"{key}.{os.getpid()}.part"
        part.write_text(json.dumps(content))
        part.replace(_folder() / f"{key}.json")
    except OSError:
        pass  # a cache that cannot be written costs time only
