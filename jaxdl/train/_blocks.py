"""Loops of one's own, saved and continued as `fit` is: work cut into blocks."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import jax

from jaxdl.train._fit import Recorder
from jaxdl.train._signals import Interrupted, Interrupts, agreed

Carry = TypeVar("Carry")


def run_blocks(
    block: Callable[[Carry, int], tuple[Carry, Mapping[str, float] | None]],
    carry: Carry,
    count: int,
    *,
    run: Recorder | None = None,
) -> tuple[Carry, list[dict[str, float]]]:
    """Takes `carry, row = block(carry, k)` for k = 0 ... count - 1; a killed run goes on.

    >>> import jax.numpy as jnp
    >>> def block(total, k):
    ...     return total + k, {"total": float(total + k)}
    >>> run_blocks(block, jnp.array(0.0), 3)
    (Array(3., dtype=float32), [{'total': 0.0}, {'total': 1.0}, {'total': 3.0}])

    Args:
        block: some seconds of work; what it does may depend on the carry and k alone.
        carry: a pytree of arrays, all that changes.
        count: number of blocks.
        run: gets the rows, as those of step k + 1, and the progress. If it has checkpoints, the
            carry and the rows are saved there once a minute and at the end, the latest is
            continued, and SIGTERM and Ctrl-C finish the block, save and raise `Interrupted`.
    Returns: the last carry, and the rows of all blocks that gave one.
    """
    checkpoints = getattr(run, "checkpoints", None)
    history: list[dict[str, float]] = []
    done = 0
    if checkpoints is not None and checkpoints.latest() is not None:
        carry, record = checkpoints.restore(carry)
        done, history = record["done"], record["history"]
        if run is not None:
            run.note(f"continuing from {done} of {count}")
    if run is not None:
        run.rewind(done, history)

    def save() -> None:
        if checkpoints is not None and checkpoints.latest() != done:
            checkpoints.save(done, carry, {"done": done, "history": history})

    with Interrupts(active=checkpoints is not None) as interrupts:
        while done < count:
            carry, row = block(carry, done)
            done += 1
            if row is not None:
                numbers = {name: float(value) for name, value in row.items()}
                history.append({"step": done, **numbers})
            if run is not None:
                if row is not None:
                    run.write(done, numbers)
                run.progress(done, count, "")
            if checkpoints is None:
                continue
            signal, due = agreed(interrupts.received, checkpoints)
            if signal or done == count or due:
                jax.block_until_ready(carry)
                save()
            if signal and done < count:
                checkpoints.wait()
                if run is not None:
                    run.note(f"stopped and saved after {done} of {count}; run again to continue")
                raise Interrupted(128 + signal)
    if checkpoints is not None:
        checkpoints.wait()
    return carry, [{n: v for n, v in row.items() if n != "step"} for row in history]
