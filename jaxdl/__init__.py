"""jaxdl: deep-learning research in JAX as pure functions.

Every sub-package is imported on first use, so that `import jaxdl` costs nothing:

    from jaxdl import losses, metrics, models, objectives, train

The rooms, each of which may use the ones before it: `ops`, `information`, `losses`, `metrics`,
`nn`, `models`, `optim`, `classical`, `decode`, `data`, `parallel`, `objectives`, `train`,
`inspect`, `word_vectors`, `recommenders`, `bench`, `plots`, `runs`, `cli`, `new`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "bench",
    "classical",
    "cli",
    "data",
    "decode",
    "information",
    "inspect",
    "losses",
    "metrics",
    "models",
    "new",
    "nn",
    "objectives",
    "ops",
    "optim",
    "parallel",
    "plots",
    "recommenders",
    "runs",
    "train",
    "word_vectors",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"jaxdl.{name}")
    raise AttributeError(f"module 'jaxdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
