"""From the numbers of several seeds to a verdict on two ways to train."""

import bisect
import dataclasses

import numpy as np
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class SeedComparison:
    """What n and m runs say about a difference; made by `compare`."""

    mean: float  # of the first, less that of the second
    low: float  # of the 95 % interval of Welch's test
    high: float
    p: float  # Welch's, two-sided
    p_paired: float  # of the paired t-test, NaN where the runs are no pairs
    effect: float  # Hedges' g: the difference in units of the runs' own spread
    means: tuple[float, float]
    deviations: tuple[float, float]  # of the samples
    counts: tuple[int, int]

    def seeds_for(self, difference: float, *, power: float = 0.8) -> int:
        """Runs of each that would find such a difference in a share `power` of the cases, at 5 %.

        >>> compare([0.90, 0.92, 0.94], [0.89, 0.91, 0.93]).seeds_for(0.02)
        17

        Raises: ValueError for a difference that is not positive or a power outside (0, 1).
        """
        from scipy import stats

        if not difference > 0 or not 0 < power < 1:
            raise ValueError(f"need difference > 0 and power in (0, 1), got {difference}, {power}")
        spread = float(np.sqrt(np.mean(np.square(self.deviations))))

        def enough(n: int) -> bool:
            shift = difference / (spread * np.sqrt(2 / n)) if spread else np.inf
            if n > 1000:  # the t distribution is normal there to all digits that n has
                return bool(stats.norm.sf(stats.norm.ppf(0.975) - shift) >= power)
            found = stats.nct.sf(stats.t.ppf(0.975, 2 * n - 2), 2 * n - 2, shift)
            return bool(np.isinf(shift) or found >= power)

        most = 2
        while not enough(most):
            most *= 2
        return bisect.bisect_left(range(most), True, lo=2, key=enough)

    def __str__(self) -> str:
        first, second = (
            f"{mean:.4f} +- {deviation:.4f} (n = {n})"
            for mean, deviation, n in zip(self.means, self.deviations, self.counts, strict=True)
        )
        paired = "" if np.isnan(self.p_paired) else f", paired p {self.p_paired:.3g}"
        return (
            f"{first} against {second}: difference {self.mean:.4f} "
            f"[{self.low:.4f}, {self.high:.4f}], p {self.p:.3g}{paired}, effect {self.effect:.2f}"
        )


def compare(first: ArrayLike, second: ArrayLike, *, paired: bool = False) -> SeedComparison:
    """Compares a number over the seeds of two ways to train, `SweepResult.final(name)` say.

    >>> print(compare([0.90, 0.92, 0.94], [0.86, 0.88, 0.87]))
    0.9200 +- 0.0200 (n = 3) against 0.8700 +- 0.0100 (n = 3): difference 0.0500 \
[0.0084, 0.0916], p 0.0316, effect 2.53

    Args:
        first, second: `[n]` and `[m]`, two runs of each at least. NaN, of a member that diverged,
            is refused: leaving it out would flatter the way that diverges.
        paired: the i-th of both share seed and data, so that n = m.
    Returns: `SeedComparison`. Where no run differs from another, p is 1 or 0.
    Raises: ValueError for fewer runs, pairs that do not match, or numbers that are not finite.
    Reference: Welch 1947; Hedges 1981.
    """
    from scipy import stats

    a, b = (np.asarray(values, float) for values in (first, second))
    if a.ndim != 1 or b.ndim != 1 or min(len(a), len(b)) < 2:
        raise ValueError(f"need at least two runs of each, got shapes {a.shape} and {b.shape}")
    if paired and len(a) != len(b):
        raise ValueError(f"pairs need as many runs of each, got {len(a)} and {len(b)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("some runs have no finite number (a member diverged); say why first")
    mean, n, m = float(a.mean() - b.mean()), len(a), len(b)
    spread = [values.std(ddof=1) for values in (a, b)]
    pooled = np.sqrt(((n - 1) * spread[0] ** 2 + (m - 1) * spread[1] ** 2) / (n + m - 2))
    if pooled == 0:
        p, low, high = float(mean == 0), mean, mean
        effect = 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    else:
        test = stats.ttest_ind(a, b, equal_var=False)
        p, (low, high) = test.pvalue, test.confidence_interval()
        effect = mean / pooled * (1 - 3 / (4 * (n + m) - 9))
    p_paired = np.nan
    if paired:
        apart = np.ptp(a - b) > 0
        p_paired = stats.ttest_rel(a, b).pvalue if apart else float(mean == 0)
    return SeedComparison(
        mean=mean,
        low=float(low),
        high=float(high),
        p=float(p),
        p_paired=float(p_paired),
        effect=float(effect),
        means=(float(a.mean()), float(b.mean())),
        deviations=(float(spread[0]), float(spread[1])),
        counts=(n, m),
    )


@dataclasses.dataclass(frozen=True)
class PerformanceProfile:
    """How near S ways come to the best of them on P problems; made by `performance_profile`."""

    ratios: np.ndarray  # [S, P] times the least cost of the problem; inf for a miss
    scores: np.ndarray  # [S] area under the profile up to `most`, 1 for the best on every problem
    most: float

    def share(self, ratio: float) -> np.ndarray:
        """Problems that each way solves at no more than so many times the least cost, `[S]`."""
        return np.mean(self.ratios <= ratio, axis=1)


def performance_profile(costs: ArrayLike, *, most: float = 4.0) -> PerformanceProfile:
    """Puts times to a target on several problems together, as AlgoPerf scores optimizers.

    A way's profile is the share of problems that it solves at no more than r times the least cost
    of any way; its score is the mean of that over r from 1 to `most`.

    >>> found = performance_profile([[2.0, 9.0], [4.0, 3.0], [np.inf, 3.0]])
    >>> found.ratios.tolist(), found.scores.round(3).tolist()
    ([[1.0, 3.0], [2.0, 1.0], [inf, 1.0]], [0.667, 0.833, 0.5])

    Args:
        costs: `[S, P]`, positive; inf where a target was not reached.
        most: greatest ratio that counts for something, above 1.
    Raises: ValueError for another shape, costs that are no times, or `most` of 1 or less.
    Reference: Dolan & More, Benchmarking optimization software with performance profiles, 2002;
        Dahl et al., Benchmarking neural network training algorithms, 2023, sec. 4.
    """
    costs = np.asarray(costs, float)
    if costs.ndim != 2 or not costs.size or not (costs > 0).all():
        raise ValueError(f"costs need a shape [S, P] and positive numbers, got {costs.shape}")
    if not most > 1:
        raise ValueError(f"most must be above 1, got {most}")
    least = costs.min(axis=0)
    ratios = np.where(np.isinf(costs), np.inf, costs / np.where(np.isinf(least), 1.0, least))
    scores = np.mean(np.clip((most - ratios) / (most - 1), 0, None), axis=1)
    return PerformanceProfile(ratios, scores, most)
