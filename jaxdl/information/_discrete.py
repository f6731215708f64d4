"""Information of discrete tables. Every function runs under `jit`, `vmap` and `grad`."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks, _exact


def self_information(p: ArrayLike, *, base: float = math.e) -> jax.Array:
    """How surprising an event of probability p is, `-log p`; inf at 0. (Not `-log n`.)

    >>> self_information(jnp.array([0.5, 0.125]), base=2)
    Array([1., 3.], dtype=float32)
    """
    return -jnp.log(_checks.wide(p)) / _log_base(base)


def entropy(p: ArrayLike, *, base: float = math.e) -> jax.Array:
    """Shannon entropy, `-sum_k p_k log p_k`, in nats (bits for `base=2`).

    >>> entropy(jnp.array([0.5, 0.25, 0.25]), base=2)
    Array(1.5, dtype=float32)

    Args:
        p: probabilities `[..., K]`; their sum is not checked (it runs under jit).
        base: base of the logarithm, above 1.
    Returns: `[...]`, in 0..log K; 0 from terms with `p_k = 0`.
    Raises: ValueError if K is missing or `base <= 1`.
    """
    return cross_entropy(p, p, base=base)


def cross_entropy(p: ArrayLike, q: ArrayLike, *, base: float = math.e) -> jax.Array:
    """What p costs in a code made for q, `-sum_k p_k log q_k = H(p) + KL(p || q)`.

    >>> cross_entropy(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75]), base=2)
    Array(1.208, dtype=float32)

    Args:
        p, q: probabilities `[..., K]` of one shape.
        base: base of the logarithm, above 1.
    Returns: `[...]`; 0 from terms with `p_k = 0`, inf where `q_k = 0 < p_k`.
    Raises: ValueError if the shapes differ, K is missing, or `base <= 1`.
    """
    p, q = _tables(p=p, q=q)
    return -jnp.sum(jnp.where(p > 0, p * _safe_log(q, p > 0), 0.0), axis=-1) / _log_base(base)


def kl_divergence(p: ArrayLike, q: ArrayLike, *, base: float = math.e) -> jax.Array:
    """Kullback-Leibler divergence, `sum_k p_k log(p_k / q_k)`.

    >>> kl_divergence(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75]))
    Array(0.144, dtype=float32)

    Args, Raises: as `cross_entropy`.
    Returns: `[...]`, >= 0 up to rounding; 0 from terms with `p_k = 0`, inf where `q_k = 0 < p_k`.
    Reference: Cover & Thomas, Elements of Information Theory, 2nd ed., eq. 2.26.
    """
    p, q = _tables(p=p, q=q)
    seen = p > 0
    ratio = _safe_log(p, seen) - _safe_log(q, seen)
    return jnp.sum(jnp.where(seen, p * ratio, 0.0), axis=-1) / _log_base(base)


def js_divergence(p: ArrayLike, q: ArrayLike, *, base: float = math.e) -> jax.Array:
    """Jensen-Shannon divergence, the mean KL of p and q from their middle; symmetric, <= log 2.

    >>> js_divergence(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), base=2)
    Array(1., dtype=float32)

    Args, Raises: as `cross_entropy`. SciPy's `jensenshannon` is the square root of it.
    """
    p, q = _tables(p=p, q=q)
    middle = 0.5 * (p + q)
    return 0.5 * (kl_divergence(p, middle, base=base) + kl_divergence(q, middle, base=base))


def perplexity(p: ArrayLike) -> jax.Array:
    """`e^H(p)`: the number of equally likely outcomes that are as uncertain as p `[..., K]`.

    >>> perplexity(jnp.full(4, 0.25))
    Array(4., dtype=float32)
    """
    return jnp.exp(entropy(p))


def joint_entropy(pxy: ArrayLike, *, base: float = math.e) -> jax.Array:
    """`H(X, Y) = -sum p(x, y) log p(x, y)` of tables `[..., X, Y]`.

    >>> joint_entropy(jnp.full((2, 2), 0.25), base=2)
    Array(2., dtype=float32)
    """
    table = _joint(pxy)
    return entropy(table.reshape(*table.shape[:-2], -1), base=base)


def conditional_entropy(pxy: ArrayLike, *, base: float = math.e) -> jax.Array:
    """`H(Y | X) = -sum p(x, y) log(p(x, y) / p(x)) = H(X, Y) - H(X)` of tables `[..., X, Y]`.

    >>> conditional_entropy(jnp.eye(2) / 2), conditional_entropy(jnp.full((2, 2), 0.25), base=2)
    (Array(0., dtype=float32), Array(1., dtype=float32))
    """
    table = _joint(pxy)
    given = jnp.broadcast_to(jnp.sum(table, axis=-1, keepdims=True), table.shape)
    seen = table > 0
    terms = jnp.where(seen, table * (_safe_log(given, seen) - _safe_log(table, seen)), 0.0)
    return jnp.sum(terms, axis=(-2, -1)) / _log_base(base)


def mutual_information(pxy: ArrayLike, *, base: float = math.e) -> jax.Array:
    """`I(X; Y) = KL(p(x, y) || p(x) p(y))` of tables `[..., X, Y]`: what either tells of the other.

    Equal to `H(X) + H(Y) - H(X, Y)`, but without canceling when the two are nearly independent.

    >>> mutual_information(jnp.eye(2) / 2, base=2), mutual_information(jnp.full((2, 2), 0.25))
    (Array(1., dtype=float32), Array(0., dtype=float32))
    """
    table = _joint(pxy)
    seen = table > 0
    terms = jnp.where(seen, table * _log_ratio(table, seen), 0.0)
    return jnp.sum(terms, axis=(-2, -1)) / _log_base(base)


def pointwise_mutual_information(pxy: ArrayLike, *, base: float = math.e) -> jax.Array:
    """`log p(x, y) / (p(x) p(y))` of every pair, `[..., X, Y]`.

    -inf for a pair that never meets though each of the two occurs, 0 where one does not occur.

    >>> pointwise_mutual_information(jnp.eye(2) / 2, base=2)
    Array([[  1., -inf],
           [-inf,   1.]], dtype=float32)
    """
    table = _joint(pxy)
    known = (jnp.sum(table, axis=-1, keepdims=True) > 0) & (
        jnp.sum(table, axis=-2, keepdims=True) > 0
    )
    return jnp.where(known, _log_ratio(table, known), 0.0) / _log_base(base)


def table_of(*samples: jax.Array, sizes: tuple[int, ...], weights: ArrayLike | None = None):
    """The shares of each combination of classes in samples: the table the functions above take.

    >>> table_of(jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 1, 1]), sizes=(2, 2))
    Array([[0.25, 0.25],
           [0.  , 0.5 ]], dtype=float32)

    Args:
        samples: integers `[N]` of each variable; an example with one out of range is left out.
        sizes: number of classes of each variable.
        weights: mask or weights `[N]`.
    Returns: float32 of shape `sizes` that sums to 1, or zeros where nothing was counted.
    Raises: ValueError if the shapes differ or there is not one size for each variable.
    """
    arrays = [jnp.asarray(sample) for sample in samples]
    if len(arrays) != len(sizes) or not arrays:
        raise ValueError(f"{len(arrays)} variables need as many sizes, got {sizes}")
    _checks.same_shape(**{f"samples {i}": array for i, array in enumerate(arrays)})
    inside = jnp.ones(arrays[0].shape, bool)
    index = jnp.zeros(arrays[0].shape, jnp.int32)
    for array, size in zip(arrays, sizes, strict=True):
        inside &= (array >= 0) & (array < size)
        index = index * size + array
    total = math.prod(sizes)
    if weights is not None:
        weights = jnp.asarray(weights)
        _checks.same_shape(samples=index, weights=weights)
        if weights.dtype == bool:
            inside, weights = inside & weights, None
    place = jnp.where(inside, index, total).reshape(-1)
    flat = None if weights is None else weights.reshape(-1)
    counts = jnp.add(*_exact.sum_by_index(place, flat, total))
    mass = jnp.sum(counts)
    return (counts / jnp.where(mass == 0, 1.0, mass)).reshape(sizes)


def _tables(**arrays: ArrayLike) -> tuple[jax.Array, ...]:
    tables = {name: _checks.wide(array) for name, array in arrays.items()}
    _checks.same_shape(**tables)
    if next(iter(tables.values())).ndim == 0:
        raise ValueError(f"{' and '.join(tables)} need shape [..., K], got a scalar")
    return tuple(tables.values())


def _joint(pxy: ArrayLike) -> jax.Array:
    table = _checks.wide(pxy)
    if table.ndim < 2:
        raise ValueError(f"a joint table needs shape [..., X, Y], got {table.shape}")
    return table


def _log_ratio(table: jax.Array, where: jax.Array) -> jax.Array:
    """`log p(x, y) - log p(x) - log p(y)`: the product of the two may be too small for a float."""
    px, py = (jnp.sum(table, axis=axis, keepdims=True) for axis in (-1, -2))
    given = [_safe_log(jnp.broadcast_to(p, table.shape), where) for p in (px, py)]
    return _safe_log(table, where) - given[0] - given[1]


def _safe_log(x: jax.Array, where: jax.Array) -> jax.Array:
    """log x, -inf at 0 where it counts; elsewhere 0 with a gradient of 0."""
    return jnp.log(jnp.where(where, x, 1.0))


def _log_base(base: float) -> float:
    if not base > 1:
        raise ValueError(f"base must be above 1, got {base}")
    return math.log(base)
