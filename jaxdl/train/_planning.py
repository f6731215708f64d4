"""Steps that are looked at instead of taken: `--plan` of every experiment."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jaxdl import data, parallel

Planner = Callable[[Callable[..., Any], Any, Any, parallel.Layout | None], None]
_PLANNER: contextvars.ContextVar[Planner | None] = contextvars.ContextVar("planner", default=None)


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
    token = _PLANNER.set(planner)
    try:
        yield
    finally:
        _PLANNER.reset(token)


def offer(
    step: Callable[..., Any],
    state: Any,
    split: data.Dataset | data.Records,
    batch_size: int,
    layout: parallel.Layout | None,
) -> None:
    """Hands a step to the planner of the context, if there is one."""
    planner = _PLANNER.get()
    if planner is not None:
        batch = data.host_batch(split, 0, batch_size=batch_size, seed=None)
        state_shapes, batch_shapes = jax.eval_shape(lambda: (state, batch))
        planner(step, state_shapes, batch_shapes, layout)
