"""Checkpoints: the whole state of a run on disk, atomically, while training goes on.

The one module that knows Orbax, so that its next interface touches one file.
"""

import pathlib
import time
import types
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp


class CheckpointError(ValueError):
    """A checkpoint that does not fit or cannot be read; the message lists what differs."""


class Checkpoints:
    """A folder of checkpoints, one sub-folder per step.

    Saving copies the arrays and returns; files are written in the background and renamed when they
    are complete, so that a process killed at any moment leaves the checkpoints before it usable.
    Use it as a context manager, or call `close`: what is being written is then waited for.

    >>> with Checkpoints("checkpoints") as checkpoints:
    ...     checkpoints.save(10, {"w": jnp.arange(3.0)}, {"history": []})
    ...     checkpoints.wait()
    ...     checkpoints.steps()
    ...     checkpoints.restore(like={"w": jnp.zeros(3)})  # the latest
    [10]
    ({'w': Array([0., 1., 2.], dtype=float32)}, {'history': []})

    Args:
        folder: made if it does not exist.
        keep: how many of the latest to keep.
        best: name of a number in the last row of the record's "history" by which one more is
            kept, the best so far.
        mode: whether "min" or "max" of it is best.
        every_seconds: how often `due` says that it is time to save within an epoch.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        *,
        keep: int = 2,
        best: str | None = None,
        mode: str = "min",
        every_seconds: float = 60.0,
    ) -> None:
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be min or max, got {mode!r}")
        self.folder = pathlib.Path(folder).absolute()
        self._every_seconds = every_seconds
        self._saved_at = time.monotonic()
        self._ocp = ocp
        self._best = best
        policies: list[Any] = [LatestN(keep)]
        if best is not None:
            policies.append(BestN(n=1, get_metric_fn=lambda m: m["best"], reverse=mode == "min"))
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy(policies), create=True
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def due(self) -> bool:
        """Whether the last save, or the opening, is `every_seconds` ago."""
        return time.monotonic() - self._saved_at > self._every_seconds

    def latest(self) -> int | None:
        """The step of the latest complete checkpoint, None if there is none."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """The steps that can be restored, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, arrays: Any, record: Mapping[str, Any]) -> None:
        """Saves a pytree of arrays and a JSON record as checkpoint `step`, in the background.

        The arrays are copied first, for the next step of training may be given their memory.
        """
        self._saved_at = time.monotonic()
        args = self._ocp.args
        items = {
            "arrays": args.StandardSave(_copy(arrays)),
            "record": args.JsonSave({"layout": _layout(arrays), **record}),
        }
        rows = record.get("history", [])
        metrics = {"best": float(rows[-1][self._best])} if self._best and rows else None
        # Orbax says False and saves nothing where the step is there already: then it must be this
        # very state, for steps are never taken twice.
        if not self._manager.save(step, args=args.Composite(**items), metrics=metrics):
            raise CheckpointError(f"{self.folder} already holds a checkpoint of step {step}")

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Reads a checkpoint into the structure, dtypes and shardings of `like`.

        Args:
            like: a pytree of arrays or `jax.ShapeDtypeStruct`s.
            step: which one; the latest if not given.
        Returns: the arrays and the record.
        Raises: CheckpointError naming the leaves that are missing, unexpected, or of another shape
            or dtype (Orbax alone would cast without a word), or the folder that cannot be read.
        """
        step = self.latest() if step is None else step
        if step is None or step not in self.steps():
            raise CheckpointError(f"{self.folder} holds the checkpoints {self.steps()}, not {step}")
        args = self._ocp.args
        abstract = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, like)
        where = self.folder / str(step)
        try:
            record = self._manager.restore(step, args=args.Composite(record=args.JsonRestore()))
            layout = record["record"].pop("layout")
        except Exception as error:  # whatever a damaged file makes Orbax raise
            raise CheckpointError(f"cannot read the checkpoint {where}: {error}") from error
        if differences := _compare(layout, _layout(like)):
            raise CheckpointError(f"{where} does not fit this run: {'; '.join(differences)}")
        try:
            restored = self._manager.restore(
                step, args=args.Composite(arrays=args.StandardRestore(abstract))
            )
        except Exception as error:
            raise CheckpointError(f"cannot read the checkpoint {where}: {error}") from error
        return restored["arrays"], record["record"]

    def wait(self) -> None:
        """Returns when everything saved so far is complete on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the folder."""
        self._manager.close()


def _layout(tree: Any) -> dict[str, str]:
    """Path, dtype and shape of every leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in leaves
    }


def _compare(there: Mapping[str, str], here: Mapping[str, str], most: int = 5) -> list[str]:
    differences = [f"{path} is missing there" for path in here if path not in there]
    differences += [f"{path} is not expected" for path in there if path not in here]
    differences += [
        f"{path} is {there[path]} there, {here[path]} here"
        for path in here
        if path in there and there[path] != here[path]
    ]
    more = len(differences) - most
    return differences[:most] + ([f"and {more} more"] if more > 0 else [])


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)
