"""What a side of a comparison is."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Side:
    """One library's share of a comparison, built and ready.

    Attributes:
        work: what is timed; done when it returns, or returns JAX arrays to wait for.
        items: that one call works through.
        result: what it learned or computed, to be equal on both sides within `Row.tolerance`.
    """

    work: Callable[[], Any]
    items: float
    result: float


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        sides: by library, what builds its side; the argument says whether a tiny size is wanted.
            The first is jaxdl.
        unit: of the items.
        tolerance: relative difference of the results that counts as equal.
        packages: that the peers need.
    """

    sides: Mapping[str, Callable[[bool], Side]]
    unit: str
    tolerance: float
    packages: tuple[str, ...] = ("torch",)
