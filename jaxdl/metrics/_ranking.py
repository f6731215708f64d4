"""Ranking metrics of recommenders, over the full catalog, in expectation over ties.

B users, I items, P relevant and T known items of a user (lists padded by ids outside 0..I-1). Ranks
are counted, never sorted: `g` items score above a relevant one, `e` as much as it (itself
included), so that its place is uniform on g+1..g+e. A constant scorer scores what chance scores.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from jaxdl.metrics._base import Mean


@struct.dataclass
class Ranking:
    """Hit, recall, precision and NDCG at k, MRR, MAP and AUC: means over users.

    Known items are taken out of the catalog, also where they are listed as relevant, and
    repeated ids count once. A user with no relevant item left is left out, of AUC also one whose
    whole catalog is relevant. A score that is NaN makes that user's numbers, and the means, NaN.
    Precision@k divides by k; the gain of NDCG is 1 for a relevant item, its discount
    `1 / log2(1 + rank)`, as `sklearn.metrics.ndcg_score` has it.

    >>> scores, relevant = jnp.array([[3.0, 2.0, 1.0, 0.0]]), jnp.array([[1]])
    >>> numbers = Ranking.from_batch(scores, relevant, known=jnp.array([[0]]), ks=(1,)).compute()
    >>> float(numbers["hit@1"]), float(numbers["auc"])
    (1.0, 1.0)
    """

    means: dict[str, Mean]

    @classmethod
    def empty(cls, ks: Sequence[int] = (10, 50)) -> Self:
        return cls(means={name: Mean.empty() for name in _names(ks)})

    @classmethod
    def from_batch(
        cls,
        scores: ArrayLike,
        relevant: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        known: ArrayLike | None = None,
        ks: Sequence[int] = (10, 50),
    ) -> Self:
        """Ranks the catalog of each user.

        Args:
            scores: `[B, I]`, the greater the better; compared in their own dtype.
            relevant: ids `[B, P]` of the items to be found.
            mask: boolean `[B]`, False on users who are not there; or weights of users.
            known: ids `[B, T]` to leave out of the catalog, those of training.
            ks: cut-offs, each at least 1; those beyond I act as I, but for precision.
        Raises: ValueError if the shapes do not fit or a cut-off is below 1.
        """
        scores, relevant = jnp.asarray(scores), jnp.asarray(relevant)
        if scores.ndim != 2 or relevant.ndim != 2 or len(scores) != len(relevant):
            raise ValueError(
                f"need scores [B, I] and relevant [B, P], got {scores.shape} and {relevant.shape}"
            )
        known = jnp.zeros((len(scores), 0), jnp.int32) if known is None else jnp.asarray(known)
        if known.ndim != 2 or len(known) != len(scores):
            raise ValueError(f"need known [B, T] with B = {len(scores)}, got {known.shape}")
        values, counted = _per_user(scores, relevant, known, tuple(ks))
        if mask is None:
            return cls(means={n: Mean.from_values(values[n], counted[n]) for n in values})
        mask = jnp.asarray(mask)
        if mask.shape != (len(scores),):
            raise ValueError(f"need a mask [B] with B = {len(scores)}, got {mask.shape}")
        weights = {
            n: jnp.where(counts, mask, jnp.zeros_like(mask)) for n, counts in counted.items()
        }
        return cls(means={n: Mean.from_values(values[n], weights[n]) for n in values})

    def merge(self, other: Self) -> Self:
        return type(self)(means={n: mean.merge(other.means[n]) for n, mean in self.means.items()})

    def compute(self) -> dict[str, jax.Array]:
        return {name: mean.compute() for name, mean in self.means.items()}


def _names(ks: Sequence[int]) -> list[str]:
    if any(k < 1 for k in ks):
        raise ValueError(f"cut-offs must be at least 1, got {tuple(ks)}")
    at = [f"{name}@{k}" for name in ("hit", "recall", "precision", "ndcg") for k in ks]
    return sorted([*at, "mrr", "map", "auc"])


def _per_user(
    scores: jax.Array, relevant: jax.Array, known: jax.Array, ks: tuple[int, ...]
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    num_users, num_items = scores.shape
    row = jnp.arange(num_users)[:, None]
    known = jnp.where((known < 0) | (known >= num_items), num_items, known)
    allowed = jnp.ones((num_users, num_items), bool).at[row, known].set(False, mode="drop")

    inside = (relevant >= 0) & (relevant < num_items)
    item = jnp.where(inside, relevant, 0)
    same_item = item[:, :, None] == item[:, None, :]
    earlier = jnp.tri(relevant.shape[1], k=-1, dtype=bool)[None]
    repeated = jnp.any(same_item & earlier & inside[:, None, :], axis=2)
    real = inside & ~repeated & allowed[row, item]  # [B, P]
    own = scores[row, item]

    def count(
        compare: Callable[[Any, Any], jax.Array], other: jax.Array, among: jax.Array
    ) -> jax.Array:
        def of_one(own_p: jax.Array) -> jax.Array:  # one p at a time: [B, P, I] is never held
            counted = compare(other, own_p[:, None]) & among
            return jnp.sum(counted, axis=1, dtype=jnp.int32)

        return jax.lax.map(of_one, own.T).T

    # g, e among all items; G, r among the relevant ones; j is the place within the relevant tie.
    g, e = count(jnp.greater, scores, allowed), count(jnp.equal, scores, allowed)
    big_g, r = count(jnp.greater, own, real), count(jnp.equal, own, real)
    tied_earlier = (own[:, None, :] == own[:, :, None]) & real[:, None, :] & earlier
    j = jnp.sum(tied_earlier, axis=2, dtype=jnp.int32)
    e, r = jnp.maximum(e, 1), jnp.maximum(r, 1)  # 0 where own is NaN

    m, n = jnp.sum(real, axis=1), jnp.sum(allowed, axis=1)
    rank = np.arange(1, num_items + 1)
    harmonic, discount = _Cumulative(1 / rank), _Cumulative(1 / np.log2(rank + 1))
    h = harmonic.between(g, g + e)  # sum of 1 / rank over the places the item may take

    def total(values: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(real, values, 0), axis=1)

    safe_m = jnp.maximum(m, 1)
    values = {}
    for k in ks:
        found = jnp.clip((k - g) / e, 0, 1)  # probability of a place within k
        values[f"recall@{k}"] = total(found) / safe_m
        values[f"precision@{k}"] = total(found) / k
        missed = jnp.clip((e - (k - g) - j) / (e - j), 0, 1)  # given that the j before are missed
        values[f"hit@{k}"] = 1 - jnp.prod(jnp.where(real & (g < k), missed, 1), axis=1)
        top = min(k, num_items)
        gain = total(discount.between(jnp.minimum(g, top), jnp.minimum(g + e, top)) / e)
        values[f"ndcg@{k}"] = gain / discount.between(0, jnp.minimum(safe_m, top))
    # Given place t of its tie, (t - 1)(r - 1)/(e - 1) of the relevant items tied are ahead of it.
    ahead = (r - 1) / jnp.maximum(e - 1, 1) * (e - (g + 1) * h)
    values["map"] = total(((1 + big_g) * h + ahead) / e) / safe_m
    values["mrr"] = _reciprocal_of_first(real, g, e, r, h, num_items)
    # One after the other: the number of pairs may leave an int32.
    below = ((g - big_g) + (e - r) / 2) / jnp.maximum(n - m, 1)[:, None]
    values["auc"] = 1 - total(below) / safe_m

    sound = ~jnp.any(jnp.isnan(scores) & allowed, axis=1)
    values = {name: jnp.where(sound, value, jnp.nan) for name, value in values.items()}
    counted = dict.fromkeys(_names(ks), m > 0)
    counted["auc"] = (m > 0) & (n > m)
    return {name: values[name] for name in counted}, counted


def _reciprocal_of_first(
    real: jax.Array, g: jax.Array, e: jax.Array, r: jax.Array, h: jax.Array, num_items: int
) -> jax.Array:
    """Expected `1 / rank` of the first relevant item: r of the e items of the first tie are."""
    if real.shape[1] == 0:
        return jnp.zeros(len(real))
    first = jnp.min(jnp.where(real, g, num_items), axis=1, keepdims=True)
    in_first = real & (g == first)

    def of_first(values: jax.Array) -> jax.Array:
        return jnp.max(jnp.where(in_first, values, 0), axis=1)

    g, e, r, h = first[:, 0], of_first(e), of_first(r), of_first(h)
    e = jnp.maximum(e, 1)

    def step(t: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        expected, later = carry  # P(T > t + 1) / P(T > t) = (e - r - t) / (e - t)
        now = later * jnp.minimum(r / jnp.maximum(e - t, 1), 1)
        return expected + now / (g + t + 1), later - now

    longest = jnp.max(jnp.where(r > 1, e, 0), initial=0)  # distinct scores need no step
    start = jnp.zeros_like(h), jnp.ones_like(h)
    several = jax.lax.fori_loop(0, longest, step, start)[0]
    return jnp.where(r > 1, several, h / e)


class _Cumulative:
    """Sums of a range of float64 terms, by a table in two float32 parts: differences stay exact."""

    def __init__(self, terms: np.ndarray) -> None:
        table = np.concatenate([[0.0], np.cumsum(terms)])
        self.high = table.astype(np.float32)
        self.low = (table - self.high).astype(np.float32)

    def between(self, start: ArrayLike, stop: ArrayLike) -> jax.Array:
        """Sum of the terms start..stop-1."""
        high, low = jnp.asarray(self.high), jnp.asarray(self.low)
        start, stop = jnp.asarray(start), jnp.asarray(stop)
        return (high[stop] - high[start]) + (low[stop] - low[start])
