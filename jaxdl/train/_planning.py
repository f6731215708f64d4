"""Trainings that are looked at instead of run: `--plan` and `--summary`, and runs replayed."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from jaxdl import data, parallel
from jaxdl.train._make import Trainer
from jaxdl.train._state import TrainState

Planner = Callable[
    [Callable[..., Any], tuple[Any, ...], Sequence[int], parallel.Layout | None], None
]
_PLANNER: contextvars.ContextVar[Planner | None] = contextvars.ContextVar("planner", default=None)


class Training(NamedTuple):
    """What `fit` was asked to do: the arguments that decide what every step computes."""

    trainer: Trainer
    state: TrainState  # before the first step
    split: data.Dataset | data.Records
    batch_size: int
    seed: int | None
    layout: parallel.Layout | None
    num_steps: int
    keeps_best: bool  # whether there is early stopping, whose best weights are in a checkpoint

    def batch(self, k: int) -> dict[str, Any]:
        """Batch k of the run, on the host."""
        return data.host_batch(self.split, k, batch_size=self.batch_size, seed=self.seed)


Taker = Callable[[Training], None]
_TAKER: contextvars.ContextVar[Taker | None] = contextvars.ContextVar("taker", default=None)


@contextlib.contextmanager
def intercepting(taker: Taker) -> Iterator[None]:
    """Inside, `fit` hands what it was asked for to `taker` before it compiles or trains anything.

    >>> import optax
    >>> from jaxdl import train
    >>> trainer = train.make(lambda *args, **options: None, optax.sgd(0.1))
    >>> state = trainer.init(jax.random.key(0), params=jax.numpy.array(0.0))
    >>> def taker(training):
    ...     print(training.num_steps, training.batch(0)["mask"])
    ...     raise SystemExit(0)
    >>> with intercepting(taker):
    ...     split = data.Dataset({"x": jax.numpy.ones(3)})
    ...     train.fit(trainer, split, state, epochs=3, batch_size=2)
    Traceback (most recent call last):
    SystemExit: 0

    Args:
        taker: it raises when it has what it wants, or `fit` goes on.
    """
    token = _TAKER.set(taker)
    try:
        yield
    finally:
        _TAKER.reset(token)


@contextlib.contextmanager
def planning(planner: Planner) -> Iterator[None]:
    """Inside, `fit` and `sweep` hand their step to `planner` before they compile or train anything.

    >>> import optax
    >>> from jaxdl import train
    >>> def planner(step, args, batch_argnums, layout):
    ...     print(args[1]["x"].shape, batch_argnums)
    ...     raise SystemExit(0)
    >>> trainer = train.make(lambda *args, **options: None, optax.sgd(0.1))
    >>> state = trainer.init(jax.random.key(0), params=jax.numpy.array(0.0))
    >>> split = data.Dataset({"x": jax.numpy.ones(3)})
    >>> with planning(planner):
    ...     train.fit(trainer, split, state, epochs=1, batch_size=2)
    Traceback (most recent call last):
    SystemExit: 0

    Args:
        planner: `(step, args, batch_argnums, layout)`, the arguments as shapes; it raises when it
            is done, or `fit` goes on.
    """

    def taker(training: Training) -> None:
        batch = data.host_batch(training.split, 0, batch_size=training.batch_size, seed=None)
        shapes = jax.eval_shape(lambda: (training.state, batch))
        planner(training.trainer.step, shapes, (1,), training.layout)

    token = _PLANNER.set(planner)
    try:
        with intercepting(taker):
            yield
    finally:
        _PLANNER.reset(token)


def offer_plan(step: Callable[..., Any], *args: Any, batch_argnums: Sequence[int] = ()) -> None:
    """Hands the step of a loop of one's own to `--plan`, where that was asked for.

    >>> offer_plan(jax.numpy.sin, jax.numpy.ones(3))  # nobody plans: nothing happens

    Args:
        step: a pure function of arrays, jitted or not; what a loop takes again and again.
        args: as it is called: arrays, shapes or numbers.
        batch_argnums: arguments that are cut over the devices along their leading axis.
    """
    planner = _PLANNER.get()
    if planner is not None:
        planner(step, jax.eval_shape(lambda: args), batch_argnums, None)


def offer_sweep(member: Callable[[Any], Trainer], columns: Any, batch: Any) -> None:
    """Hands a step of all members together, as accelerators take it, to the planner."""
    planner = _PLANNER.get()
    if planner is None:
        return

    def start(hyper: Any, batch: Any) -> Any:
        return member(hyper).init(jax.random.key(hyper.get("seed", 0)), batch)

    def step(states: Any, hypers: Any, batch: Any) -> Any:
        return jax.vmap(lambda state, hyper: member(hyper).step(state, batch))(states, hypers)

    hypers, batch = jax.eval_shape(lambda: (columns, batch))
    states = jax.eval_shape(jax.vmap(start, in_axes=(0, None)), hypers, batch)
    planner(step, (states, hypers, batch), (0, 1), None)


def offer(training: Training) -> None:
    """Hands it to the taker of the context, if there is one."""
    taker = _TAKER.get()
    if taker is not None:
        taker(training)
