"""The training loop: what is easy to get wrong, and nothing else."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jaxdl import data
from jaxdl.train._drivers import Driver, make_program
from jaxdl.train._state import TrainState
from jaxdl.train._step import EvalStep, Metrics, Step, merge_metrics


class Recorder(Protocol):
    """Where `fit` writes what happens; `jaxdl.runs.Run` is one."""

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


@dataclasses.dataclass
class Result:
    """What training leaves behind: the last state, and one row of numbers per epoch."""

    state: TrainState
    history: list[dict[str, float]]


def fit(
    step: Step,
    state: TrainState,
    split: data.Split,
    *,
    epochs: int,
    batch_size: int,
    seed: int | None = 0,
    evaluate: Callable[[TrainState], Mapping[str, float]] | None = None,
    run: Recorder | None = None,
    driver: Driver = "auto",
    sharding: Any = None,
) -> Result:
    """Trains until every example was seen `epochs` times, from wherever `state.step` stands.

    Args:
        step: from `make_step`.
        state: from `TrainState.create`; its buffers are donated, so do not use it afterwards.
        split: the training data.
        epochs: in total, those before `state.step` included.
        batch_size: examples per step, over all devices.
        seed: of the order of the data; None keeps the order of the split.
        evaluate: called after each epoch; its numbers join the row of the epoch.
        run: gets the rows and the progress.
        driver: how batches reach the device, see `train.Driver`.
        sharding: where streamed batches go.
    Returns: the last state and the rows: "epoch", "train/..." for every scalar metric of the step
        merged over the epoch, the numbers of `evaluate`, "time/..." in seconds.
    """
    if epochs < 0:
        raise ValueError(f"epochs must not be negative, got {epochs}")
    steps_per_epoch = data.num_batches(len(split), batch_size)
    program = make_program(
        step, state, split, batch_size=batch_size, seed=seed, driver=driver, sharding=sharding
    )
    metrics, position, total = program.empty, int(state.step), epochs * steps_per_epoch
    history: list[dict[str, float]] = []
    shown = None
    while position < total:
        epoch = position // steps_per_epoch
        started, first = time.perf_counter(), position
        while position < (epoch + 1) * steps_per_epoch:
            state, metrics, latest, position = program.advance(
                state, metrics, position, (epoch + 1) * steps_per_epoch
            )
            if run is not None and shown is not None:  # of the step before: this one is running
                run.progress(position, total, f"loss {float(shown.loss):.4f}")
            shown = latest
        row = {"epoch": float(epoch + 1), **scalars(metrics, "train/")}
        seconds = time.perf_counter() - started
        row["time/train"] = seconds
        row["time/examples_per_s"] = (position - first) * batch_size / seconds
        if evaluate is not None:
            started = time.perf_counter()
            row.update(evaluate(state))
            row["time/evaluate"] = time.perf_counter() - started
        history.append(row)
        if run is not None:
            run.write(position, row)
    return Result(state, history)


def evaluate(eval_step: EvalStep, state: TrainState, split: data.Split, batch_size: int) -> Metrics:
    """Merges the metrics of `eval_step` over a split; every example counts exactly once.

    The last batch is padded and masked, so one program serves all: `eval_step` is from `make_eval`,
    jitted by the caller. It sees the moving average of the parameters where the state keeps one.
    """
    batch_size = min(batch_size, len(split))
    merged: Metrics | None = None
    for batch in data.batches(split, batch_size):
        new = eval_step(state.eval_params, state.model_state, batch)
        merged = new if merged is None else _merge(merged, new)
    return {} if merged is None else merged


def scalars(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Computes metric states and keeps those that give one number, as Python floats."""
    values = {name: jnp.asarray(state.compute()) for name, state in metrics.items()}
    return {prefix + name: float(value) for name, value in values.items() if value.ndim == 0}


_merge = jax.jit(merge_metrics)
