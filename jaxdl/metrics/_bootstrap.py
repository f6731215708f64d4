"""How sure a number is: intervals of any metric of this room, by resampling with Poisson weights.

Drawing N examples with replacement gives example i a count that is nearly Poisson(1). Drawn like
that the counts of different examples are independent, so that all resamples are kept in one pass
over the data and merge like the metric itself: they are the metric under other weights. The counts
of example i depend on the seed and on i alone, so the interval does not depend on the batches, and
two models that are judged on the same examples are resampled alike (`Bootstrap.versus`).

Reference: Chamandy et al., Estimating uncertainty for massive data streams, 2012; Hanley &
MacGibbon, Creating non-parametric bootstrap samples using Poisson frequencies, 2006.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from jaxdl.metrics._curves import AUROC, AveragePrecision, weighted_areas

# P(count <= k) of Poisson(1) in 2^-32; 13 and more, which 1e-10 and less of all counts are, is 12.
_CUMULATIVE = np.cumsum([2**32 * math.exp(-1) / math.factorial(k) for k in range(12)])
_CHUNK = 2**18  # counts of curves that are held at once: a processor's cache


@dataclasses.dataclass(frozen=True)
class Interval:
    """A number with its interval and standard error.

    >>> print(Interval(0.91, 0.89, 0.93, 0.01))
    0.9100 [0.8900, 0.9300]
    """

    value: float
    low: float
    high: float
    error: float  # standard deviation over the resamples

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclasses.dataclass(frozen=True)
class PairedDifference(Interval):
    """The difference of two numbers on the same examples, and how easily chance would make it.

    >>> print(PairedDifference(0.02, 0.01, 0.03, 0.005, 0.002))
    0.0200 [0.0100, 0.0300], p 0.0020
    """

    p: float  # two-sided: how often the resampled differences lie on either side of 0

    def __str__(self) -> str:
        return f"{super().__str__()}, p {self.p:.4f}"


@struct.dataclass
class Bootstrap:
    """The state of a metric, and its states under R resamples; made by what `bootstrap` returns."""

    whole: Any  # of the examples as they are
    replicas: Any  # the same with a leading axis [R]; None for areas under curves
    index: jax.Array  # of the examples whose scores are kept, for areas under curves
    resamples: int = struct.field(pytree_node=False)
    seed: int = struct.field(pytree_node=False)
    level: float = struct.field(pytree_node=False)

    def merge(self, other: Self) -> Self:
        """That of both sets of examples.

        Raises: ValueError if they were resampled in different ways.
        """
        self._check_alike(other)
        replicas = self.replicas
        if replicas is not None:
            replicas = jax.vmap(lambda a, b: a.merge(b))(replicas, other.replicas)
        return dataclasses.replace(
            self,
            whole=self.whole.merge(other.whole),
            replicas=replicas,
            index=jnp.concatenate([self.index, other.index]),
        )

    def values(self) -> Any:
        """The metric under each resample, `[R]` for every number that it computes."""
        if self.replicas is not None:
            return jax.tree.map(np.asarray, jax.vmap(lambda state: state.compute())(self.replicas))
        areas = weighted_areas(self.whole)
        index, pairs = self.index[areas.order], -(-self.resamples // 2)
        at_once = min(pairs, max(1, _CHUNK // max(1, 2 * len(index))))
        drawn = [
            areas.under(np.asarray(_counts(index, start + jnp.arange(at_once), self.seed)))
            for start in range(0, pairs, at_once)
        ]
        return np.concatenate(drawn)[: self.resamples]

    def compute(self) -> Any:
        """An `Interval` for every number of the metric: percentiles of the resampled ones.

        Resamples in which the number is undefined (an area with one class) are left out. A number
        that few examples bias (a calibration error, a maximum) is biased anew in every resample:
        its interval then leans to that side, and may leave out the number itself.
        """
        return jax.tree.map(
            lambda value, drawn: Interval(float(value), *_spread(drawn, self.level)),
            self.whole.compute(),
            self.values(),
        )

    def versus(self, other: Self) -> Any:
        """A `PairedDifference`, this minus the other, for every number.

        Both have to be of the same examples, which their indices then name alike.

        Raises: ValueError if they were resampled in different ways.
        """
        self._check_alike(other)

        def difference(a: Any, b: Any, drawn_a: Any, drawn_b: Any) -> PairedDifference:
            drawn = drawn_a - drawn_b
            drawn = drawn[np.isfinite(drawn)]
            side = min(np.sum(drawn <= 0), np.sum(drawn >= 0))
            p = min(1.0, 2 * (side + 1) / (len(drawn) + 1))
            return PairedDifference(float(a - b), *_spread(drawn, self.level), p)

        states = (self.whole.compute(), other.whole.compute())
        return jax.tree.map(difference, *states, self.values(), other.values())

    def _check_alike(self, other: Self) -> None:
        ours, theirs = (
            (type(b.whole).__name__, b.resamples, b.seed, b.level) for b in (self, other)
        )
        if ours != theirs:
            raise ValueError(
                f"metric, resamples, seed and level must be the same: {ours} and {theirs}"
            )


def bootstrap(
    from_batch: Callable[..., Any], *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Callable[..., Bootstrap]:
    """Turns the `from_batch` of a metric into one that keeps its resamples as well.

    >>> from jaxdl.metrics import Accuracy
    >>> update = bootstrap(Accuracy.from_batch, resamples=200)
    >>> logits = jnp.array([[1.0, 0.0]] * 80 + [[0.0, 1.0]] * 20)  # 80 of 100 are right
    >>> one, two = jnp.arange(50), jnp.arange(50, 100)
    >>> state = update(logits[one], jnp.zeros(50, int), index=one)
    >>> state = state.merge(update(logits[two], jnp.zeros(50, int), index=two))
    >>> interval = state.compute()
    >>> interval.value, 0.68 < interval.low < 0.75, 0.84 < interval.high < 0.92
    (0.800000011920929, True, True)

    Args:
        from_batch: `(outputs, targets, mask, ...) -> state` of a metric whose masks may be weights,
            or of `AUROC` and `AveragePrecision` without a capacity.
        resamples: R. The metric's states are kept R times over, curves their scores once.
        seed: of the resampling.
        level: the share of resamples inside the interval.

    Returns: `update(outputs, targets, mask=None, *, index, **options) -> Bootstrap`. `index [B]`
        numbers the examples over the whole data set. Examples that share a number are drawn
        together: give all sentences of a text, or all items of a user, the number of that.

    Raises: ValueError if there are fewer than 2 resamples or level is not in (0, 1), and, when it
        is called, if `index` does not fit or a curve has a capacity.
    """
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2, got {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")

    def replicas_of(
        outputs: Any, targets: Any, weights: jax.Array, index: jax.Array, **options: Any
    ) -> Any:
        counts = _counts(index, jnp.arange(-(-resamples // 2)), seed)[:resamples]
        spread = (slice(None),) + (None,) * (weights.ndim - 1)

        def of_one(count: jax.Array) -> Any:
            return from_batch(outputs, targets, weights * count[spread], **options)

        return jax.vmap(of_one)(counts)

    compiled = jax.jit(replicas_of)

    def update(
        outputs: Any, targets: Any, mask: ArrayLike | None = None, *, index: Any, **options: Any
    ) -> Bootstrap:
        index = jnp.asarray(index)
        size = len(jax.tree.leaves(targets)[0])
        if index.shape != (size,) or not jnp.issubdtype(index.dtype, jnp.integer):
            raise ValueError(f"index needs {size} integers, got {index.dtype} {index.shape}")
        whole = from_batch(outputs, targets, mask, **options)
        kept: dict[str, Any] = {"resamples": resamples, "seed": seed, "level": level}
        if isinstance(whole, AUROC | AveragePrecision):
            if whole.capacity is not None:
                raise ValueError("a curve with a capacity cannot be resampled; leave it out")
            repeats = len(whole.scores) // max(1, size)  # of an example with several scores
            return Bootstrap(whole, None, jnp.repeat(index, repeats), **kept)
        weights = jnp.ones(size) if mask is None else jnp.asarray(mask, jnp.float32)
        make = replicas_of if options else compiled  # options may be static
        replicas = make(outputs, targets, weights, index, **options)
        return Bootstrap(whole, replicas, index[:0], **kept)

    return update


def bootstrap_states(
    states: Sequence[Any], *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The interval of a metric that lives on the host, from the states of its examples.

    For BLEU, whose state is a sum of counts, one state a sentence; for mean average precision,
    which is none, one state an image, merged anew for every resample.

    >>> from jaxdl.metrics import BLEU
    >>> pairs = [("the cat sat on it", "the cat sat on it"), ("a dog ran off", "the dog ran away")]
    >>> states = [BLEU.from_batch([a], [[b]]) for a, b in pairs * 20]
    >>> interval = bootstrap_states(states, resamples=100)
    >>> interval.low < interval.value < interval.high
    True

    Args:
        states: one of each example; their `compute` is a number.
        resamples, seed, level: as in `bootstrap`.
    Raises: ValueError without a state.
    """
    if not states:
        raise ValueError("bootstrap_states needs at least one state")
    drawn_pairs = _counts(jnp.arange(len(states)), jnp.arange(-(-resamples // 2)), seed)
    counts = np.asarray(drawn_pairs[:resamples]).astype(int)
    if _adds_up(states):
        leaves = [np.stack(parts) for parts in zip(*map(_fields, states), strict=True)]
        sums = [np.tensordot(counts, leaf, axes=1) for leaf in leaves]
        whole = _built(states[0], [leaf.sum(axis=0) for leaf in leaves])
        drawn = [_built(states[0], [part[r] for part in sums]).compute() for r in range(resamples)]
    else:
        whole = _merged(states)
        drawn = [
            _merged([s for s, n in zip(states, row, strict=True) for _ in range(n)]).compute()
            if row.any()
            else np.nan
            for row in counts
        ]
    return Interval(float(whole.compute()), *_spread(np.asarray(drawn, float), level))


@jax.jit
def _counts(index: jax.Array, pairs: jax.Array, seed: ArrayLike) -> jax.Array:
    """How often each example is drawn: Poisson(1), float32 `[2 P, N]`, from seed, pair and index.

    A hash of an example gives two words, and so a pair of resamples: 0 and 1 are pair 0.
    """

    def of_pair(pair: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), pair)
        words = jax.random.key_data(jax.vmap(jax.random.fold_in, (None, 0))(key, index))
        edges = [jnp.uint32(min(edge, 2**32 - 1)) for edge in _CUMULATIVE]
        return sum((edge <= words.T).astype(jnp.float32) for edge in edges)

    return jax.lax.map(of_pair, pairs).reshape(-1, len(index))


def _spread(drawn: np.ndarray, level: float) -> tuple[float, float, float]:
    """Percentiles and standard deviation of what is finite; NaN of nothing."""
    drawn = np.asarray(drawn, float)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), float(drawn.std(ddof=1))


def _fields(state: Any) -> list[Any]:
    return [getattr(state, field.name) for field in dataclasses.fields(state)]


def _built(like: Any, leaves: Sequence[Any]) -> Any:
    names = [field.name for field in dataclasses.fields(like)]
    return dataclasses.replace(like, **dict(zip(names, leaves, strict=True)))


def _merged(states: Sequence[Any]) -> Any:
    merged = states[0]
    for state in states[1:]:
        merged = merged.merge(state)
    return merged


def _adds_up(states: Sequence[Any]) -> bool:
    """Whether merging is adding the fields, all of them arrays: each with itself and the next one.

    Two states alone do not tell: the largest of 0 and 5 is their sum, but not that of 5 and 5.
    """
    if not all(isinstance(value, np.ndarray) for state in states for value in _fields(state)):
        return False

    def adds(first: Any, second: Any) -> bool:
        fields = zip(_fields(first), _fields(second), _fields(first.merge(second)), strict=True)
        return all(a.shape == both.shape and np.array_equal(a + b, both) for a, b, both in fields)

    following = [*states[1:], states[0]]
    return all(adds(s, s) and adds(s, t) for s, t in zip(states, following, strict=True))
