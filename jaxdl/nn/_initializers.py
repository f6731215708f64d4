"""Initializers `init(key, shape, dtype)` for weights `[..., in, out]`, convolutions HWIO.

Fans count the receptive field: a 3x3 convolution of 64 channels has a fan-in of 576. Normals are
not truncated, so their deviation is the one that is written; `jax.nn.initializers.he_normal` and
its relatives truncate at two deviations and correct for it. MSRA is `sqrt(2 / n)`, not the
`2 / sqrt(n)` of some notes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]


def constant(value: float) -> Initializer:
    """The same number everywhere: biases (0) and scales of norms (1).

    >>> constant(1.0)(jax.random.key(0), (2,))
    Array([1., 1.], dtype=float32)
    """

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        return jnp.full(shape, value, dtype)

    return init


def normal(deviation: float = 0.01) -> Initializer:
    """The fixed Gaussian, `N(0, deviation^2)`, whatever the layer.

    >>> normal(0.5)(jax.random.key(0), (50, 100)).std().round(1)
    Array(0.5, dtype=float32)

    Raises: ValueError unless the deviation is positive and finite.
    """
    return jax.nn.initializers.normal(_positive("deviation", deviation))


def uniform(limit: float = 0.07) -> Initializer:
    """`U(-limit, limit)`; torch's recurrent layers take `limit = 1 / sqrt(hidden)`.

    >>> jnp.abs(uniform(0.1)(jax.random.key(0), (50, 100))).max().round(3)
    Array(0.1, dtype=float32)

    Raises: ValueError unless the limit is positive and finite.
    """
    limit = _positive("limit", limit)

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init


def xavier_uniform(*, fan: Literal["average", "in"] = "average") -> Initializer:
    """`U(-a, a)` with `a = sqrt(6 / (in + out))`, or `sqrt(3 / in)` with `fan="in"`.

    >>> jnp.abs(xavier_uniform()(jax.random.key(0), (50, 100))).max().round(2)  # sqrt(6 / 150)
    Array(0.2, dtype=float32)

    Raises: ValueError for an unknown fan.
    Reference: Glorot & Bengio 2010, eq. 16; the second form is LeCun et al. 1998.
    """
    return _variance_scaling(1.0, fan, "uniform")


def xavier_normal(*, fan: Literal["average", "in"] = "average") -> Initializer:
    """`N(0, 2 / (in + out))`, or `N(0, 1 / in)` with `fan="in"`; not truncated, as in torch.

    >>> xavier_normal()(jax.random.key(0), (50, 100)).std().round(2)  # sqrt(2 / 150)
    Array(0.12, dtype=float32)

    Raises: ValueError for an unknown fan.
    Reference: Glorot & Bengio 2010, eq. 12.
    """
    return _variance_scaling(1.0, fan, "normal")


def he_normal(*, slope: float = 0.0) -> Initializer:
    """`N(0, 2 / ((1 + slope^2) in))`, for (leaky) ReLU; not truncated, as torch's
    `kaiming_normal_`.

    >>> he_normal()(jax.random.key(0), (50, 100)).std().round(2)  # sqrt(2 / 50)
    Array(0.2, dtype=float32)

    Reference: He et al. 2015, eq. 10 and 15.
    """
    return _variance_scaling(2 / (1 + slope**2), "in", "normal")


def he_uniform(*, slope: float = 0.0) -> Initializer:
    """`U(-a, a)` with `a = sqrt(6 / ((1 + slope^2) in))`, for (leaky) ReLU.

    torch's own default for dense and convolutional weights is `he_uniform(slope=math.sqrt(5))`.

    >>> jnp.abs(he_uniform()(jax.random.key(0), (50, 100))).max().round(2)  # sqrt(6 / 50)
    Array(0.35, dtype=float32)

    Reference: He et al. 2015, eq. 10 and 15.
    """
    return _variance_scaling(2 / (1 + slope**2), "in", "uniform")


def bilinear() -> Initializer:
    """The kernel `[H, W, C, C]` with which a transposed convolution interpolates linearly.

    Every channel is enlarged on its own. With stride s a kernel of `2 s - s % 2` fits (Long et al.
    2015, arXiv:1411.4038, sec. 3.3).

    >>> bilinear()(jax.random.key(0), (1, 4, 1, 1))[0, :, 0, 0]
    Array([0.25, 0.75, 0.75, 0.25], dtype=float32)

    Raises: ValueError, when it is called, for a shape that is not `[H, W, C, C]`.
    """

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        if len(shape) != 4 or shape[2] != shape[3]:
            raise ValueError(f"a bilinear kernel needs shape [H, W, C, C], got {tuple(shape)}")
        height, width = (_triangle(size, dtype) for size in shape[:2])
        kernel = height[:, None] * width[None, :]
        return kernel[:, :, None, None] * jnp.eye(shape[2], dtype=dtype)[None, None]

    return init


def _triangle(size: int, dtype: Any) -> jax.Array:
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 else factor - 0.5
    return 1 - jnp.abs(jnp.arange(size, dtype=dtype) - center) / factor


def _variance_scaling(
    scale: float, fan: Literal["average", "in"], distribution: Literal["uniform", "normal"]
) -> Initializer:
    if fan not in ("average", "in"):
        raise ValueError(f"fan must be 'average' or 'in', got {fan!r}")
    mode: Any = "fan_avg" if fan == "average" else "fan_in"
    return jax.nn.initializers.variance_scaling(scale, mode, distribution)


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value
