"""Three ways to take the same steps; with one seed each sees the same batches.

- "stream": batches are gathered on the host and sent over, one program call per step.
- "loop": the data set lies on the device and is gathered there, one call per step.
- "scan": the same, but many steps are one call of one compiled loop.

The rule of "auto": what fits the device is resident; resident steps run as "scan", except on a CPU
when the step contains XLA convolutions, which run slower inside a compiled loop there, while steps
of products and element-wise work gain from it.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxdl import data, parallel
from jaxdl.train._state import TrainState
from jaxdl.train._step import Metrics, Step, merge_metrics

Driver = Literal["auto", "stream", "loop", "scan"]
RESIDENT_BYTES = 4 << 30  # larger splits are streamed under "auto"


class Shown(NamedTuple):
    """What a step tells the host: small, and apart from the donated buffers."""

    loss: jax.Array
    skipped: Any


@dataclasses.dataclass
class Program:
    """A compiled driver.

    `advance(state, metrics, position, stop)` takes one step or all up to `stop` and returns the
    new state, metrics, `Shown` and position; state and metrics are donated. `metrics` is merged
    over the steps of the current epoch.
    """

    driver: str
    advance: Callable[..., tuple[TrainState, Metrics, Shown, int]]
    empty: Metrics  # of the structure of `metrics`; its values are never read
    compile_seconds: float
    data_seconds: float = 0.0  # spent on the host making batches since `times` was called

    def times(self, seconds: float, examples: int) -> dict[str, float]:
        """The split of so many seconds of training, and its rate; compilation is told once."""
        row = {
            "time/train": seconds,
            "time/data": self.data_seconds,
            "time/compile": self.compile_seconds,
            "time/examples_per_s": examples / seconds,
        }
        self.data_seconds = self.compile_seconds = 0.0
        return row


def make_program(
    step: Step,
    state: TrainState,
    split: data.Split | data.Records,
    *,
    batch_size: int,
    seed: int | None,
    driver: Driver = "auto",
    layout: parallel.Layout | None = None,
) -> Program:
    """Compiles the program of one driver, once for every step of the run."""
    if driver not in ("auto", "stream", "loop", "scan"):
        raise ValueError(f"driver must be auto, stream, loop or scan, got {driver!r}")
    steps_per_epoch = data.num_batches(len(split), batch_size)
    if layout is not None:
        layout.check_batch(batch_size)
        if layout.mesh.size == 1:
            layout = None  # nothing to spread, so nothing of it in the program
    example = data.host_batch(split, 0, batch_size=batch_size, seed=seed)
    _, of_one = jax.eval_shape(step, state, example)
    metrics_spec = jax.eval_shape(merge_metrics, of_one, of_one)  # merging may widen a state
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics_spec)
    if isinstance(split, data.Records):
        if driver not in ("auto", "stream"):
            raise ValueError(f"records are streamed, they cannot be resident for {driver!r}")
        driver = "stream"
    elif driver == "auto":
        size = sum(column.nbytes for column in split.columns.values())
        driver = _choose(step, state, example, size)
    out_shardings = None
    if layout is not None:  # what comes out lies as what went in, call after call
        empty = layout.put_state(empty)
        out_shardings = (layout.state(state), jax.tree.map(lambda x: x.sharding, empty), None)

    def one(state: TrainState, metrics: Metrics, batch: Any) -> Any:
        first = state.step % steps_per_epoch == 0
        state, new = step(state, batch)
        merged = merge_metrics(metrics, new)
        metrics = jax.tree.map(lambda n, m: jnp.where(first, n, m), new, merged)
        return state, metrics, Shown(new["loss"].compute(), state.skipped)

    def one_resident(state: TrainState, metrics: Metrics, columns: Any) -> Any:
        batch = data.resident_batch(columns, state.step, batch_size=batch_size, seed=seed)
        if layout is not None:
            batch = jax.lax.with_sharding_constraint(batch, layout.batch)
        return one(state, metrics, batch)

    def many_resident(state: TrainState, metrics: Metrics, columns: Any, stop: jax.Array) -> Any:
        def body(_: jax.Array, carry: Any) -> Any:
            return one_resident(carry[0], carry[1], columns)

        shown = Shown(jnp.zeros(()), state.skipped)
        return jax.lax.fori_loop(state.step, stop, body, (state, metrics, shown))

    def compiled(function: Callable, *args: Any) -> tuple[Callable, float]:
        start = time.perf_counter()
        jitted = jax.jit(function, donate_argnums=(0, 1), out_shardings=out_shardings)
        program = jitted.lower(state, empty, *args).compile()
        return program, time.perf_counter() - start

    def streamed(k: int) -> Any:
        make = functools.partial(data.host_batch, split, k, batch_size=batch_size, seed=seed)
        if layout is None:
            return make()
        return layout.put_batch(batch_size, lambda rows: make(rows=rows))

    if driver == "stream" or isinstance(split, data.Records):
        program, seconds = compiled(one, streamed(0))
        batch_at = _ahead(streamed) if isinstance(split, data.Records) else streamed

        def advance(state: TrainState, metrics: Metrics, position: int, stop: int) -> Any:
            start = time.perf_counter()
            batch = batch_at(position)
            made.data_seconds += time.perf_counter() - start
            return *program(state, metrics, batch), position + 1

    else:
        columns = dict(split.columns)
        columns = jax.device_put(columns) if layout is None else layout.put_state(columns)
        if driver == "loop":
            program, seconds = compiled(one_resident, columns)

            def advance(state: TrainState, metrics: Metrics, position: int, stop: int) -> Any:
                return *program(state, metrics, columns), position + 1

        else:
            program, seconds = compiled(many_resident, columns, jnp.int32(0))

            def advance(state: TrainState, metrics: Metrics, position: int, stop: int) -> Any:
                return *program(state, metrics, columns, jnp.int32(stop)), stop

    made = Program(driver, advance, empty, seconds)
    return made


def _ahead(make: Callable[[int], Any]) -> Callable[[int], Any]:
    """`make` for numbers that follow each other, each computed before it is asked for."""
    feed: Any = iter(())
    expected = -1

    def batch_at(k: int) -> Any:
        nonlocal feed, expected
        if k != expected:
            feed = data.read_ahead(make, k, 2**31 - 1)  # what is read past the end is thrown away
        expected = k + 1
        return next(feed)

    return batch_at


def _choose(step: Step, state: TrainState, example: Any, size: int) -> Driver:
    if size > RESIDENT_BYTES or jax.process_count() > 1:
        return "stream"  # each process then builds only its share of a batch
    if jax.default_backend() != "cpu":
        return "scan"
    jaxpr = jax.make_jaxpr(step)(state, example)
    return "loop" if "conv_general_dilated" in str(jaxpr) else "scan"
