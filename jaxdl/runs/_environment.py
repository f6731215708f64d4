"""What a run is computed on: versions, devices, commit."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import sys
from typing import Any

# What XLA, JAX, the collectives and the libraries of linear algebra read. Keys and passwords have
# no such names.
_VARIABLES = re.compile(
    r"(XLA|LIBTPU|TPU|JAX|NCCL|CUDA|CUDNN|CUBLAS|NVIDIA|TF|HIP|ROCR|OMP|KMP|GOMP)_\w+"
    r"|(OPENBLAS|MKL|BLIS|VECLIB_MAXIMUM|NUMEXPR)_NUM_THREADS|MALLOC_\w+|PYTHONHASHSEED"
)
_SETTINGS = (
    "jax_default_matmul_precision",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_default_device",
    "jax_platforms",
    "jax_disable_jit",
    "jax_debug_nans",
    "jax_compilation_cache_dir",
    "jax_cpu_collectives_implementation",
)


def environment() -> dict[str, Any]:
    """Versions, devices, commit and settings: what has to be known to run it again.

    >>> found = environment()
    >>> found["backend"], found["processes"], "jax" in found["packages"]
    ('cpu', 1, True)

    Returns: names and values as JSON has them. "variables" holds the variables of the process's
        environment that change what is computed, or how fast (those of XLA, JAX, NCCL, CUDA and of
        threads), and "settings" the precision and the other defaults of JAX itself.
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
        "variables": {
            name: os.environ[name] for name in sorted(os.environ) if _VARIABLES.fullmatch(name)
        },
        "settings": {name: _setting(getattr(jax.config, name, None)) for name in _SETTINGS},
    }


def _setting(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


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
