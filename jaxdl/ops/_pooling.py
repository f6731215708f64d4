"""Pooling over `[B, spatial..., C]`, in one, two or three dimensions, with torch's size rules.

On CPU maxima are taken over shifted slices (XLA's `reduce_window` is a scalar loop there), and the
gradient follows the index of the first maximum, as in torch. Other backends keep `reduce_window`,
whose gradient picks the first maximum too; on NVIDIA's GPUs, where XLA spells that gradient out as
a scatter with an index array for every axis, the gradient is the CPU's. A NaN is a window's maximum
and takes its gradient; of several the last one does on CPU and GPU, as in torch.
"""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jaxdl import _checks
from jaxdl.ops._convolution import Padding, explicit_padding, per_axis
from jaxdl.ops._linear import linear_map


def max_pool(
    x: jax.Array,
    window: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    *,
    padding: Padding = 0,
    ceil_mode: bool = False,
) -> jax.Array:
    """Maximum over windows, as torch's `MaxPool`; padding counts as minus infinity.

    >>> max_pool(jnp.arange(6.0).reshape(1, 6, 1), 3, strides=1)[0, :, 0]
    Array([2., 3., 4., 5.], dtype=float32)

    Args:
        x: `[B, spatial..., C]`.
        window: size of the window, one number or one an axis.
        strides: its step; the window's size by default.
        padding: as in `conv`.
        ceil_mode: keeps a last window that starts inside the image and hangs over its edge.
    Returns: `[B, smaller..., C]`; a gradient goes to the first maximum of a window.
    Raises: ValueError if the window does not fit, or the padding exceeds half of it.
    """
    window, strides, pads = _geometry(x, window, strides, padding, ceil_mode, "max_pool")
    return _max_pool(x, window, strides, pads)


def avg_pool(
    x: jax.Array,
    window: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    *,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Mean over windows, as torch's `AvgPool`.

    >>> avg_pool(jnp.arange(6.0).reshape(1, 6, 1), 2)[0, :, 0]
    Array([0.5, 2.5, 4.5], dtype=float32)

    Args: as `max_pool`; `count_include_pad=False` divides by the number of real inputs of a window.
        With `ceil_mode` what hangs over the padded edge never counts, as in torch.
    """
    window, strides, pads = _geometry(x, window, strides, padding, ceil_mode, "avg_pool")
    given = explicit_padding(padding, x.shape[1:-1], window, strides)  # without the overhang

    dtype, x = jnp.result_type(x, 1.0), _checks.wide(x)  # sums in float32

    def total(x: jax.Array, pads: Sequence[tuple[int, int]]) -> jax.Array:
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
        return functools.reduce(jnp.add, _taps(x, window, strides))

    if pads == given and (count_include_pad or not any(sum(pads, ()))):
        return (total(x, pads) / math.prod(window)).astype(dtype)
    counted = given if count_include_pad else ((0, 0),) * len(window)
    sizes = [n + lo + hi for n, (lo, hi) in zip(x.shape[1:-1], counted, strict=True)]
    rest = [(a - c, b - d) for (a, b), (c, d) in zip(pads, counted, strict=True)]
    sums, counts = total(x, pads), total(jnp.ones((1, *sizes, 1), x.dtype), rest)
    return (sums / jnp.broadcast_to(counts, sums.shape)).astype(dtype)


def global_max_pool(x: jax.Array) -> jax.Array:
    """Maximum over all positions: `[B, spatial..., C]` to `[B, C]`.

    Equal maxima share the gradient, as in torch's `amax`.

    >>> global_max_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
    Array([[3.]], dtype=float32)
    """
    return jnp.max(x, axis=tuple(range(1, x.ndim - 1)))


def global_avg_pool(x: jax.Array) -> jax.Array:
    """Mean over all positions: `[B, spatial..., C]` to `[B, C]`.

    >>> global_avg_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
    Array([[1.5]], dtype=float32)
    """
    return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))


def adaptive_avg_pool(x: jax.Array, output_size: int | Sequence[int]) -> jax.Array:
    """Mean over `output_size` bins an axis, of any input size, as torch's `AdaptiveAvgPool`.

    Bin i of n covers inputs `floor(i H / n)` to `ceil((i + 1) H / n)`; bins overlap where n does
    not divide H, and repeat where n exceeds it.

    >>> adaptive_avg_pool(jnp.arange(6.0).reshape(1, 6, 1), 2)[0, :, 0]
    Array([1., 4.], dtype=float32)
    """
    return _adaptive(x, output_size, jnp.mean)


def adaptive_max_pool(x: jax.Array, output_size: int | Sequence[int]) -> jax.Array:
    """Maximum over `output_size` bins an axis, the bins of `adaptive_avg_pool`.

    A gradient goes to the first maximum of a bin, or to its last NaN, as in torch.

    >>> adaptive_max_pool(jnp.arange(6.0).reshape(1, 6, 1), 2)[0, :, 0]
    Array([2., 5.], dtype=float32)
    """
    return _adaptive(x, output_size, _max_of_first)


def _max_of_first(x: jax.Array, axis: int) -> jax.Array:
    """Maximum along an axis, whose gradient goes to the first one alone, or to the last NaN."""
    place = jnp.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - axis - 1))
    place = jnp.broadcast_to(place, x.shape)
    nan = jnp.max(jnp.where(jnp.isnan(x), place, -1), axis, keepdims=True)
    first = jnp.where(nan >= 0, nan, jnp.argmax(x, axis, keepdims=True))
    return jnp.sum(jnp.where(place == first, x, 0), axis, dtype=x.dtype)


def _adaptive(x, output_size, reduce):
    sizes = per_axis(output_size, x.ndim - 2, "output_size")
    for axis in range(x.ndim - 2, 0, -1):  # the last one first: ties then go row by row
        n = sizes[axis - 1]
        size = x.shape[axis]
        if size != n:
            bins = [(i * size // n, -((i + 1) * size // -n)) for i in range(n)]
            x = jnp.stack([reduce(lax.slice_in_dim(x, *b, axis=axis), axis) for b in bins], axis)
    return x


def _geometry(
    x: jax.Array,
    window: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: Padding,
    ceil_mode: bool,
    name: str,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Window, strides and padding an axis; `ceil_mode` becomes padding at the end."""
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"{name} needs [B, spatial..., C], got shape {x.shape}")
    axes = x.ndim - 2
    window = per_axis(window, axes, "window")
    strides = window if strides is None else per_axis(strides, axes, "strides")
    pads = []
    given = explicit_padding(padding, x.shape[1:-1], window, strides)
    for size, k, s, (lo, hi) in zip(x.shape[1:-1], window, strides, given, strict=True):
        if 2 * max(lo, hi) > k and not isinstance(padding, str):
            raise ValueError(f"{name}: padding {padding} exceeds half the window {window}")
        free = size + lo + hi - k
        if free < 0 and not (ceil_mode and free > -s):  # a last window may hang over the edge
            raise ValueError(f"{name}: window {window} does not fit into shape {x.shape}")
        if ceil_mode:
            steps = -(free // -s)
            if steps * s >= size + lo:  # torch drops windows that would start in the padding
                steps -= 1
            hi = max(hi, steps * s + k - size - lo)
        pads.append((lo, hi))
    return window, strides, tuple(pads)


def _taps(x, window, strides):
    """For each offset in the window, in row-major order, the inputs that it sees."""
    out = [(n - k) // s for n, k, s in zip(x.shape[1:-1], window, strides, strict=True)]
    for offset in itertools.product(*map(range, window)):
        yield x[_strided(offset, out, strides)]


def _strided(offset, out, strides):
    steps = (slice(i, i + n * s + 1, s) for i, n, s in zip(offset, out, strides, strict=True))
    return (slice(None), *steps, slice(None))


def _lowest(dtype):
    # A NumPy constant: lax recognizes the maximum, and its gradient, only by a concrete start.
    floating = jnp.issubdtype(dtype, jnp.floating)
    return np.asarray(-np.inf if floating else jnp.iinfo(dtype).min, dtype)


def _pad_lowest(x, pads):
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=_lowest(x.dtype))


def _window_max(x, window, strides, pads):
    return lax.reduce_window(
        x, _lowest(x.dtype), lax.max, (1, *window, 1), (1, *strides, 1), ((0, 0), *pads, (0, 0))
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, window, strides, pads):
    if window != strides:
        return _window_max(x, window, strides, pads)

    def cpu(x):
        swap = _swap(x)
        return swap(
            functools.reduce(jnp.maximum, _taps(_pad_lowest(swap(x), pads), window, strides))
        )

    return lax.platform_dependent(
        x,
        cpu=cpu,
        default=lambda x: _window_max(x, window, strides, pads),
    )


@functools.partial(_max_pool.defjvp, symbolic_zeros=True)
def _(window, strides, pads, primals, tangents):
    (x,), (dx,) = primals, tangents
    y = _max_pool(x, window, strides, pads)
    if isinstance(dx, SymbolicZero):
        return y, jnp.zeros_like(y)
    take = functools.partial(_take_first, window=window, strides=strides, pads=pads)
    give = functools.partial(_give_first, window=window, strides=strides, pads=pads)
    return y, linear_map(take, give, x, dx)


def _take_first(x, dx, window, strides, pads):
    """The values of `dx` where `x` has the first maximum of each window."""

    def cpu(x, dx):
        swap = _swap(x)
        first = _first(swap(x), window, strides, pads)
        dx = jnp.pad(swap(dx), ((0, 0), *pads, (0, 0)))
        taps = enumerate(_taps(dx, window, strides))
        return swap(functools.reduce(jnp.add, (jnp.where(first == t, tap, 0) for t, tap in taps)))

    def default(x, dx):
        return jax.jvp(lambda x: _window_max(x, window, strides, pads), (_order(x),), (dx,))[1]

    return lax.platform_dependent(x, dx, cpu=cpu, default=default)


def _give_first(x, g, window, strides, pads):
    """The transpose of `_take_first`: sends `g` to the first maximum of each window of `x`."""

    def give(x, g, dtype):
        first = _first(x, window, strides, pads).astype(dtype)
        if window == strides and not any(sum(pads, ())):
            return _spread(g, first, x.shape, window)
        return _scatter_to_first(g, first, x.shape, window, strides, pads)

    def cpu(x, g):
        swap = _swap(x)
        return swap(give(swap(x), swap(g), jnp.int32))

    def cuda(x, g):  # the index is the largest of what is kept: a byte
        return give(x, g, jnp.int8 if math.prod(window) < 128 else jnp.int32)

    def default(x, g):
        return jax.vjp(lambda x: _window_max(x, window, strides, pads), _order(x))[1](g)[0]

    return lax.platform_dependent(x, g, cpu=cpu, cuda=cuda, default=default)


def _order(x):
    """`x` without what the gradient of `reduce_window` cannot compare: NaN, and -inf as padding."""
    lowest = jnp.finfo(x.dtype).min
    return jnp.maximum(jnp.where(jnp.isnan(x), jnp.inf, x), lowest)


def _first(x, window, strides, pads):
    """Index in its window of the first maximum, the last NaN if there is one, and never padding."""
    taps = _taps(_pad_lowest(x, pads), window, strides)
    if any(sum(pads, ())):  # where all is -inf the first value of the image still counts
        inside = np.pad(np.ones((1, *x.shape[1:-1], 1), bool), ((0, 0), *pads, (0, 0)))
        first = np.argmax(np.stack(list(_taps(inside, window, strides))), axis=0).astype(np.int32)
        top = jnp.full((), _lowest(x.dtype))
        remaining = enumerate(taps)
    else:
        first, top = np.zeros((1,) * x.ndim, np.int32), next(taps)
        remaining = enumerate(taps, start=1)
    for t, tap in remaining:
        first = jnp.where((tap > top) | jnp.isnan(tap), t, first)
        top = jnp.maximum(tap, top)
    return first


def _swap(x):
    """Exchanges batch and channels where the batch is the better vector axis, as `conv` does."""
    if isinstance(x.shape[0], int) and x.shape[0] >= 32 and x.shape[-1] <= 32:
        return lambda x: jnp.swapaxes(x, 0, -1)
    return lambda x: x


def _spread(g, first, shape, window):
    """Sends `g` to the input at offset `first` of its window, for windows side by side."""
    axes = range(len(window))
    inner = tuple(2 * a + 2 for a in axes)
    split = (g.shape[0], *(n for a in axes for n in (g.shape[a + 1], window[a])), g.shape[-1])
    here = 0  # row-major index of a position in its window
    for a in axes:
        here = here * window[a] + lax.broadcasted_iota(jnp.int32, split, inner[a])
    spread = jnp.where(jnp.expand_dims(first, inner) == here, jnp.expand_dims(g, inner), 0)
    spread = spread.reshape(g.shape[0], *(g.shape[a + 1] * window[a] for a in axes), g.shape[-1])
    rest = [(0, n - m) for n, m in zip(shape, spread.shape, strict=True)]  # rows no window saw
    return jnp.pad(spread, rest)


def _scatter_to_first(g, first, shape, window, strides, pads):
    """Sends `g` to the input at offset `first` of its window.

    Input `u = s q + a` (counted from the padding's edge) is offset `a + s m` of window `q - m`, so
    each of the `prod(s)` phases is a sum of shifted selections, and the phases interleave.
    """
    axes = range(len(window))
    taps = [-(-window[a] // strides[a]) for a in axes]
    # Windows q from the first to the last one that an input of the image can lie in.
    low = [pads[a][0] // strides[a] for a in axes]
    high = [(shape[a + 1] + pads[a][0] - 1) // strides[a] + 1 for a in axes]
    sizes = [high[a] - low[a] for a in axes]
    edges = [(taps[a] - 1 - low[a], high[a] - g.shape[a + 1], 0) for a in axes]
    edges = [(0, 0, 0), *edges, (0, 0, 0)]
    g = lax.pad(g, np.zeros((), g.dtype), edges)
    first = lax.pad(first, np.asarray(-1, first.dtype), edges)
    phases = []
    for phase in itertools.product(*map(range, strides)):
        total = jnp.zeros((shape[0], *sizes, shape[-1]), g.dtype)
        for m in itertools.product(*map(range, taps)):
            offset = [phase[a] + strides[a] * m[a] for a in axes]
            if all(offset[a] < window[a] for a in axes):
                here = _box([taps[a] - 1 - m[a] for a in axes], sizes)
                index = int(np.ravel_multi_index(offset, window))
                total = total + jnp.where(first[here] == index, g[here], 0)
        phases.append(total)
    dx = _interleave(phases, strides)
    return dx[_box([pads[a][0] - low[a] * strides[a] for a in axes], shape[1:-1])]


def _box(starts, sizes):
    inner = (slice(b, b + n) for b, n in zip(starts, sizes, strict=True))
    return (slice(None), *inner, slice(None))


def _interleave(phases, strides):
    """Depth to space: `prod(s)` arrays `[B, q..., C]`, row-major, as one `[B, s q..., C]`."""
    for axis in range(len(strides), 0, -1):
        s = strides[axis - 1]
        groups = [phases[i : i + s] for i in range(0, len(phases), s)]
        phases = [jnp.stack(group, axis + 1) for group in groups]
        shape = phases[0].shape
        phases = [p.reshape(*shape[:axis], shape[axis] * s, *shape[axis + 2 :]) for p in phases]
    return phases[0]
