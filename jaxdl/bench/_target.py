"""Time to a target: what a change of model, optimizer or device is worth in the end."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Study:
    """One training run toward the target.

    Attributes:
        seconds: of training until the target was reached, or until the rounds ran out.
        rounds: trained.
        value: of the metric at the end.
        reached: whether it got there.
    """

    seconds: float
    rounds: int
    value: float
    reached: bool


def time_to_target(
    advance: Callable[[Any], Any],
    evaluate: Callable[[Any], float],
    states: Sequence[Any],
    *,
    target: float,
    max_rounds: int,
    mode: str = "max",
) -> list[Study]:
    """Trains each state until `evaluate` reaches the target; the clock stops while it evaluates.

    Compile both functions before: a first call inside the clock would be counted.

    Args:
        advance: trains one round (an epoch, some hundred steps) and returns the new state.
        evaluate: the metric of a state.
        states: the starting states of the studies, one per seed.
        target: the value to reach.
        max_rounds: after which a study gives up.
        mode: "max" if more is better, else "min".

    Returns:
        A `Study` per state; `median_seconds` sums them up.

    >>> studies = time_to_target(lambda n: n + 1, float, [0, 5], target=7, max_rounds=10)
    >>> [study.rounds for study in studies]
    [7, 2]

    Raises:
        ValueError: if there is no state, `max_rounds` is below 1 or `mode` is unknown.

    Reference: Dahl et al. 2023, Benchmarking neural network training algorithms, arXiv:2306.07179.
    """
    if not states or max_rounds < 1 or mode not in ("max", "min"):
        raise ValueError(
            f"need a state, max_rounds >= 1 and mode max or min, got {len(states)} states, "
            f"{max_rounds} and {mode!r}"
        )
    sign = 1 if mode == "max" else -1
    studies = []
    for state in states:
        seconds, value = 0.0, float("nan")
        rounds = 0
        while rounds < max_rounds:
            rounds += 1
            start = time.perf_counter()
            state = jax.block_until_ready(advance(state))
            seconds += time.perf_counter() - start
            value = float(evaluate(state))
            if sign * value >= sign * target:
                break
        studies.append(Study(seconds, rounds, value, sign * value >= sign * target))
    return studies


def median_seconds(studies: Sequence[Study]) -> float:
    """The median over the studies; one that never got there counts as infinite.

    >>> median_seconds([Study(1.0, 1, 0.9, True), Study(3.0, 3, 0.9, True)])
    2.0
    """
    return statistics.median(s.seconds if s.reached else float("inf") for s in studies)
