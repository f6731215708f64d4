"""Color, noise and the lens: images `[..., H, W, C]`, uint8 in 0..255 or float in 0..1."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl.ops._filters import check_image, in_dtype, to_compute, to_uint8

_GRAY_WEIGHTS = {"601": (0.299, 0.587, 0.114), "709": (0.2125, 0.7154, 0.0721)}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def rgb_to_grayscale(image: ArrayLike, *, weights: Literal["601", "709"] = "601") -> jax.Array:
    """Luma of red, green and blue: `0.299 R + 0.587 G + 0.114 B`.

    >>> rgb_to_grayscale(jnp.ones((1, 1, 3)))[0, 0]
    Array([1.], dtype=float32)

    Args:
        image: `[..., H, W, 3]`; `[..., H, W, 1]` comes back as it is.
        weights: of Rec. 601 (OpenCV, Pillow), or of Rec. 709 (scikit-image).
    Returns: `[..., H, W, 1]` in the dtype of `image`; uint8 rounded.
    Raises: ValueError for another number of channels, an alpha channel among them.
    """
    x = check_image(image)
    if weights not in _GRAY_WEIGHTS:
        raise ValueError(f"weights must be '601' or '709', got {weights!r}")
    if x.shape[-1] == 1:
        return x
    x = _rgb(x)
    r, g, b = _GRAY_WEIGHTS[weights]
    levels = to_compute(x)
    luma = r * levels[..., :1] + g * levels[..., 1:2] + b * levels[..., 2:3]
    return in_dtype(luma, x.dtype)


def normalize(
    image: ArrayLike,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> jax.Array:
    """`(image - mean) / std` for every channel, uint8 scaled to 0..1 first; ImageNet's by default.

    >>> normalize(jnp.full((1, 1, 1), 0.75), mean=[0.5], std=[0.25])[0, 0]
    Array([1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`.
        mean, std: one number a channel, for images in 0..1; std above 0.
    Returns: float `[..., H, W, C]`.
    """
    x = check_image(image)
    if not len(mean) == len(std) == x.shape[-1]:
        raise ValueError(
            f"need one mean and std for each of {x.shape[-1]} channels, got {len(mean)}, {len(std)}"
        )
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, got {tuple(std)}")
    x = x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x
    shape = (1,) * (x.ndim - 1) + (-1,)
    return (x - np.reshape(np.asarray(mean, x.dtype), shape)) / np.reshape(
        np.asarray(std, x.dtype), shape
    )


def gaussian_noise(key: jax.Array, image: ArrayLike, sigma: float) -> jax.Array:
    """Adds `N(0, sigma^2)` to every value; sigma in the units of the image, at least 0.

    Floats are not clipped; uint8 is rounded and clipped.

    >>> gaussian_noise(jax.random.key(0), jnp.zeros((4, 4, 1)), 0.1).shape
    (4, 4, 1)
    """
    x = check_image(image)
    if not isinstance(sigma, jax.Array) and not sigma >= 0:
        raise ValueError(f"sigma must not be negative, got {sigma}")
    dtype = jnp.float32 if x.dtype == jnp.uint8 else x.dtype
    noisy = x.astype(dtype) + sigma * jax.random.normal(key, x.shape, dtype)
    return to_uint8(noisy) if x.dtype == jnp.uint8 else noisy


def salt_and_pepper(
    key: jax.Array, image: ArrayLike, amount: float, *, salt: float = 0.5
) -> jax.Array:
    """Turns a share `amount` of the pixels white (a share `salt` of them) or black, all channels.

    >>> salt_and_pepper(jax.random.key(0), jnp.full((1, 1, 1), 0.5), 1.0, salt=1.0)[0, 0]
    Array([1.], dtype=float32)

    Args:
        image: `[..., H, W, C]`; white is 255 for uint8 and 1 for floats.
        amount, salt: in 0..1.
    """
    x = check_image(image)
    for name, share in (("amount", amount), ("salt", salt)):
        if not isinstance(share, jax.Array) and not 0 <= share <= 1:
            raise ValueError(f"{name} must lie in 0..1, got {share}")
    draw = jax.random.uniform(key, (*x.shape[:-1], 1))
    white = jnp.asarray(255 if x.dtype == jnp.uint8 else 1, x.dtype)
    specks = jnp.where(draw < amount * salt, white, jnp.zeros_like(white))
    return jnp.where(draw < amount, specks, x)


def image_distance(object_distance: ArrayLike, focal_length: ArrayLike) -> jax.Array:
    """Where a thin lens is sharp: v of `1 / f = 1 / u + 1 / v`.

    >>> float(image_distance(3.0, 2.0))
    6.0

    Args:
        object_distance: u, positive in front of the lens; inf is allowed.
        focal_length: f, of a shape that u broadcasts with; positive for a convex lens.
    Returns: v: negative for a virtual image (u < f), inf for u = f, f for u = inf.
    """
    f, u = jnp.asarray(focal_length, float), jnp.asarray(object_distance, float)
    power = 1 / f - 1 / u
    return jnp.where(power == 0, jnp.inf, 1 / jnp.where(power == 0, 1, power))


def _rgb(x: jax.Array) -> jax.Array:
    """`x`, after a check that it has three channels."""
    if x.shape[-1] == 4:
        raise ValueError("image has four channels; drop the alpha channel with image[..., :3]")
    if x.shape[-1] != 3:
        raise ValueError(f"image must have three channels [..., H, W, 3], got {x.shape}")
    return x
