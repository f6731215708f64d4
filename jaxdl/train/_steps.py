"""Three ways to take the same steps; with one seed each sees the same batches.

- "stream": batches are gathered on the host and sent over, one program call per step.
- "loop": the data set lies on the device and is gathered there, one call per step.
- "scan": the same, but many steps are one call of one compiled loop.

The rule of "auto": what fits the device is resident; resident steps run as "scan", except on a CPU
when the step contains XLA convolutions, which run slower inside a compiled loop there, while steps
of products and element-wise work gain from it.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxdl import data, parallel
from jaxdl.objectives import Batch, expected
from jaxdl.train._make import Metrics, merge_metrics
from jaxdl.train._state import TrainState

Driver = Literal["auto", "stream", "loop", "scan"]
RESIDENT_BYTES = 4 << 30  # larger splits are streamed under "auto"
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


class Steps(NamedTuple):
    """Compiled steps: `take(state, metrics, position, stop)` takes one, or all up to `stop`.

    It returns the new state, metrics and position, and what the host may look at while the next
    call runs: the loss and the counts of skipped steps, apart from the donated buffers.
    """

    take: Callable[..., tuple[TrainState, Metrics, int, tuple[jax.Array, Any]]]
    metrics: Metrics  # merged over the steps of an epoch; this one's values are never read
    times: dict[str, float]  # seconds of compiling, and of making batches on the host so far


def compile_steps(
    step: Step,
    state: TrainState,
    split: data.Dataset | data.Records,
    *,
    batch_size: int,
    seed: int | None,
    driver: Driver = "auto",
    layout: parallel.Layout | None = None,
    held_out: Mapping[str, data.Dataset | data.Records] | None = None,
) -> Steps:
    """Compiles one program for every step of the run, once the labels were looked at."""
    steps_per_epoch = data.num_batches(len(split), batch_size)
    if layout is not None:
        layout.check_batch(batch_size)
        if layout.mesh.size == 1:
            layout = None  # nothing to spread, so nothing of it in the program
    example = data.host_batch(split, 0, batch_size=batch_size, seed=seed)
    driver = choose_driver(driver, step, state, split, example)
    with checked_classes(split, held_out):
        # A function of this call: a trace that was kept from before says nothing.
        _, of_one = jax.eval_shape(lambda *args: step(*args), state, example)
    metrics_spec = jax.eval_shape(merge_metrics, of_one, of_one)  # merging may widen a state
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics_spec)
    out_shardings = None
    if layout is not None:  # what comes out lies as what went in, call after call
        empty = layout.unnamed().put_state(empty)
        out_shardings = (layout.state(state), jax.tree.map(lambda x: x.sharding, empty), None)
    times = {"time/data": 0.0, "time/compile": 0.0}

    def one(state: TrainState, metrics: Metrics, batch: Any) -> Any:
        first = state.step % steps_per_epoch == 0
        state, new = step(state, batch)
        merged = merge_metrics(metrics, new)
        metrics = jax.tree.map(lambda n, m: jnp.where(first, n, m), new, merged)
        return state, metrics, (new["loss"].compute(), state.skipped)

    def one_resident(state: TrainState, metrics: Metrics, columns: Any) -> Any:
        batch = data.resident_batch(columns, state.step, batch_size=batch_size, seed=seed)
        if layout is not None:
            batch = jax.lax.with_sharding_constraint(batch, layout.batch)
        return one(state, metrics, batch)

    def many_resident(state: TrainState, metrics: Metrics, columns: Any, stop: jax.Array) -> Any:
        def body(_: jax.Array, carry: Any) -> Any:
            return one_resident(carry[0], carry[1], columns)

        first = (state, metrics, (jnp.zeros(()), state.skipped))
        return jax.lax.fori_loop(state.step, stop, body, first)

    def compiled(function: Callable, *args: Any) -> Callable:
        start = time.perf_counter()
        jitted = jax.jit(function, donate_argnums=(0, 1), out_shardings=out_shardings)
        with contextlib.nullcontext() if layout is None else layout.known():
            program = jitted.lower(state, empty, *args).compile()
        times["time/compile"] += time.perf_counter() - start
        return program

    def streamed(k: int) -> Any:
        make = functools.partial(data.host_batch, split, k, batch_size=batch_size, seed=seed)
        if layout is None:
            return make()
        return layout.put_batch(batch_size, lambda rows: make(rows=rows))

    if driver == "stream" or isinstance(split, data.Records):
        program = compiled(one, streamed(0))
        batch_at = _ahead(streamed) if isinstance(split, data.Records) else streamed

        def take(state: TrainState, metrics: Metrics, position: int, stop: int) -> Any:
            start = time.perf_counter()
            batch = batch_at(position)
            times["time/data"] += time.perf_counter() - start
            state, metrics, shown = program(state, metrics, batch)
            return state, metrics, position + 1, shown

        return Steps(take, empty, times)

    put = jax.device_put if layout is None else layout.unnamed().put_state
    columns = put(dict(split.columns))
    together = driver == "scan"
    program = (
        compiled(many_resident, columns, jnp.int32(0))
        if together
        else compiled(one_resident, columns)
    )

    def take_resident(state: TrainState, metrics: Metrics, position: int, stop: int) -> Any:
        limit = (jnp.int32(stop),) if together else ()
        state, metrics, shown = program(state, metrics, columns, *limit)
        return state, metrics, stop if together else position + 1, shown

    return Steps(take_resident, empty, times)


def check_splits(split: Any, held_out: Any) -> None:
    """Raises TypeError for what are no splits, and for columns that no program takes."""
    if not isinstance(held_out, Mapping | None):
        raise TypeError(
            f"held_out needs splits by name, {{'test': split}}, got {type(held_out).__name__}"
        )
    for name, part in {"train": split, **(held_out or {})}.items():
        if isinstance(part, data.Records):
            continue
        if not isinstance(part, data.Dataset):
            raise TypeError(
                f"{name} needs a data.Dataset of columns, or data.Records, "
                f"got {type(part).__name__}"
            )
        for column, array in part.columns.items():
            if array.dtype.kind not in "biufcV":  # V: bfloat16 and its like
                raise TypeError(
                    f"{name} {column} holds {array.dtype}, not numbers: "
                    "encode the column, or leave it out of the Dataset"
                )


@contextlib.contextmanager
def checked_classes(
    split: data.Dataset | data.Records,
    held_out: Mapping[str, data.Dataset | data.Records] | None = None,
) -> Iterator[None]:
    """Raises `DataError` for labels that an objective traced inside does not expect.

    Splits that are not in memory are left alone: they would be read from end to end.
    """
    with expected() as classes:
        yield
    for name, part in {"train": split, **(held_out or {})}.items():
        if isinstance(part, data.Records):
            continue
        for column, (num_classes, where) in classes.items():
            if column in part.columns:
                counts = None if where is None else where(part.columns)
                what = f"{name} {column}"
                data.check_labels(part[column], num_classes, what=what, where=counts)


def choose_driver(
    driver: Driver, step: Step, state: TrainState, split: data.Dataset | data.Records, example: Any
) -> Driver:
    """The driver that "auto" stands for, or the one that was named."""
    if driver not in ("auto", "stream", "loop", "scan"):
        raise ValueError(f"driver must be auto, stream, loop or scan, got {driver!r}")
    if isinstance(split, data.Records):
        if driver not in ("auto", "stream"):
            raise ValueError(f"records are streamed, they cannot be resident for {driver!r}")
        return "stream"
    if driver != "auto":
        return driver
    size = sum(column.nbytes for column in split.columns.values())
    if size > RESIDENT_BYTES or jax.process_count() > 1:
        return "stream"  # each process then builds only its share of a batch
    if next(iter(state.step.devices())).platform != "cpu":
        return "scan"
    jaxpr = jax.make_jaxpr(step)(state, example)
    return "loop" if "conv_general_dilated" in str(jaxpr) else "scan"


def _ahead(make: Callable[[int], Any]) -> Callable[[int], Any]:
    """`make` for numbers that follow each other, each computed before it is needed."""
    feed: Any = iter(())
    expected = -1

    def batch_at(k: int) -> Any:
        nonlocal feed, expected
        if k != expected:
            feed = data.read_ahead(make, k, 2**31 - 1)  # what is read past the end is thrown away
        expected = k + 1
        return next(feed)

    return batch_at
