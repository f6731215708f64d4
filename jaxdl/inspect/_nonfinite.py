"""Why a step was not finite: the first equation to blame, by a replay of the step."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import objectives, train
from jaxdl.inspect._places import Line, Place, lines_of_rules, path_name
from jaxdl.inspect._replay import Replay
from jaxdl.inspect._values import Birth, Extent, Value
from jaxdl.train._make import FINITE


@dataclasses.dataclass(frozen=True)
class NonfiniteReport:
    """What `explain_nonfinite` found; print it to read it.

    Attributes:
        step: the step that was replayed.
        finite: whether the replay was; then there is nothing to blame and the rest is empty.
        kind: "equation" for one whose result is not finite while its inputs were; "input" for a
            parameter or a batch that was not finite before the step; "constant" for an infinity or
            a NaN that is written in the program.
        name: of that input.
        place: the operation with its lines of source and its module; of an input or a constant the
            first operation that handed it on.
        inputs, output: what the operation read, and what it gave.
        index: of the first element that is not finite; `value` is what it is.
        row: the same in the batch, where the first axis is as long as the batch.
        became_nan: the operation by which infinities turned to NaN, if they did elsewhere.
        reaches: the loss, gradients or parameters that it ends in.
    """

    step: int
    finite: bool
    kind: str = ""
    name: str = ""
    place: Place | None = None
    inputs: tuple[Extent, ...] = ()
    output: Extent | None = None
    index: tuple[int, ...] = ()
    value: float = 0.0
    row: int | None = None
    became_nan: Place | None = None
    reaches: tuple[str, ...] = ()

    @property
    def line(self) -> Line | None:
        """The line of source to look at."""
        return None if self.place is None else self.place.line

    def __str__(self) -> str:
        if self.finite:
            return (
                f"Step {self.step}, replayed operation by operation, is finite. The compiled step "
                "fuses and reorders operations and may round, overflow or divide differently, most "
                "of all in half precision and on another device; JAX_DEBUG_NANS=1 looks at it."
            )
        more = f" and {len(self.reaches) - 3} more" if len(self.reaches) > 3 else ""
        lines = [f"Step {self.step}: {', '.join(self.reaches[:3])}{more} not finite, because"]
        what = f"{self.value} at index {list(self.index)}"
        if self.row is not None:
            what += f", row {self.row} of the batch"
        if self.kind == "input":
            lines.append(f"  {self.name} holds {what}: {self.output}")
        elif self.place is not None and self.kind == "equation":
            operation = f"{self.place.operation}{' (backward)' if self.place.backward else ''}"
            lines.append(f"  `{operation}` gives {what}: {self.output}")
        else:
            lines.append(f"  the program holds the constant {self.value}")
        first = "first read" if self.kind == "input" else "at"
        if self.place is not None:
            lines += self._where(self.place, first)
        lines += [f"  reads    {extent}" for extent in self.inputs]
        if self.became_nan is not None:
            lines.append(f"  then nan by {self.became_nan}")
        return "\n".join(lines)

    def _where(self, place: Place, first: str) -> list[str]:
        by = f" by `{place.operation}`" if self.kind != "equation" else ""
        lines = [f"  {first:8}{by} {place.line or 'an unknown line'}"]
        if place.library is not None:
            lines.append(f"  inside   {place.library}")
        if place.module:
            lines.append(f"  module   {place.module}")
        return lines + [f"  in       {loop}" for loop in place.loops]


def explain_nonfinite(
    objective: objectives.Objective | Callable[..., Any] | train.Trainer,
    state: train.TrainState,
    batch: objectives.Batch,
) -> NonfiniteReport:
    """Names the operation by which a loss or a gradient stopped being finite, down to the line.

    The step of `state` is replayed forward and backward, one operation after the other, through
    `jit`, `scan`, `while`, `cond`, `shard_map`, `checkpoint` and custom derivatives. Elements that
    are not finite are followed from where they arise to where they end: an infinity that vanishes
    again (a mask of -inf before a softmax) is not blamed. The values are those of the state, the
    batch and the key of that step, the same as in training; rounding may differ, for nothing is
    fused.

    >>> from jaxdl.metrics import Mean
    >>> def objective(scale, model_state, batch, key, *, train):
    ...     return Mean.from_values(jnp.log(scale * batch["x"]), batch["mask"]), {}
    >>> state = train.TrainState(jnp.int32(3), jnp.array(2.0), {}, None, jax.random.key(0))
    >>> batch = {"x": jnp.array([1.0, 0.0]), "mask": jnp.array([True, True])}
    >>> report = explain_nonfinite(objective, state, batch)
    >>> report.place.operation, report.index, report.row, report.reaches
    ('log', (1,), 1, ('the loss',))
    >>> report.inputs
    (Extent(shape=(2,), dtype='float32', least=0.0, greatest=2.0, bad=0),)

    Args:
        objective: what was minimized; or the trainer, and then the whole step is replayed, its
            optimizer, accumulation and precision included.
        state: from `init` of a trainer, before the step.
        batch: of that step.
    Returns: a report, which says so where the replay is finite.
    """
    state, batch = jax.tree.map(jnp.asarray, (state, dict(batch)))
    step = int(state.step)
    if isinstance(objective, train.Trainer):
        function, names = _whole_step(objective), _state_name
    else:
        function, names = _loss_and_gradient(objective), _gradient_name
    with lines_of_rules():
        closed, shape = jax.make_jaxpr(function, return_shape=True)(state, batch)
    replay = Replay(watched=FINITE)
    given = jax.tree_util.tree_leaves_with_path((state, batch))
    inputs = [replay.input(leaf, _input_name(path)) for path, leaf in given]
    outputs = replay.run(closed, inputs)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(shape)]
    ends = [(names(path), value) for path, value in zip(paths, outputs, strict=True)]
    ends += [("the loss or the gradient", value) for value in replay.marked]
    bad = [(name, value) for name, value in ends if name and value.origin is not None]
    if not bad:
        return NonfiniteReport(step, finite=True)
    number = _first(replay.births, [value for _, value in bad])
    reaches = (name for name, value in bad if np.any(value.origin == number))
    return _report(step, replay.births[number - 1], tuple(dict.fromkeys(reaches)), batch)


def _first(births: list[Birth], ends: list[Value]) -> int:
    """The number of the birth to blame: the first, constants last."""
    numbers = {int(n) for v in ends if v.origin is not None for n in np.unique(v.origin) if n}
    return min(numbers, key=lambda n: (births[n - 1].kind == "constant", n))


def _report(
    step: int, birth: Birth, reaches: tuple[str, ...], batch: objectives.Batch
) -> NonfiniteReport:
    size = len(jax.tree.leaves(batch)[0])
    has_rows = birth.output.shape[:1] == (size,) and birth.index and not _is_state(birth)
    return NonfiniteReport(
        step=step,
        finite=False,
        kind=birth.kind,
        name=birth.name,
        place=birth.place,
        inputs=birth.inputs,
        output=birth.output,
        index=birth.index,
        value=birth.value,
        row=birth.index[0] if has_rows else None,
        became_nan=birth.became_nan,
        reaches=reaches,
    )


def _is_state(birth: Birth) -> bool:
    return birth.kind == "input" and not birth.name.startswith("batch")


def _loss_and_gradient(objective: Callable[..., Any]) -> Callable[..., Any]:
    def function(state: train.TrainState, batch: objectives.Batch) -> Any:
        key = jax.random.fold_in(state.key, state.step)

        def total(params: Any) -> jax.Array:
            return objective(params, state.model_state, batch, key, train=True)[0].total

        return jax.value_and_grad(total)(state.params)

    return function


def _gradient_name(path: Any) -> str:
    name = path_name(path[1:])
    return "the loss" if path[0].idx == 0 else f"the gradient of {name}" if name else "the gradient"


def _whole_step(trainer: train.Trainer) -> Callable[..., Any]:
    def function(state: train.TrainState, batch: objectives.Batch) -> Any:
        new, metrics = trainer.step(state, batch)
        kept = {"params": new.params, "model_state": new.model_state, "ema": new.ema}
        return metrics["loss"].total, kept

    return function


def _state_name(path: Any) -> str:
    return "the loss" if path[0].idx == 0 else path_name(path[1:])


def _input_name(path: Any) -> str:
    name = path_name(path[1:])
    return name if path[0].idx == 0 else f"batch/{name}"
