"""Checkpoints: the whole state of a run on disk, atomically, while training goes on.

The one module that knows Orbax, so that its next interface touches one file.
"""

import contextlib
import logging
import os
import pathlib
import re
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import parallel
from jaxdl.train._checksums import find_damage, write

_logger = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint that does not fit or cannot be read or written; the message says why."""


class Checkpoints:
    """A folder of checkpoints, one sub-folder per step.

    Saving copies the arrays and returns; files are written in the background and renamed when they
    and their checksums are complete, so that a process killed at any moment leaves the checkpoints
    before it usable. Restoring checks every file first: where the latest checkpoint is damaged, the
    latest good one is used, one line of the log says so, and the damaged one is kept under the name
    damaged-STEP. Use it as a context manager, or call `close`: what is being written is then waited
    for. Several processes call every method together, on one shared folder.

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

    Raises: CheckpointError if the folder cannot be made or read.
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
        self._saving: int | None = None  # the step that is being written
        _silence_orbax()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=AnyPreservationPolicy(policies),
            create=True,
            async_options=ocp.options.AsyncOptions(
                # Runs in the first process, when all files are there and before the folder gets
                # its final name.
                post_finalization_callback=self._write_checksums,
                # Otherwise a folder that cannot be made leaves a thread waiting for it.
                create_directories_asynchronously=False,
            ),
        )
        if self.folder.exists() and not self.folder.is_dir():
            raise CheckpointError(f"{self.folder} is a file where a folder of checkpoints belongs")
        with _one_sentence(f"open the checkpoints in {self.folder}"):
            try:
                self._manager = ocp.CheckpointManager(self.folder, options=options)
            except (ValueError, TypeError, KeyError, AttributeError):  # numbers that are damaged
                if not self._set_damaged_aside():
                    raise
                self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:  # a save that fails as well does not hide the first error
            with contextlib.suppress(Exception):
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
        self.wait()  # raises what the save before may have run into
        self._saving = step
        with _one_sentence(f"save the checkpoint {self.folder / str(step)}"):
            saved = self._manager.save(step, args=args.Composite(**items), metrics=metrics)
        # Orbax says False and saves nothing where the step is there already: then it must be this
        # very state, for steps are never taken twice.
        if not saved:
            raise CheckpointError(f"{self.folder} already holds a checkpoint of step {step}")

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Reads a checkpoint into the structure, dtypes and shardings of `like`.

        Args:
            like: a pytree of arrays or `jax.ShapeDtypeStruct`s.
            step: which one; the latest that is not damaged if not given.
        Returns: the arrays and the record.
        Raises: CheckpointError naming the leaves that are missing, unexpected, or of another shape
            or dtype (Orbax alone would cast without a word), or the file that is damaged.
        """
        self.wait()
        if step is None:
            step = self._latest_good()
        elif step not in self.steps():
            raise CheckpointError(f"{self.folder} holds the checkpoints {self.steps()}, not {step}")
        elif damage := self._damage(step):
            raise CheckpointError(f"the checkpoint {self.folder / str(step)} is damaged: {damage}")
        args = self._ocp.args
        abstract = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, like)
        where = self.folder / str(step)
        with _one_sentence(f"read the checkpoint {where}"):
            items = args.Composite(record=args.JsonRestore())
            record = self._manager.restore(step, args=items)["record"]
            layout = record.pop("layout")
        if differences := _compare(layout, _layout(like)):
            raise CheckpointError(f"{where} does not fit this run: {'; '.join(differences)}")
        with _one_sentence(f"read the checkpoint {where}"):
            items = args.Composite(arrays=args.StandardRestore(abstract))
            restored = self._manager.restore(step, args=items)
        return restored["arrays"], record

    def wait(self) -> None:
        """Returns when everything saved so far is complete on disk.

        Raises: CheckpointError if it could not be written.
        """
        with _one_sentence(f"save the checkpoint {self.folder / str(self._saving)}"):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the folder.

        Raises: CheckpointError if what was being saved could not be written.
        """
        with _one_sentence(f"save the checkpoint {self.folder / str(self._saving)}"):
            self._manager.close()

    def _write_checksums(self) -> None:
        for folder in self.folder.glob(f"{self._saving}.*"):  # a suffix, until the commit
            write(folder)

    def _damage(self, step: int) -> str | None:
        """What is wrong with the files of a step: the same answer in every process."""
        first = jax.process_index() == 0
        damage = find_damage(self.folder / str(step)) if first else None
        if jax.process_count() == 1:
            return damage
        from jax.experimental import multihost_utils

        damaged = multihost_utils.broadcast_one_to_all(np.array(damage is not None))
        return damage or "process 0 says what is wrong" if damaged else None

    def _latest_good(self) -> int:
        """The latest step without damage; those after it are set aside, and a line says so."""
        damaged: dict[int, str] = {}
        for step in reversed(self.steps()):
            if (damage := self._damage(step)) is None:
                break
            damaged[step] = damage
        else:
            if not damaged:
                raise CheckpointError(f"{self.folder} holds no checkpoint")
            last = max(damaged)
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole; of {last}, {damaged[last]}"
            )
        if damaged:
            self._set_aside(damaged)
            self._manager.reload()
            if jax.process_index() == 0:
                outputs = "; ".join(f"checkpoint {k}: {text}" for k, text in damaged.items())
                _logger.warning("%s; using checkpoint %d instead (%s)", outputs, step, self.folder)
        return step

    def _set_damaged_aside(self) -> bool:
        steps = sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())
        damaged = {step: text for step in steps if (text := self._damage(step)) is not None}
        self._set_aside(damaged)
        if damaged and jax.process_index() == 0:
            outputs = "; ".join(f"checkpoint {k}: {text}" for k, text in damaged.items())
            _logger.warning("%s; set aside (%s)", outputs, self.folder)
        return bool(damaged)

    def _set_aside(self, steps: Mapping[int, str]) -> None:
        """Renames the folders of steps to damaged-STEP, so that they can be looked into."""
        if jax.process_index() == 0:
            for step in steps:
                names = [f"damaged-{step}", *(f"damaged-{step}.{k}" for k in range(1, 1000))]
                free = next(name for name in names if not (self.folder / name).exists())
                (self.folder / str(step)).rename(self.folder / free)
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("jaxdl checkpoints set aside")


@contextlib.contextmanager
def _one_sentence(what: str) -> Iterator[None]:
    """Turns whatever a damaged file or a full disk makes Orbax raise into one short sentence."""
    try:
        yield
    except Exception as error:
        # What says that another process is gone is left as it is: `cli.run` knows it.
        if isinstance(error, CheckpointError) or parallel.is_peer_failure(error):
            raise
        raise CheckpointError(f"cannot {what}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    outputs = str(error).strip() or type(error).__name__
    if number := re.search(r"os_error_code='(\d+)'", outputs):  # as TensorStore writes it
        return os.strerror(int(number[1]))
    outputs = outputs.splitlines()[0]
    return outputs if len(outputs) <= 300 else f"{outputs[:200]} ..."


class _RaisedAnyway(logging.Filter):
    """Drops the errors that Orbax logs with pages of traceback: it raises them as well.

    And what it says of a save that a kill cut off, which is left out by itself.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if "orbax" not in record.pathname:
            return True
        cut_off = "Metadata file does not exist" in record.getMessage()
        return record.levelno < logging.ERROR and not cut_off


_raised_anyway = _RaisedAnyway()


def _silence_orbax() -> None:
    logging.getLogger("absl").addFilter(_raised_anyway)  # adding it again changes nothing


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
