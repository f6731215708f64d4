"""A part of a run: one of several trainings that are one experiment."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxdl.runs._record import Run
    from jaxdl.train import Checkpoints


class Part:
    """A recorder for one of the trainings of a run; made by `Run.part`.

    Its rows are rows of the run, their names prefixed with "NAME/", and are not printed; its
    checkpoints are a folder of their own beside those of the run.
    """

    def __init__(self, run: "Run", name: str) -> None:
        self._run, self._name = run, name
        self._checkpoints: Checkpoints | None = None

    @property
    def checkpoints(self) -> "Checkpoints":
        """Where the part is saved and continued from."""
        if self._checkpoints is None:
            self._checkpoints = self._run._checkpoints_in(f"checkpoints/{self._name}")
        return self._checkpoints

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends one row of numbers."""
        self._run._append(step, {f"{self._name}/{name}": v for name, v in values.items()})

    def rewind(self, step: int, history: Sequence[Mapping[str, float]] = ()) -> None:
        """Drops this part's rows after `step` and puts back those of `history` that are missing."""
        named = [
            {"step": row["step"]}
            | {f"{self._name}/{name}": v for name, v in row.items() if name != "step"}
            for row in history
        ]
        self._run._rewind(step, named, self._name)

    def expect(self, examples: int, flops: Callable[[], float]) -> None:
        """Tells the progress bar of the run what a step of this part works through."""
        self._run.expect(examples, flops)

    def progress(self, done: int, total: int, text: str) -> None:
        """Moves the progress bar of the run."""
        self._run.progress(done, total, f"{self._name} {text}")

    def note(self, text: str) -> None:
        """Prints a line."""
        self._run.note(f"{self._name}: {text}")

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
