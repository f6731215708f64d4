"""Trainings that are looked at instead of run: `--plan` and `--summary`, and runs replayed."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from jaxdl import data, parallel
from jaxdl.train._make import Trainer
from jaxdl.train._state import TrainState

Planner = Callable[[Callable[..., Any], Any, Any, parallel.Layout | None], None]


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
    """Inside, `fit` hands its step to `planner` before it compiles or trains anything.

    >>> import optax
    >>> from jaxdl import train
    >>> def planner(step, state, batch, layout):
    ...     print(batch["x"].shape)
    ...     raise SystemExit(0)
    >>> trainer = train.make(lambda *args, **options: None, optax.sgd(0.1))
    >>> state = trainer.init(jax.random.key(0), params=jax.numpy.array(0.0))
    >>> split = data.Dataset({"x": jax.numpy.ones(3)})
    >>> with planning(planner):
    ...     train.fit(trainer, split, state, epochs=1, batch_size=2)
    Traceback (most recent call last):
    SystemExit: 0

    Args:
        planner: `(step, state, batch, layout)`, the state and the batch as shapes; it raises when
            it is done, or `fit` goes on.
    """

    def taker(training: Training) -> None:
        batch = data.host_batch(training.split, 0, batch_size=training.batch_size, seed=None)
        state_shapes, batch_shapes = jax.eval_shape(lambda: (training.state, batch))
        planner(training.trainer.step, state_shapes, batch_shapes, training.layout)

    with intercepting(taker):
        yield


def offer(training: Training) -> None:
    """Hands it to the taker of the context, if there is one."""
    taker = _TAKER.get()
    if taker is not None:
        taker(training)
