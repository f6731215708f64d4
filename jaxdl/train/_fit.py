"""The training loop: what is easy to get wrong, and nothing else."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import data, parallel
from jaxdl.metrics import Collection
from jaxdl.train._checkpoint import Checkpoints
from jaxdl.train._drivers import Driver, Program, Shown, make_program
from jaxdl.train._planning import offer
from jaxdl.train._signals import Interrupted, Interrupts
from jaxdl.train._state import TrainState
from jaxdl.train._step import EvalStep, Metrics, Step, merge_metrics
from jaxdl.train._stopping import EarlyStopping

_AGREE_EVERY = 16  # steps


class Recorder(Protocol):
    """Where `fit` writes what happens; `jaxdl.runs.Run` is one."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps one row of numbers."""

    def rewind(self, step: int, history: Sequence[Mapping[str, float]] = ()) -> None:
        """Forgets the rows after `step`, for training goes on there; those before are `history`."""

    def progress(self, done: int, total: int, text: str) -> None:
        """Shows how far it is, in steps."""

    def note(self, text: str) -> None:
        """Tells the user something."""


@dataclasses.dataclass
class Result:
    """What training leaves behind: a state, and one row of numbers per epoch.

    With early stopping, parameters and batch statistics of the state are those of the best epoch.
    """

    state: TrainState
    history: list[dict[str, float]]


def fit(
    step: Step,
    state: TrainState,
    split: data.Split | data.Records,
    *,
    epochs: int,
    batch_size: int,
    seed: int | None = 0,
    evaluate: Callable[[TrainState], Mapping[str, float]] | None = None,
    observe: Callable[[TrainState], Mapping[str, float]] | None = None,
    run: Recorder | None = None,
    driver: Driver = "auto",
    layout: parallel.Layout | None = None,
    checkpoints: Checkpoints | None = None,
    save_seconds: float = 60.0,
    stopping: EarlyStopping | None = None,
    max_skipped: int | None = None,
    after_epoch: Callable[[TrainState, Mapping[str, float]], TrainState] | None = None,
) -> Result:
    """Trains until every example was seen `epochs` times, from wherever `state.step` stands.

    >>> import optax
    >>> from jaxdl.metrics import Mean
    >>> from jaxdl.train import Aux, make_step
    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), Aux({}, model_state)
    >>> tx = optax.sgd(0.25)
    >>> state = TrainState.create(params=jnp.array(0.0), tx=tx, key=jax.random.key(0))
    >>> split = data.Split({"x": np.array([1.0, 3.0], np.float32)})
    >>> result = fit(make_step(objective, tx), state, split, epochs=3, batch_size=2)
    >>> result.state.params, [row["train/loss"] for row in result.history]
    (Array(1.75, dtype=float32), [5.0, 2.0, 1.25])

    Args:
        step: from `make_step`.
        state: from `TrainState.create`; its buffers are donated, so do not use it afterwards.
        split: the training data, in memory or read as it is needed.
        epochs: in total, those before `state.step` included.
        batch_size: examples per step, over all devices.
        seed: of the order of the data; None keeps the order of the split.
        evaluate: called after each epoch; its numbers join the row of the epoch.
        observe: likewise, for what is not a result: the learning rate, say.
        run: gets the rows and the progress.
        driver: how batches reach the device, see `train.Driver`.
        layout: how the run lies on its devices; `parallel.auto_layout` by default.
        checkpoints: where to save; the latest one there is continued, and the numbers, the order of
            the data and the parameters come out as if nothing had happened. With it SIGTERM and
            Ctrl-C finish the step, save, and raise `Interrupted` (exit code 143 or 130).
        save_seconds: saves this often within an epoch, besides after every epoch.
        stopping: when to stop before `epochs`.
        max_skipped: with the step's `guard`, how many non-finite steps in a row are too many.
        after_epoch: `(state, row) -> state`, for what reacts to a held-out number between epochs
            (`optim.report_plateau`).
    Returns: the last state and the rows: "epoch", "train/..." for every scalar metric of the step
        merged over the epoch, the numbers of `evaluate` and `observe`, "time/..." in seconds.
    Raises: FloatingPointError after `max_skipped` non-finite steps in a row; CheckpointError for a
        checkpoint of something else.
    """
    offer(step, state, split, batch_size, layout)
    total = data.num_steps(len(split), batch_size, epochs)
    steps_per_epoch = data.num_batches(len(split), batch_size)
    layout = parallel.auto_layout(batch_size) if layout is None else layout
    state = layout.put_state(state)
    program = make_program(
        step, state, split, batch_size=batch_size, seed=seed, driver=driver, layout=layout
    )
    best = None if stopping is None else _copy(_weights(state))
    live = _Live(state, program.empty, best, {"history": [], "best_value": None, "bad_epochs": 0})
    del state  # its buffers are donated from here on
    if checkpoints is not None:
        live.resume(checkpoints, run, steps_per_epoch)
    save_at = time.monotonic() + save_seconds

    def finished() -> bool:
        exhausted = stopping is not None and live.record["bad_epochs"] >= stopping.patience
        return exhausted or live.position >= total

    with Interrupts(active=checkpoints is not None) as interrupts:
        while not finished():
            clock, first = _Clock(), live.position
            end = (first // steps_per_epoch + 1) * steps_per_epoch
            for shown in _advance(program, live, end):
                _check_skipped(shown, max_skipped)
                if run is not None:
                    run.progress(live.position, total, f"loss {float(shown.loss):.4f}")
                stop, due = _agreed(live.position, interrupts.received, time.monotonic() > save_at)
                if live.position < end and stop:
                    break
                if checkpoints is not None and due:
                    live.save(checkpoints)
                    save_at = time.monotonic() + save_seconds
            if live.position == end:
                row = {"epoch": float(end // steps_per_epoch), **scalars(live.metrics, "train/")}
                row.update(program.times(clock.lap(), (end - first) * batch_size))
                row.update(_measured(live.state, clock, evaluate, observe))
                if after_epoch is not None:
                    live.state = after_epoch(live.state, row)
                if stopping is not None:
                    live.note_best(stopping, row)
                live.record["history"].append(row)
                if run is not None:  # before the checkpoint: rows after it are dropped on resuming
                    run.write(live.position, row)
                if checkpoints is not None:
                    live.save(checkpoints)
                    save_at = time.monotonic() + save_seconds
            stop, _ = _agreed(0, interrupts.received, False)
            if checkpoints is not None and stop:
                live.save(checkpoints)
                checkpoints.wait()
                if run is not None:
                    run.note(f"stopped and saved at step {live.position}; run again to continue")
                raise Interrupted(128 + stop)
    if checkpoints is not None:
        checkpoints.wait()
    state = live.state if live.best is None else dataclasses.replace(live.state, **live.best)
    return Result(state, live.record["history"])


@dataclasses.dataclass
class _Live:
    """All that changes while training: three pytrees of arrays, and a record of plain numbers."""

    state: TrainState
    metrics: Metrics  # merged since the epoch began
    best: Any  # weights of the best epoch, with early stopping
    record: dict[str, Any]

    def __post_init__(self) -> None:
        self.position = int(self.state.step)

    def save(self, checkpoints: Checkpoints) -> None:
        if checkpoints.latest() != self.position:
            arrays = {"state": self.state, "metrics": self.metrics, "best": self.best}
            checkpoints.save(self.position, arrays, self.record)

    def resume(self, checkpoints: Checkpoints, run: Recorder | None, steps_per_epoch: int) -> None:
        if checkpoints.latest() is not None:
            arrays = {"state": self.state, "metrics": self.metrics, "best": self.best}
            arrays, self.record = checkpoints.restore(arrays)
            self.state, self.metrics, self.best = (arrays[k] for k in ("state", "metrics", "best"))
            self.position = int(self.state.step)
            if run is not None:
                run.note(f"continuing from step {self.position}")
        if run is not None:
            rows = self.record["history"]
            steps = [int(row["epoch"]) * steps_per_epoch for row in rows]
            written = [{"step": step, **row} for step, row in zip(steps, rows, strict=True)]
            run.rewind(self.position, written)  # rows after the checkpoint are written again

    def note_best(self, stopping: EarlyStopping, row: Mapping[str, float]) -> None:
        if stopping.metric not in row:
            known = ", ".join(name for name in row if not name.startswith("time/"))
            raise ValueError(f"stopping metric {stopping.metric!r} is not among {known}")
        if stopping.improves(row[stopping.metric], self.record["best_value"]):
            self.record.update(best_value=row[stopping.metric], bad_epochs=0)
            self.best = _copy(_weights(self.state))
        else:
            self.record["bad_epochs"] += 1


def _advance(program: Program, live: _Live, end: int) -> Iterator[Shown]:
    """Takes the steps up to `end`; yields what each call showed while the next one is running.

    Calls of more than one step are lengthened until they take a quarter of a second: long enough to
    cost nothing, short enough to be stopped between two. Several processes do not go by their own
    clocks, for they have to make the same calls.
    """
    alone = jax.process_count() == 1
    window, before = 1 if alone else _AGREE_EVERY, None
    while live.position < end:
        called = time.perf_counter()
        live.state, live.metrics, shown, live.position = program.advance(
            live.state, live.metrics, live.position, min(end, live.position + window)
        )
        if before is not None:
            yield jax.block_until_ready(before)
        if alone and time.perf_counter() - called < 0.25:
            window *= 2
        before = shown
    yield jax.block_until_ready(before)


def evaluate(
    eval_step: EvalStep, state: TrainState, split: data.Split | data.Records, batch_size: int
) -> Metrics:
    """Merges the metrics of `eval_step` over a split; every example counts exactly once.

    The last batch is padded and masked, so one program serves all: `eval_step` is from `make_eval`,
    jitted by the caller. It sees the moving average of the parameters where the state keeps one.

    >>> import optax
    >>> from jaxdl.metrics import Mean
    >>> def eval_step(params, model_state, batch):
    ...     return {"loss": Mean.from_values((batch["x"] - params) ** 2, batch["mask"])}
    >>> state = TrainState.create(params=jnp.array(1.0), tx=optax.sgd(0.1), key=jax.random.key(0))
    >>> split = data.Split({"x": np.array([1.0, 2.0, 3.0], np.float32)})
    >>> evaluate(jax.jit(eval_step), state, split, batch_size=2)["loss"].compute()  # 5 / 3
    Array(1.667, dtype=float32)
    """
    batch_size = min(batch_size, len(split))
    merged: Metrics | None = None
    for batch in data.batches(split, batch_size):
        new = eval_step(state.eval_params, state.model_state, batch)
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


def _agreed(position: int, received: int | None, due: bool) -> tuple[int, bool]:
    """The signal to stop for (0 for none) and whether to save: the same answer in every process.

    Several processes ask each other now and then only, for that takes as long as a small step.
    """
    if jax.process_count() == 1:
        return received or 0, due
    if position % _AGREE_EVERY:
        return 0, False
    from jax.experimental import multihost_utils

    wishes = multihost_utils.process_allgather(np.array([received or 0, due], np.int32))
    signal, due = np.max(wishes, axis=0)
    return int(signal), bool(due)


def _check_skipped(shown: Any, most: int | None) -> None:
    if most is not None and shown.skipped is not None and int(shown.skipped[0]) >= most:
        raise FloatingPointError(
            f"{int(shown.skipped[0])} steps in a row had a loss or gradient that is not finite; "
            "the learning rate may be too high, or the data hold values that are not finite"
        )


def _measured(
    state: TrainState, clock: "_Clock", *measures: Callable[..., Mapping[str, float]] | None
) -> dict[str, float]:
    """The numbers of `measures` with their seconds, and peak memory where the device tells."""
    row: dict[str, float] = {}
    for measure in measures:
        numbers = {} if measure is None else measure(state)
        row.update({name: float(number) for name, number in numbers.items()})
    row["time/evaluate"] = clock.lap()
    memory = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in memory:
        row["memory/peak_bytes"] = float(memory["peak_bytes_in_use"])
    return row


class _Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def lap(self) -> float:
        start, self._start = self._start, time.perf_counter()
        return self._start - start
