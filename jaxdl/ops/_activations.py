"""Activation functions: any shape and float dtype in, the same out, finite with finite gradients.

- At a kink the derivative is the left one, 0 for `relu` and `slope` for the leaky ones, as in torch
  (`jax.nn.leaky_relu` takes 1); `absolute` has 0, the middle of its two (`jnp.abs` takes 1).
  `test_derivatives_at_the_kinks`
- `gelu` is its tanh form, as in `jax.nn`; torch takes the exact one, here `approximate=False`.
  `test_gelu_is_the_tanh_form_by_default`
- A softmax with nothing to choose from is zeros with a zero gradient; a fill of -inf gives NaN, and
  -1e6 overflows in half precision. `test_masked_softmax_of_an_empty_row`

The smooth ones come from `jax.nn`, which is stable at logits of +-1e4 and beyond.
"""

import jax
import jax.numpy as jnp
from jax.nn import elu, gelu, log_sigmoid, relu, sigmoid, silu, softplus
from jax.typing import ArrayLike

from jaxdl import _checks

__all__ = [
    "absolute",
    "elu",
    "gelu",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "masked_softmax",
    "maxout",
    "prelu",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "step",
    "tanh",
]


def linear(x: ArrayLike) -> jax.Array:
    """The identity, `x`: the output of a regression.

    >>> linear(jnp.array([-2.0, 3.0]))
    Array([-2., 3.], dtype=float32)
    """
    return jnp.asarray(x)


def step(x: ArrayLike) -> jax.Array:
    """Rosenblatt's threshold, 1 where `x > 0` and 0 elsewhere (0 at 0, unlike `np.sign`).

    >>> step(jnp.array([-2.0, 0.0, 3.0]))
    Array([0., 0., 1.], dtype=float32)
    """
    x = jnp.asarray(x)
    return (x > 0).astype(x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32)


def tanh(x: ArrayLike) -> jax.Array:
    """The hyperbolic tangent, `(e^x - e^-x) / (e^x + e^-x)`.

    >>> tanh(jnp.array([0.0, 1.0]))
    Array([0., 0.762], dtype=float32)
    """
    return jnp.tanh(x)


def absolute(x: ArrayLike) -> jax.Array:
    """Absolute value rectification, `|x|`; its derivative at 0 is 0.

    >>> absolute(jnp.array([-2.0, 0.0, 3.0]))
    Array([2., 0., 3.], dtype=float32)
    """
    x = jnp.asarray(x)
    return x * jnp.sign(x)  # jnp.abs has slope 1 at 0


def leaky_relu(x: ArrayLike, slope: float = 0.01) -> jax.Array:
    """`x` where `x > 0`, `slope * x` elsewhere (Maas et al. 2013).

    >>> leaky_relu(jnp.array([-2.0, 3.0]), slope=0.1)
    Array([-0.2, 3.], dtype=float32)
    """
    x = jnp.asarray(x)
    return jnp.where(x > 0, x, slope * x)


def prelu(x: ArrayLike, slope: ArrayLike) -> jax.Array:
    """Leaky ReLU with learned slopes (He et al. 2015, arXiv:1502.01852).

    >>> prelu(jnp.array([[-2.0, -2.0]]), jnp.array([0.25, 0.5]))
    Array([[-0.5, -1.]], dtype=float32)

    Args:
        x: `[..., C]`.
        slope: `[]`, one for all, or `[C]`, one a channel; usually starts at 0.25.
    Raises: ValueError if the slopes are neither.
    """
    x, slope = jnp.asarray(x), jnp.asarray(slope)
    if slope.ndim and slope.shape != x.shape[-1:]:
        raise ValueError(f"slope must have shape () or {x.shape[-1:]}, got {slope.shape}")
    slope = jnp.broadcast_to(_checks.wide(slope), x.shape).astype(x.dtype)  # sums of its gradient
    return jnp.where(x > 0, x, slope * x)


def maxout(x: ArrayLike, pieces: int) -> jax.Array:
    """The largest of each `pieces` neighboring channels (Goodfellow et al. 2013, arXiv:1302.4389).

    >>> maxout(jnp.array([1.0, 3.0, -2.0, -5.0]), 2)
    Array([ 3., -2.], dtype=float32)

    Args:
        x: `[..., C * pieces]`; the first `pieces` channels give the first result.
        pieces: at least 1. Where several tie they share the gradient equally.
    Returns: `[..., C]`.
    Raises: ValueError if the channels do not divide.
    """
    x = jnp.asarray(x)
    if x.ndim == 0 or pieces < 1 or x.shape[-1] % pieces:
        raise ValueError(f"the last axis of {x.shape} does not divide into pieces={pieces}")
    return jnp.max(x.reshape(*x.shape[:-1], -1, pieces), axis=-1)


def softmax(x: ArrayLike, axis: int = -1) -> jax.Array:
    """`e^x_k / sum_j e^x_j` along an axis, in the dtype of x; half precision is added in float32.

    >>> softmax(jnp.array([0.0, 0.0]))
    Array([0.5, 0.5], dtype=float32)
    """
    x = jnp.asarray(x)
    return jax.nn.softmax(_checks.wide(x), axis=axis).astype(jnp.result_type(x, 1.0))


def log_softmax(x: ArrayLike, axis: int = -1) -> jax.Array:
    """`x_k - log sum_j e^x_j` along an axis, in the dtype of x; half precision is added in float32.

    >>> log_softmax(jnp.array([0.0, 0.0]))
    Array([-0.693, -0.693], dtype=float32)
    """
    x = jnp.asarray(x)
    return jax.nn.log_softmax(_checks.wide(x), axis=axis).astype(jnp.result_type(x, 1.0))


def masked_softmax(logits: ArrayLike, mask: ArrayLike, axis: int = -1) -> jax.Array:
    """Softmax over the places where `mask` is true; exact zeros elsewhere.

    A row with nothing to choose from is all zeros, by definition, and its gradient is zero: never
    NaN, in any float dtype (-inf as a fill gives NaN there, and -1e6 overflows in half precision).

    >>> masked_softmax(jnp.array([1.0, 1.0, 9.0]), jnp.array([True, True, False]))
    Array([0.5, 0.5, 0.], dtype=float32)

    Args:
        logits: `[..., N]`, whatever they hold under the mask counts for nothing.
        mask: boolean, of the same number of axes, each equal or 1.
    Returns: the shape and dtype of the logits.
    Raises: ValueError if the mask would broadcast the logits.
    """
    logits, mask = jnp.asarray(logits), jnp.asarray(mask).astype(bool)
    dtype, logits = logits.dtype, _checks.wide(logits)
    check_mask(mask.shape, logits.shape)
    mask = jnp.broadcast_to(mask, logits.shape)
    safe = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
    top = jax.lax.stop_gradient(jnp.max(safe, axis=axis, keepdims=True))
    weights = jnp.where(mask, jnp.exp(jnp.where(mask, safe - top, 0)), 0)
    total = jnp.sum(weights, axis=axis, keepdims=True)
    return (weights / jnp.where(total == 0, 1, total)).astype(dtype)


def check_mask(mask: tuple[int, ...], logits: tuple[int, ...]) -> None:
    """Raises ValueError unless a mask has the axes of the logits, each equal or 1."""
    if len(mask) != len(logits) or any(m not in (1, n) for m, n in zip(mask, logits, strict=True)):
        raise ValueError(f"mask {mask} does not fit logits {logits}")
