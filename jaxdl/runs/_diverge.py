"""Where two runs part: the checkpoint, the step, and the first tensor of it."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import inspect, train
from jaxdl.runs._again import Saved, training_of

_BLOCK = 64  # steps after which replayed states are compared


@dataclasses.dataclass(frozen=True)
class Divergence:
    """What `diverge` found; print it to read it.

    Attributes:
        agree: the last step after which saved or replayed states were seen to agree.
        differ: the first after which they differ; None if no state does.
        leaf: the leaf of the state that differs most, by `size` of its greatest magnitude.
        tensor: the first tensor of that step that differs; None where replaying shows none.
        replayed: steps that were taken again.
    """

    agree: int
    differ: int | None
    leaf: str
    size: float
    tensor: inspect.Difference | None
    replayed: int

    def __str__(self) -> str:
        if self.differ is None:
            return f"no difference up to step {self.agree}"
        if self.differ == 0:
            return f"the first states differ: {self.leaf} by {self.size:.3g} of its magnitude"
        where = f"step {self.differ - 1} (the states after {self.agree} steps agree)"
        lines = [f"the runs part in {where}: {self.leaf} differs by {self.size:.3g}"]
        if self.tensor is not None:
            lines.append(f"first in the order of execution: {self.tensor}")
        else:
            lines[0] = (
                f"the checkpoints of step {self.differ} differ ({self.leaf} by {self.size:.3g}), "
                f"those of step {self.agree} do not"
            )
            lines.append(
                "replayed here, operation by operation, both runs do the same: the difference is "
                "not in the programs but in what ran them (device, number of devices, versions)"
            )
        return "\n".join(lines)


def diverge(
    first: pathlib.Path,
    second: pathlib.Path,
    *,
    tolerance: float = 1e-5,
    module: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Divergence:
    """Finds the first step in which two runs differ, and in it the first tensor that does.

    Checkpoints that both runs have are bisected; from the last in which they agree (the first
    state, if there is none) both are replayed, for a step depends on the state and its number
    alone, until the states differ. That step is then run operation by operation, side by side.

    Args:
        first, second: run folders of one experiment, or of two that train networks alike.
        tolerance: greatest difference, of the greatest magnitude in a tensor, that counts as none.
        module: that made the runs; by default the experiment that config.json names.
        progress: called with a line on what is being done.
    Raises: ValueError where states cannot be compared, or the experiment cannot be made again.
    """
    say = progress or (lambda text: None)
    say("making both trainings")
    trainings = training_of(first, module), training_of(second, module)
    with contextlib.ExitStack() as stack:
        saved = []
        for folder, training in zip((first, second), trainings, strict=True):
            saved.append(Saved(folder, training))
            stack.callback(saved[-1].close)
        measure = _measure(trainings[0].state, trainings[1].state)
        states: Any = [one.state(0) for one in saved]
        leaf, size = measure(*states)
        if size > tolerance:
            return Divergence(0, 0, leaf, size, None, 0)
        common = sorted(set(saved[0].steps) & set(saved[1].steps))
        at = functools.partial(_saved_states, saved)
        agree, differ, found = _bisected(common, at, measure, tolerance, say)
        if agree:
            states = at(agree)
        if differ is None and common and common[-1] == agree:
            longest = min(training.num_steps for training in trainings)
            if agree >= longest:
                return Divergence(agree, None, leaf, size, None, 0)
    return _replayed(trainings, states, agree, differ, found, measure, tolerance, say)


def _saved_states(saved: list[Saved], step: int) -> list[train.TrainState]:
    return [one.state(step) for one in saved]


def _bisected(
    steps: list[int], at: Callable, measure: Callable, tolerance: float, say: Callable
) -> tuple[int, int | None, tuple[str, float]]:
    """The last saved step that agrees and the first that differs, with the leaf and its size."""
    agree, differ, found = 0, None, ("", 0.0)
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        say(f"comparing checkpoints of step {steps[middle]}")
        leaf, size = measure(*at(steps[middle]))
        if size > tolerance:
            differ, found, high = steps[middle], (leaf, size), middle
        else:
            agree, low = steps[middle], middle + 1
    return agree, differ, found


def _replayed(
    trainings: Any,
    states: Any,
    agree: int,
    differ: int | None,
    found: tuple[str, float],
    measure: Callable,
    tolerance: float,
    say: Callable,
) -> Divergence:
    """Steps both on from where they agree until they do not."""
    steps = [jax.jit(training.trainer.step) for training in trainings]
    end = differ or min(training.num_steps for training in trainings)
    begin, k, states = agree, agree, list(states)

    def advance(states: list, k: int) -> list:
        pairs = zip(steps, states, trainings, strict=True)
        return [step(state, training.batch(k))[0] for step, state, training in pairs]

    while k < end:
        say(f"replaying step {k} of {end}")
        after = states
        stop = min(k + _BLOCK, end)
        for j in range(k, stop):
            after = advance(after, j)
        if measure(*after)[1] <= tolerance:
            states, k = after, stop
            continue
        for j in range(k, stop):
            after = advance(states, j)
            leaf, size = measure(*after)
            if size > tolerance:
                say(f"running step {j} operation by operation")
                return Divergence(
                    j, j + 1, leaf, size, _tensor(trainings, states, j), j + 1 - begin
                )
            states = after
    return Divergence(agree if differ else end, differ, *found, None, end - begin)


def _tensor(trainings: Any, states: list, k: int) -> inspect.Difference | None:
    """The first tensor of step k that differs, to the last bit if need be."""
    steps = [training.trainer.step for training in trainings]
    args = [(state, training.batch(k)) for state, training in zip(states, trainings, strict=True)]
    for tolerance in (1e-5, 1e-6, 0.0):  # a difference that grows in the step may begin small
        found = inspect.first_difference(*steps, *args, tolerance=tolerance)
        if found is not None:
            return found
    return None


def _measure(one: train.TrainState, two: train.TrainState) -> Callable[..., tuple[str, float]]:
    """The leaf of two states that differs most and by how much of its greatest magnitude."""
    names = [list(_leaves(state)) for state in (one, two)]
    if names[0] != names[1]:
        apart = sorted(set(names[0]) ^ set(names[1])) or names[0]
        raise ValueError(f"the states of the runs hold different leaves: {', '.join(apart[:4])}")

    @jax.jit
    def sizes(one: Any, two: Any) -> jax.Array:
        return jnp.stack([_gap(a, b) for a, b in zip(one, two, strict=True)])

    def measure(one: train.TrainState, two: train.TrainState) -> tuple[str, float]:
        pair = list(_leaves(one).values()), list(_leaves(two).values())
        for name, a, b in zip(names[0], *pair, strict=True):
            if a.shape != b.shape:
                raise ValueError(f"{name} has shape {a.shape} in one run, {b.shape} in the other")
        found = sizes(*pair)
        worst = int(jnp.argmax(found))
        return names[0][worst], float(found[worst])

    return measure


def _leaves(state: train.TrainState) -> dict[str, Any]:
    """All that a step leaves behind, by path; keys are the same or make other steps anyway."""
    kept = {"params": state.params, "model_state": state.model_state, "opt_state": state.opt_state}
    leaves = jax.tree_util.tree_leaves_with_path(kept)
    named = {jax.tree_util.keystr(p, simple=True, separator="/"): jnp.asarray(x) for p, x in leaves}
    return {name: x for name, x in named.items() if jnp.issubdtype(x.dtype, jnp.number)}


def _gap(one: jax.Array, two: jax.Array) -> jax.Array:
    if not one.size:
        return jnp.zeros(())
    a, b = one.astype(jnp.float32), two.astype(jnp.float32)
    gap = jnp.where((a == b) | (jnp.isnan(a) & jnp.isnan(b)), 0.0, jnp.abs(a - b))
    gap = jnp.max(jnp.where(jnp.isnan(gap), jnp.inf, gap))
    scale = jnp.maximum(jnp.max(jnp.abs(a)), jnp.max(jnp.abs(b)))
    return jnp.where(gap > 0, gap / jnp.where(scale > 0, scale, 1.0), 0.0)
