"""Losses of style transfer (Gatys et al. 2016), one number per image. Layout `[B, H, W, C]`."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks
from jaxdl.losses._regression import mean_squared_error
from jaxdl.ops import absolute

PRECISE = jax.lax.Precision.HIGHEST


def gram_matrix(features: ArrayLike) -> jax.Array:
    """Which channels fire together, `G = X X^T / (C H W)` with X the features as `[C, H W]`.

    >>> gram_matrix(jnp.ones((1, 2, 2, 2)))
    Array([[[0.5, 0.5],
            [0.5, 0.5]]], dtype=float32)

    Args:
        features: `[B, H, W, C]`.
    Returns: `[B, C, C]`, symmetric; the division keeps layers of any size comparable.
    Raises: ValueError if there are not four axes.
    """
    features = _checks.wide(features)
    if features.ndim != 4:
        raise ValueError(f"features need shape [B, H, W, C], got {features.shape}")
    return jnp.einsum("bhwc,bhwd->bcd", features, features, precision=PRECISE) / math.prod(
        features.shape[1:]
    )


def content_loss(features: ArrayLike, target: ArrayLike) -> jax.Array:
    """Mean squared difference of two layers' features `[B, H, W, C]`, as `[B]`.

    >>> content_loss(jnp.ones((1, 2, 2, 3)), jnp.zeros((1, 2, 2, 3)))
    Array([1.], dtype=float32)
    """
    return mean_squared_error(features, target)


def style_loss(features: ArrayLike, target_gram: ArrayLike) -> jax.Array:
    """Mean squared difference of the features' Gram matrix and the style image's, as `[B]`.

    >>> features = jnp.ones((1, 2, 2, 2))
    >>> style_loss(features, gram_matrix(2 * features))
    Array([2.25], dtype=float32)

    Args:
        features: `[B, H, W, C]` of the image that is being painted.
        target_gram: `[B, C, C]`, `gram_matrix` of the style image, computed once.
    """
    return mean_squared_error(gram_matrix(features), target_gram)


def total_variation(images: ArrayLike) -> jax.Array:
    """`sum |x[i, j] - x[i + 1, j]| + |x[i, j] - x[i, j + 1]|` over pixels and channels, as `[B]`.

    TensorFlow's `tf.image.total_variation`; some books take the mean of each term instead.

    >>> total_variation(jnp.array([[0.0, 1.0], [2.0, 3.0]])[None, :, :, None])
    Array([6.], dtype=float32)

    Raises: ValueError if there are not four axes `[B, H, W, C]`.
    """
    x = _checks.wide(images)
    if x.ndim != 4:
        raise ValueError(f"images need shape [B, H, W, C], got {x.shape}")
    down = jnp.sum(absolute(x[:, 1:] - x[:, :-1]), axis=(1, 2, 3))
    right = jnp.sum(absolute(x[:, :, 1:] - x[:, :, :-1]), axis=(1, 2, 3))
    return down + right
