"""Initialisers `init(key, shape, dtype)` for weights `[..., in, out]`, convolutions HWIO.

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

Initialiser = Callable[..., jax.Array]
Distribution = Literal["uniform", "normal"]


def constant(value: float) -> Initialiser:
    """The same number everywhere: biases (0) and scales of norms (1).

    >>> constant(1.0)(jax.random.key(0), (2,))
    Array([1., 1.], dtype=float32)
    """

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        return jnp.full(shape, value, dtype)

    return init


def normal(deviation: float = 0.01) -> Initialiser:
    """The fixed Gaussian, `N(0, deviation^2)`, whatever the layer.

    >>> normal(0.5)(jax.random.key(0), (50, 100)).std().round(1)
    Array(0.5, dtype=float32)

    Raises: ValueError unless the deviation is positive and finite.
    """
    return jax.nn.initializers.normal(_positive("deviation", deviation))


def uniform(limit: float = 0.07) -> Initialiser:
    """`U(-limit, limit)`; torch's recurrent layers take `limit = 1 / sqrt(hidden)`.

    >>> jnp.abs(uniform(0.1)(jax.random.key(0), (50, 100))).max().round(3)
    Array(0.1, dtype=float32)

    Raises: ValueError unless the limit is positive and finite.
    """
    limit = _positive("limit", limit)

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init


def xavier(
    distribution: Distribution = "uniform", *, fan: Literal["average", "in"] = "average"
) -> Initialiser:
    """Xavier: variance `2 / (in + out)`, or `1 / in` for the form with `fan="in"`.

    The uniform one is `U(+-sqrt(6 / (in + out)))`, or `U(+-sqrt(3 / in))`.

    >>> jnp.abs(xavier()(jax.random.key(0), (50, 100))).max().round(2)  # sqrt(6 / 150)
    Array(0.2, dtype=float32)

    Raises: ValueError for an unknown distribution or fan.
    Reference: Glorot & Bengio 2010, eq. 16; the second form is LeCun et al. 1998.
    """
    if fan not in ("average", "in"):
        raise ValueError(f"fan must be 'average' or 'in', got {fan!r}")
    return _scaled(1.0, "fan_avg" if fan == "average" else "fan_in", distribution)


def he(distribution: Distribution = "normal", *, slope: float = 0.0) -> Initialiser:
    """MSRA: variance `2 / ((1 + slope^2) in)`, for (leaky) ReLU (He et al. 2015, eq. 10 and 15).

    torch's own default for dense and convolutional weights is `he("uniform", slope=math.sqrt(5))`.

    >>> he()(jax.random.key(0), (50, 100)).std().round(2)  # sqrt(2 / 50)
    Array(0.2, dtype=float32)
    """
    return _scaled(2 / (1 + slope**2), "fan_in", distribution)


def bilinear() -> Initialiser:
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
    centre = factor - 1 if size % 2 else factor - 0.5
    return 1 - jnp.abs(jnp.arange(size, dtype=dtype) - centre) / factor


def _scaled(scale: float, mode: Any, distribution: Distribution) -> Initialiser:
    if distribution not in ("uniform", "normal"):
        raise ValueError(f"distribution must be 'uniform' or 'normal', got {distribution!r}")
    return jax.nn.initializers.variance_scaling(scale, mode, distribution)


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value
