"""Fitted transforms of numeric tables `[N, D]` in which NaN means missing.

Each `fit_*` gives a pytree whose methods apply it to any table with the same columns: fit on the
training rows, apply everywhere. Statistics leave NaN out, and a row whose `mask` is False, so that
folds fit inside one compiled program. Columns without a single value get harmless statistics
(fill 0, shift 0, scale 1), a constant column scales to 0 (min-max: to the low end).
"""

import warnings
from collections.abc import Callable
from typing import Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

Rule = Literal["iqr", "sigma", "mad"]


@struct.dataclass
class Scaler:
    """`(x - shift) / scale + offset` column by column, and its inverse; NaN stays NaN.

    >>> standard = fit_standard(jnp.array([[1.0], [3.0]]))  # mean 2, deviation 1
    >>> standard.apply([[5.0]]), standard.inverse([[3.0]])
    (Array([[3.]], dtype=float32), Array([[5.]], dtype=float32))
    """

    shift: jax.Array  # [D]
    scale: jax.Array  # [D], never 0
    offset: jax.Array  # [D], what the rounding of the shift left out in it

    def apply(self, x: ArrayLike) -> jax.Array:
        return _less(x, self.shift) / self.scale[None] + self.offset[None]

    def inverse(self, z: ArrayLike) -> jax.Array:
        return (_table(z) - self.offset[None]) * self.scale[None] + self.shift[None]


def fit_min_max(
    x: ArrayLike, mask: ArrayLike | None = None, *, low: float = 0.0, high: float = 1.0
) -> Scaler:
    """Brings every column to [low, high]; unseen values may fall outside.

    >>> fit_min_max(jnp.array([[1.0, 10.0], [3.0, 30.0]])).apply([[2.0, 40.0]])
    Array([[0.5, 1.5]], dtype=float32)

    Raises: ValueError unless `low < high`.
    """
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}")
    x, start = _near(x, mask, np.nanmin)
    least, most = jnp.nanmin(x, axis=0), jnp.nanmax(x, axis=0)
    return _affine(start, least, (most - least) / (high - low), offset=low)


def fit_standard(x: ArrayLike, mask: ArrayLike | None = None, *, ddof: int = 0) -> Scaler:
    """Brings every column to mean 0 and standard deviation 1 (z-score).

    `ddof=0` divides by N, as scikit-learn does; `ddof=1` by N - 1, as pandas does.

    >>> x = jnp.array([[1.0, 10.0], [3.0, 30.0]])
    >>> fit_standard(x).apply(x)
    Array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    x, start = _near(x, mask, np.nanmean)
    return _affine(start, _mean(x), _deviation(x, ddof))


def fit_robust(
    x: ArrayLike, mask: ArrayLike | None = None, *, quantiles: tuple[float, float] = (0.25, 0.75)
) -> Scaler:
    """Brings every column to median 0 and distance 1 between two quantiles (interpolated).

    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0], [100.0]])  # quartiles 2, 3, 4
    >>> fit_robust(x).apply([[3.0], [5.0]])[:, 0]
    Array([0., 1.], dtype=float32)

    Raises: ValueError unless the quantiles rise within 0..1.
    """
    if not 0 <= quantiles[0] < quantiles[1] <= 1:
        raise ValueError(f"quantiles must rise within [0, 1], got {quantiles}")
    x, start = _near(x, mask, np.nanmedian)
    low, middle, high = jnp.nanquantile(x, jnp.array([quantiles[0], 0.5, quantiles[1]]), axis=0)
    return _affine(start, middle, high - low)


@struct.dataclass
class Imputer:
    """Puts one value a column where a value is missing.

    >>> Imputer(jnp.array([0.0, 9.0])).apply([[jnp.nan, 1.0], [2.0, jnp.nan]])
    Array([[0., 1.],
           [2., 9.]], dtype=float32)
    """

    values: jax.Array  # [D]

    def apply(self, x: ArrayLike) -> jax.Array:
        x = _table(x)
        return jnp.where(jnp.isnan(x), self.values[None], x)


def fit_imputer(
    x: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    how: Literal["mean", "median", "mode", "min", "max"] | float = "mean",
) -> Imputer:
    """What to put for missing values: a statistic of each column, or one number for all.

    The mode is the most frequent value, the least of several; a column that is missing throughout
    is filled with 0.

    >>> x = jnp.array([[1.0, jnp.nan], [3.0, 5.0]])
    >>> fit_imputer(x).values, fit_imputer(x, how=-1.0).values
    (Array([2., 5.], dtype=float32), Array([-1., -1.], dtype=float32))

    Raises: ValueError for an unknown `how`.
    """
    x = _seen(x, mask)
    statistics = {
        "mean": lambda: jnp.nanmean(x, axis=0),
        "median": lambda: jnp.nanmedian(x, axis=0),
        "mode": lambda: jax.vmap(_mode, 1)(x),
        "min": lambda: jnp.nanmin(x, axis=0),
        "max": lambda: jnp.nanmax(x, axis=0),
    }
    if not isinstance(how, str):
        return Imputer(jnp.full(x.shape[1], how, x.dtype))
    if how not in statistics:
        raise ValueError(f"how must be one of {sorted(statistics)} or a number, got {how!r}")
    return Imputer(jnp.nan_to_num(statistics[how](), nan=0.0))


def fill_forward(x: ArrayLike) -> jax.Array:
    """Puts the last value above for a missing one; missing values at the top stay missing.

    >>> fill_forward(jnp.array([[jnp.nan], [1.0], [jnp.nan], [3.0]]))[:, 0]
    Array([nan,  1.,  1.,  3.], dtype=float32)
    """
    x = _table(x)
    row = jnp.arange(x.shape[0])[:, None]
    last = jax.lax.cummax(jnp.where(jnp.isnan(x), -1, row), axis=0)
    above = jnp.take_along_axis(x, jnp.maximum(last, 0), axis=0)
    return jnp.where(last >= 0, above, jnp.nan)


def fill_backward(x: ArrayLike) -> jax.Array:
    """Puts the next value below for a missing one; missing values at the bottom stay missing.

    >>> fill_backward(jnp.array([[1.0], [jnp.nan], [3.0], [jnp.nan]]))[:, 0]
    Array([ 1.,  3.,  3., nan], dtype=float32)
    """
    return fill_forward(_table(x)[::-1])[::-1]


def missing_share(x: ArrayLike) -> jax.Array:
    """Share of missing values of each column, `[D]`; keep those up to 0.5, say.

    >>> missing_share(jnp.array([[1.0, jnp.nan], [3.0, 5.0]]))
    Array([0. , 0.5], dtype=float32)
    """
    return jnp.mean(jnp.isnan(_table(x)), axis=0)


def complete_rows(x: ArrayLike) -> np.ndarray:
    """Which rows miss nothing, `[N]` booleans on the host: `x[complete_rows(x)]`.

    >>> complete_rows(jnp.array([[1.0, jnp.nan], [3.0, 5.0]]))
    array([False,  True])
    """
    return ~np.isnan(np.asarray(_table(x))).any(axis=1)


@struct.dataclass
class Bounds:
    """The range of each column outside which a value is an outlier; a missing value is none.

    >>> bounds = Bounds(low=jnp.array([0.0]), high=jnp.array([9.0]))
    >>> bounds.flag([[5.0], [12.0]])[:, 0], bounds.clip([[5.0], [12.0]])[:, 0]
    (Array([False,  True], dtype=bool), Array([5., 9.], dtype=float32))
    """

    low: jax.Array  # [D]
    high: jax.Array  # [D]

    def flag(self, x: ArrayLike) -> jax.Array:
        """True `[N, D]` at outliers."""
        x = _table(x)
        return (x < self.low[None]) | (x > self.high[None])

    def clip(self, x: ArrayLike) -> jax.Array:
        """Outliers moved to the nearer bound."""
        return jnp.clip(_table(x), self.low[None], self.high[None])

    def replace_with(self, x: ArrayLike, value: ArrayLike = jnp.nan) -> jax.Array:
        """Outliers replaced by a number or a row `[D]`; NaN marks them missing, to be filled."""
        x = _table(x)
        return jnp.where(self.flag(x), jnp.broadcast_to(jnp.asarray(value), x.shape[1:])[None], x)


def fit_bounds(
    x: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    rule: Rule = "iqr",
    factor: float | None = None,
    ddof: int = 0,
    consistent: bool = True,
) -> Bounds:
    """Bounds of the values that are no outliers, column by column.

    >>> bounds = fit_bounds(jnp.array([[1.0], [2.0], [3.0], [4.0], [100.0]]))  # quartiles 2 and 4
    >>> bounds.low, bounds.high
    (Array([-1.], dtype=float32), Array([7.], dtype=float32))

    Args:
        x: `[N, D]`.
        mask: `[N]`, rows to look at.
        rule: "iqr", the box plot's `[Q1 - f IQR, Q3 + f IQR]` with f = 1.5 (interpolated);
            "sigma", `mean +- f std` with f = 3; "mad", `median +- f MAD` with f = 3.
        factor: f.
        ddof: 0 or 1, of the standard deviation.
        consistent: multiplies the MAD by 1.4826, so that it estimates a normal's deviation.
    Returns: `Bounds`; infinite for a column without a value.
    Raises: ValueError for an unknown `rule`.
    """
    x = _seen(x, mask)
    if rule == "iqr":
        low, high = jnp.nanquantile(x, jnp.array([0.25, 0.75]), axis=0)
        reach = (1.5 if factor is None else factor) * (high - low)
    elif rule == "sigma":
        low = high = _mean(x)
        reach = (3.0 if factor is None else factor) * _deviation(x, ddof)
    elif rule == "mad":
        low = high = jnp.nanmedian(x, axis=0)
        deviation = jnp.nanmedian(jnp.abs(x - low[None]), axis=0)
        reach = (3.0 if factor is None else factor) * deviation * (1.4826 if consistent else 1.0)
    else:
        raise ValueError(f'rule must be "iqr", "sigma" or "mad", got {rule!r}')
    return Bounds(
        jnp.nan_to_num(low - reach, nan=-jnp.inf, neginf=-jnp.inf, posinf=jnp.inf),
        jnp.nan_to_num(high + reach, nan=jnp.inf, neginf=-jnp.inf, posinf=jnp.inf),
    )


def binarize(x: ArrayLike, threshold: ArrayLike = 0.0) -> jax.Array:
    """1 above the threshold, 0 up to it, as scikit-learn's `Binarizer`; NaN stays NaN.

    >>> binarize(jnp.array([0.2, 0.5, 0.9]), threshold=0.5)
    Array([0., 0., 1.], dtype=float32)
    """
    x = jnp.asarray(x)
    return jnp.where(jnp.isnan(x), jnp.nan, (x > threshold).astype(jnp.float32))


@struct.dataclass
class Discretizer:
    """Bins between rising edges, column by column.

    >>> ages = Discretizer(jnp.array([[0.0, 18.0, 65.0, 120.0]]))
    >>> ages.apply([[7.0], [18.0], [80.0]])[:, 0], ages.inverse([[0]])
    (Array([0, 1, 2], dtype=int32), Array([[9.]], dtype=float32))
    """

    edges: jax.Array  # [D, E]

    def apply(self, x: ArrayLike, *, right: bool = False) -> jax.Array:
        """Number of each value's bin, int32 `[N, D]`, from 0 to E - 2.

        Bins hold their left edge (`right=False`, NumPy and scikit-learn) or their right one
        (pandas' `cut`). Values beyond the outer edges go to the outer bins, NaN to -1.
        """
        x = _table(x)
        side = "left" if right else "right"
        inner = self.edges[:, 1:-1]
        place = jax.vmap(lambda e, v: jnp.searchsorted(e, v, side=side), (0, 1), 1)(inner, x)
        return jnp.where(jnp.isnan(x), -1, place).astype(jnp.int32)

    def inverse(self, codes: ArrayLike) -> jax.Array:
        """The middle of each bin; NaN for -1."""
        codes = jnp.asarray(codes)
        middle = (self.edges[:, 1:] + self.edges[:, :-1]) / 2
        value = jax.vmap(lambda m, c: m[c], (0, 1), 1)(middle, jnp.maximum(codes, 0))
        return jnp.where(codes < 0, jnp.nan, value)


def fit_discretizer(
    x: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    count: int,
    strategy: Literal["uniform", "quantile"] = "uniform",
) -> Discretizer:
    """`count` bins a column, of one width or (as nearly as ties allow) one number of rows.

    For bins at chosen edges write `Discretizer(edges)`.

    >>> x = jnp.array([[0.0], [1.0], [10.0]])
    >>> fit_discretizer(x, count=2).edges, fit_discretizer(x, count=2, strategy="quantile").edges
    (Array([[ 0.,  5., 10.]], dtype=float32), Array([[ 0.,  1., 10.]], dtype=float32))

    Raises: ValueError if `count` is below 1, or for an unknown `strategy`.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if strategy not in ("uniform", "quantile"):
        raise ValueError(f'strategy must be "uniform" or "quantile", got {strategy!r}')
    x = _seen(x, mask)
    if strategy == "quantile":
        return Discretizer(
            jnp.nan_to_num(jnp.nanquantile(x, jnp.linspace(0, 1, count + 1), axis=0).T)
        )
    low, high = jnp.nan_to_num(jnp.nanmin(x, axis=0)), jnp.nan_to_num(jnp.nanmax(x, axis=0))
    return Discretizer(jnp.linspace(low, high, count + 1, axis=1))


@struct.dataclass
class OneHotEncoder:
    """The categories of one column of text or integers, in sorted order, and what else may come.

    >>> color = OneHotEncoder.fit(["red", "blue", "red"])
    >>> color.names, color.codes(["red", "blue"]), color.one_hot(["red"])
    (('blue', 'red'), array([1, 0], dtype=int32), array([[0., 1.]], dtype=float32))
    """

    names: tuple[str | int, ...] = struct.field(pytree_node=False)
    unknown: Literal["error", "ignore"] = struct.field(pytree_node=False, default="error")

    @classmethod
    def fit(cls, values: ArrayLike, *, unknown: Literal["error", "ignore"] = "error") -> Self:
        """Collects the categories of a column on the host.

        `unknown` is the policy for a category that was not there: "error" raises, "ignore" gives
        it the code -1 and a row of zeros.
        """
        if unknown not in ("error", "ignore"):
            raise ValueError(f'unknown must be "error" or "ignore", got {unknown!r}')
        return cls(tuple(np.unique(np.asarray(values)).tolist()), unknown)

    def codes(self, values: ArrayLike) -> np.ndarray:
        """Ordinal codes `[N]`, the place in `names`, on the host (text never reaches a device)."""
        place = {name: code for code, name in enumerate(self.names)}
        column = np.asarray(values).tolist()
        codes = np.array([place.get(value, -1) for value in column], np.int32)
        if self.unknown == "error" and (codes < 0).any():
            row = int(np.argmax(codes < 0))
            raise ValueError(
                f"unknown category {column[row]!r} in row {row}; known are {self.names}"
            )
        return codes

    def one_hot(self, values: ArrayLike) -> np.ndarray:
        """Indicator columns `[N, len(names)]`, float32."""
        return (self.codes(values)[:, None] == np.arange(len(self.names))[None]).astype(np.float32)

    def inverse(self, codes: ArrayLike) -> np.ndarray:
        """Names of the codes; raises where a code is none of a known category."""
        codes = np.asarray(codes)
        if ((codes < 0) | (codes >= len(self.names))).any():
            raise ValueError(f"codes must lie in 0..{len(self.names) - 1}")
        return np.asarray(self.names)[codes]


def _table(x: ArrayLike) -> jax.Array:
    x = jnp.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"a table needs shape [N, D], got {x.shape}")
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _seen(x: ArrayLike, mask: ArrayLike | None) -> jax.Array:
    """The table with the rows outside the mask missing, so that no statistic sees them."""
    x = _table(x)
    if x.shape[0] == 0:
        raise ValueError("cannot fit a table without rows")
    if mask is None:
        return x
    mask = jnp.asarray(mask)
    if mask.shape != x.shape[:1]:
        raise ValueError(f"mask needs shape {x.shape[:1]}, got {mask.shape}")
    return jnp.where(mask[:, None] > 0, x, jnp.nan)


def _less(x: ArrayLike, shift: jax.Array) -> jax.Array:
    """`x - shift`, of float64 on the host before it is rounded to the float32 of the device."""
    if isinstance(x, np.ndarray) and x.ndim == 2 and not isinstance(shift, jax.core.Tracer):
        return _table(x.astype(np.float64) - np.asarray(shift, np.float64)[None])
    return _table(x) - shift[None]


def _near(
    x: ArrayLike, mask: ArrayLike | None, statistic: Callable[..., np.ndarray]
) -> tuple[jax.Array, jax.Array]:
    """The table as `_seen` without a first estimate of the statistic, and that `[D]`.

    At 100 +- .01 the place of a mean lies between two numbers of float32, and so do the values.
    """
    seen = _seen(x, mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a value
        if isinstance(seen, jax.core.Tracer):
            start = getattr(jnp, statistic.__name__)(seen, axis=0)
        else:
            start = jnp.asarray(statistic(np.asarray(seen, np.float64), axis=0), seen.dtype)
    start = jnp.where(jnp.isfinite(start), start, 0)
    return _seen(_less(x, start), mask), start


def _affine(start: jax.Array, rest: jax.Array, scale: jax.Array, offset: float = 0.0) -> Scaler:
    """Brings `start + rest` to `offset`, and a distance of `scale` to 1."""
    # A spread within the rounding of the values is none.
    noise = 4 * jnp.finfo(scale.dtype).eps * jnp.abs(start + rest)
    scale = jnp.where(jnp.isfinite(scale) & (scale > noise), scale, 1)
    return Scaler(start, scale, offset - jnp.nan_to_num(rest, nan=0.0) / scale)


def _mean(x: jax.Array) -> jax.Array:
    """Mean of what is not NaN; a second pass takes off what rounding left in the first."""
    mean = jnp.nanmean(x, axis=0)
    return mean + jnp.nanmean(x - mean[None], axis=0)


def _deviation(x: jax.Array, ddof: int) -> jax.Array:
    """Standard deviation with `ddof`, NaN where there are no more values than `ddof`."""
    count = jnp.sum(~jnp.isnan(x), axis=0)
    total = jnp.nansum((x - _mean(x)[None]) ** 2, axis=0)
    return jnp.where(count > ddof, jnp.sqrt(total / jnp.maximum(count - ddof, 1)), jnp.nan)


def _mode(column: jax.Array) -> jax.Array:
    values = jnp.sort(column)  # NaN last
    ends = jnp.searchsorted(values, values, side="right")
    count = jnp.where(jnp.isnan(values), 0, ends - jnp.searchsorted(values, values))
    return values[jnp.argmax(count)]
