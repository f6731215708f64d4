"""The training loop, to be read downward: what is easy to get wrong, and nothing else."""

import contextlib
import dataclasses
import functools
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import data, parallel
from jaxdl._flops import count_flops
from jaxdl.metrics import Collection
from jaxdl.train._checkpoint import Checkpoints
from jaxdl.train._make import Metrics, Trainer, merge_metrics
from jaxdl.train._planning import Training, offer
from jaxdl.train._profile import Profile
from jaxdl.train._signals import Interrupted, Interrupts, agreed
from jaxdl.train._state import TrainState
from jaxdl.train._steps import Driver, check_splits, compile_steps
from jaxdl.train._stopping import EarlyStopping

_AGREE_EVERY = 16  # steps after which several processes agree on saving and stopping

AfterEpoch = Callable[[TrainState, dict[str, float]], TrainState | None]


class Recorder(Protocol):
    """Where `fit` writes what happens; `jaxdl.runs.Run` is one."""

    @property
    def checkpoints(self) -> Checkpoints | None:
        """Where the run is saved and continued from; None for a run that is not."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps one row of numbers."""

    def rewind(self, step: int, history: Sequence[Mapping[str, float]] = ()) -> None:
        """Forgets the rows after `step`, for training goes on there; those before are `history`."""

    def progress(self, done: int, total: int, text: str) -> None:
        """Shows how far it is, in steps."""

    def note(self, text: str) -> None:
        """Prints a line."""


class NonfiniteError(FloatingPointError):
    """Training gave up after steps whose loss or gradient was not finite, one after the other.

    `inspect.explain_nonfinite(error.trainer, error.state, error.batch)` says why; `runs.open` does
    and leaves the answer in the run folder as nonfinite.txt.

    Attributes:
        trainer: whose step it was.
        state: before the last of them, for their updates were skipped; but where a step after them
            went well before they were noticed, it has the parameters of that one.
        batch: of the last of them.
    """

    def __init__(self, steps: int, trainer: Trainer, state: TrainState, batch: Any) -> None:
        super().__init__(
            f"{steps} steps in a row had a loss or gradient that is not finite; the learning rate "
            "may be too high, or the data hold values that are not finite"
        )
        self.trainer, self.state, self.batch = trainer, state, batch


@dataclasses.dataclass
class Result:
    """What training leaves behind: a state, and one row of numbers per epoch.

    With early stopping, parameters and batch statistics of the state are those of the best epoch.
    """

    state: TrainState
    history: list[dict[str, float]]


def fit(
    trainer: Trainer,
    split: data.Dataset | data.Records,
    state: TrainState | None = None,
    *,
    epochs: int,
    batch_size: int,
    seed: int | None = 0,
    held_out: Mapping[str, data.Dataset | data.Records] | None = None,
    run: Recorder | None = None,
    stopping: EarlyStopping | None = None,
    after_epoch: AfterEpoch | None = None,
    layout: parallel.Layout | None = None,
    driver: Driver = "auto",
) -> Result:
    """Trains until every example was seen `epochs` times, from wherever `state.step` stands.

    >>> import optax
    >>> from jaxdl import train
    >>> from jaxdl.metrics import Mean
    >>> from jaxdl.objectives import Aux
    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), Aux({}, model_state)
    >>> trainer = train.make(objective, optax.sgd(0.25))
    >>> state = trainer.init(jax.random.key(0), params=jnp.array(0.0))
    >>> split = data.Dataset({"x": np.array([1.0, 3.0], np.float32)})
    >>> result = fit(trainer, split, state, epochs=3, batch_size=2)
    >>> result.state.params, [row["train/loss"] for row in result.history]
    (Array(1.75, dtype=float32), [5.0, 2.0, 1.25])

    Args:
        trainer: from `make`.
        split: the training data, in memory or read as it is needed.
        state: from `trainer.init`; its buffers are donated, so do not use it afterwards. By default
            `trainer.init(jax.random.key(seed), batch)` with the first batch.
        epochs: in total, those before `state.step` included.
        batch_size: examples per step, over all devices, and in evaluation.
        seed: of the order of the data; None keeps the order of the split.
        held_out: splits by name, evaluated after every epoch: {"test": splits["test"]} for numbers
            "test/...".
        run: gets the rows and the progress. If it has checkpoints, its latest one is continued, and
            the numbers, the order of the data and the parameters come out as if nothing had
            happened; SIGTERM and Ctrl-C then finish the step, save, and raise `Interrupted` (exit
            code 143 or 130).
        stopping: when to stop before `epochs`.
        after_epoch: `(state, row)`, called after every epoch: it may add numbers to the row, and
            what it returns, if anything, is the state to go on with (`optim.report_plateau`).
        layout: how the run is placed on its devices; `parallel.auto_layout` by default.
        driver: how batches reach the device, see `train.Driver`.
    Returns: the last state and the rows: "epoch", "train/..." for every scalar metric of the step
        merged over the epoch, those of `held_out`, "time/..." in seconds.
    Raises: NonfiniteError after as many non-finite steps in a row as the trainer's
        `skip_nonfinite`; CheckpointError for a checkpoint of something else; DataError for labels
        that are none of the classes; ValueError for a state that was trained from before, whose
        buffers are given away.
    """
    check_splits(split, held_out)
    last_step = data.num_steps(len(split), batch_size, epochs)
    steps_per_epoch = data.num_batches(len(split), batch_size)
    if state is None:
        example = data.host_batch(split, 0, batch_size=batch_size)
        state = trainer.init(jax.random.key(seed or 0), example)
    _check_not_given_away(state)
    layout = parallel.auto_layout(batch_size) if layout is None else layout
    keeps_best = stopping is not None  # offered to `--plan` and its like, which train nothing
    offer(Training(trainer, state, split, batch_size, seed, layout, last_step, keeps_best))
    state = layout.put_state(state)
    steps = compile_steps(
        trainer.step,
        state,
        split,
        batch_size=batch_size,
        seed=seed,
        driver=driver,
        layout=layout,
        held_out=held_out,
    )
    _tell(run, trainer, state, split, batch_size)
    # All that changes: three pytrees of arrays, and a record of plain numbers.
    best = _copy(_weights(state)) if keeps_best else None
    state, metrics, best, record = _continued(run, state, steps.metrics, best, steps_per_epoch)
    checkpoints = getattr(run, "checkpoints", None)
    position = int(state.step)
    window = 1 if jax.process_count() == 1 else _AGREE_EVERY  # most steps of one call

    def save() -> None:
        if checkpoints is not None and checkpoints.latest() != position:
            checkpoints.save(position, {"state": state, "metrics": metrics, "best": best}, record)

    def batch_at(k: int) -> Any:
        return data.host_batch(split, k, batch_size=batch_size, seed=seed)

    def look(before: Any, state: TrainState) -> None:
        """Reads what a call left for the host: the bar's loss, and steps that were skipped."""
        shown, end = before
        loss, skipped = jax.block_until_ready(shown)
        if state.skip_limit is not None and int(skipped[0]) >= state.skip_limit:
            last = state.replace(step=state.step - (position - end) - 1)
            raise NonfiniteError(int(skipped[0]), trainer, last, batch_at(end - 1))
        if run is not None:
            run.progress(position, last_step, f"loss {float(loss):.4f}")

    with (
        Interrupts(active=checkpoints is not None) as interrupts,
        contextlib.closing(Profile(run, position)) as profile,
    ):
        while position < last_step and not _exhausted(stopping, record):
            epoch_start, started = position, time.perf_counter()
            epoch_end = (position // steps_per_epoch + 1) * steps_per_epoch
            before = None
            while position < epoch_end:
                called = time.perf_counter()
                stop = min(epoch_end, position + window, _watched(run, trainer, state, batch_at))
                with profile.step(position):
                    state, metrics, position, shown = steps.take(
                        state, metrics, position, profile.limit(position, stop)
                    )
                profile.after(position, state, run)
                # The step before is looked at while this one runs.
                if before is not None:
                    look(before, state)
                before = shown, position
                # Calls of many steps grow to a quarter of a second: long enough to cost nothing,
                # short enough to be stopped between two. Several processes, whose clocks differ,
                # have to make the same calls.
                if jax.process_count() == 1 and time.perf_counter() - called < 0.25:
                    window *= 2
                signal, due = 0, False
                # To agree takes several processes as long as a small step.
                if jax.process_count() == 1 or position % _AGREE_EVERY == 0:
                    signal, due = agreed(interrupts.received, checkpoints)
                if signal and position < epoch_end:
                    break
                if due and position < epoch_end:
                    save()
            look(before, state)
            if position == epoch_end:
                row = {"epoch": float(epoch_end // steps_per_epoch), **scalars(metrics, "train/")}
                row |= _speed(steps.times, (position - epoch_start) * batch_size, started)
                row |= profile.taken()
                _tell_of_nonfinite(run, row, record, split)
                state, row = _held_out(trainer, state, row, held_out, batch_size, after_epoch)
                if stopping is not None and _improved(stopping, row, record):
                    best = _copy(_weights(state))
                record["history"].append(row)
                if run is not None:  # before the checkpoint: rows after it are dropped on resuming
                    run.write(position, row)
                save()
            signal, _ = agreed(interrupts.received, checkpoints)
            if signal and checkpoints is not None:
                save()
                checkpoints.wait()
                _note(run, f"stopped and saved at step {position}; run again to continue")
                raise Interrupted(128 + signal)
    if checkpoints is not None:
        checkpoints.wait()
    state = state if best is None else dataclasses.replace(state, **best)
    return Result(state, record["history"])


def evaluate(
    trainer: Trainer, state: TrainState, split: data.Dataset | data.Records, batch_size: int = 256
) -> Metrics:
    """Merges the metrics of `trainer.evaluate` over a split; every example counts exactly once.

    The last batch is padded and masked, so one program serves all. It sees the moving average of
    the parameters where the state keeps one. Streams of text need their own batch size.

    >>> import optax
    >>> from jaxdl import train
    >>> from jaxdl.metrics import Mean
    >>> from jaxdl.objectives import Aux
    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((batch["x"] - mean) ** 2, batch["mask"]), Aux({}, model_state)
    >>> trainer = train.make(objective, optax.sgd(0.1))
    >>> state = trainer.init(jax.random.key(0), params=jnp.array(1.0))
    >>> split = data.Dataset({"x": np.array([1.0, 2.0, 3.0], np.float32)})
    >>> evaluate(trainer, state, split, batch_size=2)["loss"].compute()  # 5 / 3
    Array(1.667, dtype=float32)
    """
    check_splits(split, {})
    batch_size = min(batch_size, len(split))
    step = jax.jit(trainer.evaluate)  # compiled once: jax keeps programs by their function
    merged: Metrics | None = None
    for batch in data.batches(split, batch_size):
        state, new = step(state, batch)
        merged = new if merged is None else _merge(merged, new)
    return {} if merged is None else merged


def scalars(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Computes metric states and keeps those that give one number, as Python floats.

    >>> from jaxdl.metrics import Mean
    >>> scalars({"loss": Mean.from_values(jnp.array([1.0, 3.0]))}, "test/")
    {'test/loss': 2.0}
    """
    values = Collection(dict(metrics)).compute()
    return {prefix + name: float(value) for name, value in values.items() if jnp.ndim(value) == 0}


_merge = jax.jit(merge_metrics)


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _weights(state: TrainState) -> dict[str, Any]:
    """What early stopping brings back."""
    return {"params": state.params, "model_state": state.model_state, "ema": state.ema}


def _check_not_given_away(state: TrainState) -> None:
    leaves = jax.tree.leaves((state.params, state.opt_state))
    if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves):
        raise ValueError(
            "this state was trained from before, and its buffers were given away: go on from the "
            "state of the result, or begin anew with trainer.init"
        )


def _continued(
    run: Recorder | None, state: TrainState, metrics: Metrics, best: Any, steps_per_epoch: int
) -> tuple[TrainState, Metrics, Any, dict[str, Any]]:
    """What the run's latest checkpoint holds, if there is one; and its record, or an empty one."""
    record: dict[str, Any] = {"history": [], "best_value": None, "bad_epochs": 0}
    checkpoints = getattr(run, "checkpoints", None)
    if checkpoints is not None and checkpoints.latest() is not None:
        arrays = {"state": state, "metrics": metrics, "best": best}
        arrays, record = checkpoints.restore(arrays)
        state, metrics, best = arrays["state"], arrays["metrics"], arrays["best"]
        _note(run, f"continuing from step {int(state.step)}")
    if run is not None:  # rows after the checkpoint are written again, lost ones before it put back
        rows = [{"step": int(r["epoch"]) * steps_per_epoch, **r} for r in record["history"]]
        run.rewind(int(state.step), rows)
    return state, metrics, best, record


def _speed(times: dict[str, float], examples: int, started: float) -> dict[str, float]:
    """Seconds of the epoch; those that the steps have counted go into one row."""
    seconds = time.perf_counter() - started
    row = {"time/train": seconds, **times, "time/examples_per_s": examples / seconds}
    times.update(dict.fromkeys(times, 0.0))
    return row


def _held_out(
    trainer: Trainer,
    state: TrainState,
    row: dict[str, float],
    held_out: Mapping[str, data.Dataset | data.Records] | None,
    batch_size: int,
    after_epoch: AfterEpoch | None,
) -> tuple[TrainState, dict[str, float]]:
    """Ends the row of an epoch: what is held out, then whatever the callback adds or changes."""
    started = time.perf_counter()
    for name, part in (held_out or {}).items():
        row |= scalars(evaluate(trainer, state, part, batch_size), f"{name}/")
    changed = None if after_epoch is None else after_epoch(state, row)
    row |= {"time/evaluate": time.perf_counter() - started, **_memory()}
    row = {name: float(value) for name, value in row.items()}
    return (state if changed is None else changed), row


def _exhausted(stopping: EarlyStopping | None, record: Mapping[str, Any]) -> bool:
    return stopping is not None and record["bad_epochs"] >= stopping.patience


def _improved(stopping: EarlyStopping, row: Mapping[str, float], record: dict[str, Any]) -> bool:
    """Whether this epoch is the best so far; the record counts those that are not."""
    if stopping.metric not in row:
        known = ", ".join(name for name in row if not name.startswith("time/"))
        raise ValueError(f"stopping metric {stopping.metric!r} is not among {known}")
    if stopping.improves(row[stopping.metric], record["best_value"]):
        record.update(best_value=row[stopping.metric], bad_epochs=0)
        return True
    record["bad_epochs"] += 1
    return False


def _watched(run: Recorder | None, trainer: Trainer, state: TrainState, batch_at: Any) -> int:
    """Shows the state to a run that watches; the step at which it wants to see the next."""
    every = getattr(run, "watch_every", None)
    if every is None or jax.process_count() > 1:
        return sys.maxsize
    position = int(state.step)
    if position % every == 0:
        run.look(position, trainer, state, batch_at(position))  # type: ignore[union-attr]
    return (position // every + 1) * every


def _memory() -> dict[str, float]:
    """Peak memory, where the device counts it."""
    memory = jax.local_devices()[0].memory_stats() or {}
    peak = "peak_bytes_in_use"
    return {"memory/peak_bytes": float(memory[peak])} if peak in memory else {}


def _tell(run: Any, trainer: Trainer, state: Any, split: Any, examples: int) -> None:
    """Tells a run that shows rates what a step works through; it counts only where it shows."""
    if hasattr(run, "expect"):
        batch = functools.partial(data.host_batch, split, 0, batch_size=examples)
        run.expect(examples, lambda: count_flops(trainer.step, state, batch()))


def _tell_of_nonfinite(
    run: Recorder | None, row: Mapping[str, float], record: Mapping[str, Any], split: Any
) -> None:
    """Says so where a loss is no number for the first time, and whether the data are to blame."""
    before = record["history"]
    if math.isfinite(row["train/loss"]) or (before and not math.isfinite(before[-1]["train/loss"])):
        return
    text = f"the loss of epoch {row['epoch']:.0f} is {row['train/loss']}"
    columns = {} if isinstance(split, data.Records) else split.columns
    for name, column in columns.items():
        if np.issubdtype(column.dtype, np.floating) and not np.isfinite(column).all():
            bad = ~np.isfinite(column).reshape(len(column), -1).all(axis=1)
            text += f"; column {name!r} holds NaN or infinities in {bad.sum()} of {len(bad)} rows"
            text += f", the first in row {bad.argmax()}"
    text += "; `train.make(skip_nonfinite=10)` leaves such steps out and ends after ten in a row"
    if run is None:
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    else:
        run.note(text)


def _note(run: Recorder | None, text: str) -> None:
    if run is not None:
        run.note(text)
