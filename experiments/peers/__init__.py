"""The same work in jaxdl and in what its users would pick instead, side by side.

`experiments.compare_peers` runs every side in a process of its own and lets them take turns.
"""

import importlib

from experiments.peers._side import Row, Side

FILES = (
    "networks",
    "recurrent",
    "transformers",
    "vectors",
    "recommenders",
    "decoding",
    "boxes",
    "filters",
    "sweeps",
    "judging",
    "modules",
)


def rows() -> dict[str, Row]:
    """All comparisons by name."""
    found: dict[str, Row] = {}
    for file in FILES:
        found |= importlib.import_module(f"experiments.peers.{file}").ROWS
    return found


__all__ = ["Row", "Side", "rows"]
