"""Seconds of a call: many of them, in turns, with an interval instead of a bare number."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

NOISY = 0.05  # a median known no better than this share of itself is called noisy
# XLA lets 32 programs a device be in flight. Devices of a CPU share one pool of threads: where a
# program that communicates has to wait for its turn, some of its devices hold the threads that the
# others need, and after a minute XLA ends the process. A call may be several programs.
_AHEAD = 8


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds per call, one number a repeat, in the order they were taken.

    >>> timing = Timing(seconds=(0.1, 0.1, 0.3))
    >>> timing.median, timing.rate(items=32)
    (0.1, 320.0)

    Attributes:
        seconds: of one call, the mean over the calls of a repeat.
        calls: how many calls a repeat was made of.
    """

    seconds: tuple[float, ...]
    calls: int = 1

    @property
    def median(self) -> float:
        """Seconds per call: the median over the repeats."""
        return statistics.median(self.seconds)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the median, from order statistics.

        It assumes nothing about the distribution but that repeats are independent; fewer than six
        repeats cannot carry 95 %, and the interval is then all that was seen.
        """
        return median_interval(self.seconds)

    @property
    def noise(self) -> float:
        """How well the median is known: half of the interval over the median."""
        low, high = self.interval
        return (high - low) / 2 / self.median

    @property
    def drift(self) -> float:
        """Median of the second half of the repeats over that of the first, less one."""
        half = len(self.seconds) // 2
        if not half:
            return 0.0
        first, second = self.seconds[:half], self.seconds[-half:]
        return statistics.median(second) / statistics.median(first) - 1

    @property
    def noisy(self) -> bool:
        """True if two such measurements may differ by more than 5 % with nothing changed."""
        return self.noise > NOISY or abs(self.drift) > 2 * NOISY

    def rate(self, items: float) -> float:
        """Items per second, if one call does so many."""
        return items / self.median


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times faster one side is than the other, repeat by repeat.

    >>> print(Ratio(median=1.5, low=1.4, high=1.7))
    1.50 [1.40, 1.70]
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def measure(
    function: Callable[..., Any],
    *args: Any,
    repeats: int = 10,
    warmup: int = 2,
    min_seconds: float = 0.01,
) -> Timing:
    """Times `function(*args)` until its result is ready.

    Dispatch returns before the work is done, so every repeat ends with `jax.block_until_ready`. A
    call too short for the clock is repeated within a repeat until it fills `min_seconds`. The
    first calls, compilation among them, are not counted.

    Args:
        function: what is timed; its arguments must not be donated (see `stepper`).
        args: handed to it.
        repeats: how many numbers are taken.
        warmup: calls before them, at least 1.
        min_seconds: that a repeat lasts at least.

    >>> import time
    >>> timing = measure(time.sleep, 0.01, repeats=3)
    >>> timing.median >= 0.01, len(timing.seconds)
    (True, 3)

    Raises:
        ValueError: if `repeats` or `warmup` is below 1.
    """
    return interleave(
        {"": lambda: function(*args)}, repeats=repeats, warmup=warmup, min_seconds=min_seconds
    )[""]


def interleave(
    functions: Mapping[str, Callable[[], Any]],
    *,
    repeats: int = 10,
    warmup: int = 2,
    min_seconds: float = 0.01,
) -> dict[str, Timing]:
    """Times several functions in turns, A B A B, so that other work on the machine hits all alike.

    Args:
        functions: by name, each without arguments.
        repeats: rounds, in each of which every function is timed once.
        warmup: calls of each before the first round, at least 1.
        min_seconds: that a repeat of each lasts at least.

    Returns:
        By name, a `Timing` with one number a round; `ratio` pairs them.

    >>> both = interleave({"a": lambda: sum(range(9)), "b": lambda: sum(range(99))}, repeats=3)
    >>> both["a"].median < both["b"].median
    True

    Raises:
        ValueError: if `repeats` or `warmup` is below 1.
    """
    if repeats < 1 or warmup < 1:
        raise ValueError(f"repeats and warmup must be at least 1, got {repeats} and {warmup}")
    calls = {}
    for name, function in functions.items():
        for _ in range(warmup):
            once = seconds_of(function, 1)
        calls[name] = max(1, math.ceil(min_seconds / max(once, 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            seconds[name].append(seconds_of(function, calls[name]) / calls[name])
    return {name: Timing(tuple(taken), calls[name]) for name, taken in seconds.items()}


def ratio(ours: Timing, theirs: Timing) -> Ratio:
    """How many times faster `ours` is: the median over the rounds of theirs / ours.

    Both have to come from one `interleave` (or `alternate`), since rounds are paired; the interval
    is the 95 % one of the median.

    >>> str(ratio(Timing((1.0, 1.0, 2.0)), Timing((2.0, 2.0, 4.0))))
    '2.00 [2.00, 2.00]'
    """
    paired = [b / a for a, b in zip(ours.seconds, theirs.seconds, strict=True)]
    return Ratio(statistics.median(paired), *median_interval(paired))


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a median by order statistics (binomial, one half).

    >>> median_interval([3.0, 1.0, 2.0])
    (1.0, 3.0)
    >>> median_interval(list(range(100)))
    (39, 60)
    """
    ordered, n = sorted(values), len(values)
    tail, below = (1 - confidence) / 2, 0.0
    rank = 0  # the interval runs from the rank-th smallest to the rank-th largest
    while rank < n // 2:
        below += math.comb(n, rank) / 2**n
        if below > tail:
            break
        rank += 1
    rank = max(rank - 1, 0)
    return ordered[rank], ordered[n - 1 - rank]


def stepper(step: Callable[..., tuple[Any, Any]], state: Any, *args: Any) -> Callable[[], Any]:
    """A function without arguments that takes one step further each time it is called.

    So steps with a donated state can be timed: the state is kept inside and handed on.

    >>> import jax.numpy as jnp
    >>> take = stepper(lambda state, x: (state + x, {}), jnp.array(0.0), 2.0)
    >>> take()[0], take()[0]
    (Array(2., dtype=float32), Array(4., dtype=float32))

    Args:
        step: `(state, *args) -> (state, metrics)`.
        state: where to start; copied, so that the caller's own survives donation.
        args: handed to every step.
    """
    held = [jax.tree.map(lambda x: x.copy() if isinstance(x, jax.Array) else x, state)]

    def take() -> Any:
        held[0], out = step(held[0], *args)
        return held[0], out

    return take


def seconds_of(function: Callable[[], Any], calls: int) -> float:
    """Seconds of so many calls one after the other, until the last result is ready."""
    start = time.perf_counter()
    for call in range(calls):
        out = function()
        if call % _AHEAD == _AHEAD - 1 and _shares_threads(out):
            jax.block_until_ready(out)
    jax.block_until_ready(out)
    return time.perf_counter() - start


def _shares_threads(result: Any) -> bool:
    """Whether several devices of a CPU compute it."""
    arrays = [leaf for leaf in jax.tree.leaves(result) if isinstance(leaf, jax.Array)]
    found = {device for array in arrays for device in array.devices()}
    return len(found) > 1 and all(device.platform == "cpu" for device in found)
