"""Early stopping: Prechelt, Early stopping - but when?, 1998."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Stops when a held-out number has not improved for `patience` epochs; the best weights win.

    >>> stopping = EarlyStopping("test/loss", patience=3, min_delta=0.01)
    >>> stopping.improves(0.50, best=0.52), stopping.improves(0.515, best=0.52)
    (True, False)

    Args:
        metric: a name among the numbers of `evaluate`, "test/loss" say.
        patience: epochs without improvement that are still waited for, at least 1.
        mode: whether a smaller ("min") or greater ("max") number is better.
        min_delta: how much better it has to be to count.
    """

    metric: str
    patience: int
    mode: Literal["min", "max"] = "min"
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, got {self.patience}")
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode must be min or max, got {self.mode!r}")
        if self.min_delta < 0:
            raise ValueError(f"min_delta must not be negative, got {self.min_delta}")

    def improves(self, value: float, best: float | None) -> bool:
        """Whether `value` beats `best`; a number that is not finite never does."""
        if value != value:
            return False
        if best is None:
            return True
        gain = best - value if self.mode == "min" else value - best
        return gain > self.min_delta
