"""Schedules: functions of the number of updates made so far, which know how long they are."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A function from the step (0 for the first update) to a value; optax takes it as its own.

    `num_steps` is where it ends: from there on it stays at its last value. None never ends.

    >>> Schedule(lambda step: 0.1 / (1 + step), num_steps=10)(4)
    0.02
    """

    value: Callable[[ArrayLike], jax.Array]
    num_steps: int | None = None

    def __call__(self, step: ArrayLike) -> jax.Array:
        return self.value(step)


def constant_rate(value: ArrayLike) -> Schedule:
    """The same value at every step.

    >>> constant_rate(0.1)(1000)
    Array(0.1, dtype=float32)
    """
    return Schedule(optax.constant_schedule(jnp.asarray(value, jnp.float32)))


def step_decay(value: ArrayLike, *, every_steps: int, factor: float) -> Schedule:
    """`value * factor^floor(t / every_steps)`; torch's StepLR when counted in epochs.

    >>> step_decay(1.0, every_steps=10, factor=0.5)(25)
    Array(0.25, dtype=float32)
    """
    _positive(every_steps=every_steps)

    def at(step: ArrayLike) -> jax.Array:
        return jnp.asarray(value) * jnp.float32(factor) ** (jnp.asarray(step) // every_steps)

    return Schedule(at)


def milestones(value: ArrayLike, *, at_steps: Sequence[int], factor: float) -> Schedule:
    """`value * factor^(how many of at_steps are <= t)`; torch's MultiStepLR.

    >>> milestones(1.0, at_steps=[10, 20], factor=0.5)(20)
    Array(0.25, dtype=float32)
    """
    if not at_steps or list(at_steps) != sorted(set(at_steps)) or at_steps[0] < 1:
        raise ValueError(f"at_steps must be increasing and positive, got {list(at_steps)}")

    def at(step: ArrayLike) -> jax.Array:
        passed = jnp.sum(jnp.asarray(step) >= jnp.asarray(at_steps))
        return value * jnp.float32(factor) ** passed

    return Schedule(at)


def inverse_time(a: ArrayLike, *, b_steps: float) -> Schedule:
    """`a / (b + t)` of Robbins & Monro: starts at `a / b` and is half of that after b steps.

    >>> inverse_time(1.0, b_steps=10)(10)
    Array(0.05, dtype=float32)
    """
    if not b_steps > 0:
        raise ValueError(f"b_steps must be positive, got {b_steps}")
    return Schedule(lambda step: jnp.asarray(a) / (b_steps + jnp.asarray(step, jnp.float32)))


def cosine_decay(value: ArrayLike, *, decay_steps: int, end: float = 0.0) -> Schedule:
    """`end + (value - end) (1 + cos(pi t / decay_steps)) / 2` (Loshchilov & Hutter 2017).

    >>> cosine_decay(1.0, decay_steps=10)(5)
    Array(0.5, dtype=float32)
    """
    _positive(decay_steps=decay_steps)
    return warmup_cosine_decay(value, warmup_steps=0, cosine_steps=decay_steps, end=end)


def linear_decay(value: ArrayLike, *, decay_steps: int, end: float = 0.0) -> Schedule:
    """A straight line from `value` at step 0 to `end` at `decay_steps`.

    >>> linear_decay(1.0, decay_steps=10)(4)
    Array(0.6, dtype=float32)
    """
    _positive(decay_steps=decay_steps)
    return warmup_linear_decay(value, warmup_steps=0, linear_steps=decay_steps, end=end)


def warmup_cosine_decay(
    peak: ArrayLike, *, warmup_steps: int, cosine_steps: int, start: float = 0.0, end: float = 0.0
) -> Schedule:
    """A line from `start` to `peak`, then a cosine to `end`.

    >>> schedule = warmup_cosine_decay(1.0, warmup_steps=2, cosine_steps=10)
    >>> [round(float(schedule(step)), 3) for step in (0, 1, 2, 10)]
    [0.0, 0.5, 1.0, 0.095]

    Args:
        warmup_steps: of the line; 0 leaves it out.
        cosine_steps: of the cosine alone, so that the whole takes the sum of the two (optax's
            `decay_steps` is the sum).
    """
    _positive(cosine_steps=cosine_steps)

    def decay(step: ArrayLike) -> jax.Array:
        share = jnp.minimum(jnp.asarray(step, jnp.float32) / cosine_steps, 1.0)
        return end + (jnp.asarray(peak) - end) * 0.5 * (1 + jnp.cos(jnp.pi * share))

    return _after_warmup(decay, peak, warmup_steps, cosine_steps, start)


def warmup_linear_decay(
    peak: ArrayLike, *, warmup_steps: int, linear_steps: int, start: float = 0.0, end: float = 0.0
) -> Schedule:
    """A line from `start` up to `peak`, then one down to `end`; steps as in `warmup_cosine_decay`.

    >>> schedule = warmup_linear_decay(1.0, warmup_steps=2, linear_steps=10)
    >>> [round(float(schedule(step)), 3) for step in (0, 1, 2, 10)]
    [0.0, 0.5, 1.0, 0.2]
    """
    _positive(linear_steps=linear_steps)
    decay = optax.linear_schedule(peak, end, linear_steps)
    return _after_warmup(decay, peak, warmup_steps, linear_steps, start)


def warmup_stable_decay(
    peak: ArrayLike,
    *,
    warmup_steps: int,
    stable_steps: int,
    decay_steps: int,
    start: float = 0.0,
    end: float = 0.0,
) -> Schedule:
    """A line up to `peak`, which stays, then a line to `end` (Hu et al. 2024, arXiv:2404.06395).

    A run can be prolonged from the last checkpoint before the decay, whose length alone is chosen.

    >>> schedule = warmup_stable_decay(1.0, warmup_steps=2, stable_steps=5, decay_steps=4)
    >>> [round(float(schedule(step)), 3) for step in (0, 1, 2, 7, 8, 11)]
    [0.0, 0.5, 1.0, 1.0, 0.75, 0.0]

    Args:
        warmup_steps, stable_steps, decay_steps: of the parts; the first two may be 0.
    Raises: ValueError for negative lengths, or no step of decay.
    """
    _positive(decay_steps=decay_steps)
    if stable_steps < 0:
        raise ValueError(f"stable_steps must not be negative, got {stable_steps}")
    line = optax.linear_schedule(peak, end, decay_steps, transition_begin=stable_steps)
    return _after_warmup(line, peak, warmup_steps, stable_steps + decay_steps, start)


def momentum_ramp(*, ramp_steps: int, start: float = 0.5, end: float = 0.9) -> Schedule:
    """A line from `start` to `end`, which then stays: momentum while training settles.

    >>> momentum_ramp(ramp_steps=10)(5)
    Array(0.7, dtype=float32)
    """
    _positive(ramp_steps=ramp_steps)
    return Schedule(optax.linear_schedule(start, end, ramp_steps))


def epochs(schedule: Callable, steps_per_epoch: int, *, smooth: bool = False) -> Schedule:
    """The schedule with its steps read as epochs.

    >>> epochs(step_decay(1.0, every_steps=1, factor=0.5), steps_per_epoch=100)(250)
    Array(0.25, dtype=float32)

    Args:
        schedule: what it calls steps are epochs here: `cosine_decay(0.1, decay_steps=30)` takes 30.
        steps_per_epoch: updates per epoch, `data.num_batches(len(split), batch_size)`.
        smooth: moves within an epoch too; otherwise the value holds for an epoch, as with torch's
            `scheduler.step()` after each.
    """
    _positive(steps_per_epoch=steps_per_epoch)
    length = getattr(schedule, "num_steps", None)

    def at(step: ArrayLike) -> jax.Array:
        step = jnp.asarray(step)
        return schedule(step / steps_per_epoch if smooth else step // steps_per_epoch)

    return Schedule(at, None if length is None else length * steps_per_epoch)


def check_length(schedule: Any, num_steps: int) -> None:
    """Raises ValueError if the schedule ends before the run does.

    The usual reason is a length given in epochs where steps are counted. A number, or a function
    that does not know its length (one of optax's own), passes.

    >>> check_length(constant_rate(0.1), 1000)
    """
    length = getattr(schedule, "num_steps", None)
    if length is not None and length < num_steps:
        raise ValueError(
            f"the schedule ends after {length} steps but the run takes {num_steps}: the other "
            f"{num_steps - length} would run at {float(schedule(length)):.3g} "
            "(is its length given in epochs? see optim.epochs)"
        )


def _after_warmup(
    decay: Callable, peak: ArrayLike, warmup_steps: int, decay_steps: int, start: float
) -> Schedule:
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must not be negative, got {warmup_steps}")
    if warmup_steps == 0:
        return Schedule(decay, decay_steps)
    warmup = optax.linear_schedule(start, peak, warmup_steps)
    return Schedule(
        optax.join_schedules([warmup, decay], [warmup_steps]), warmup_steps + decay_steps
    )


def _positive(**counts: int) -> None:
    for name, count in counts.items():
        if not count >= 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
