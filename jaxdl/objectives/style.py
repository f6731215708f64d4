"""Style transfer: what an image is compared with, and the losses (Gatys et al. 2016)."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxdl import losses
from jaxdl.models.style import CONTENT, STYLE, extract


@struct.dataclass
class Targets:
    """What the painted image is held against."""

    content: dict[str, jax.Array]  # features [B, h, w, c]
    style: dict[str, jax.Array]  # Gram matrices [B, c, c]


class Balance(NamedTuple):
    """Weights of the three losses.

    >>> Balance(style=10.0)
    Balance(content=1.0, style=10.0, variation=1.0)
    """

    content: float = 1.0
    style: float = 1.0
    variation: float = 1.0


@functools.partial(jax.jit, static_argnames=("body", "content_names", "style_names"))
def targets(
    body: Any,
    variables: Any,
    content: jax.Array,
    style: jax.Array,
    *,
    content_names: Sequence[str] = CONTENT,
    style_names: Sequence[str] = STYLE,
) -> Targets:
    """Features of the content images and Gram matrices of the style images, taken once.

    >>> from jaxdl.models.style import vgg19
    >>> body, images = vgg19(width=4), jnp.zeros((1, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> held = jax.eval_shape(lambda v: targets(body, v, images, images), variables)
    >>> held.content["relu4_4"].shape, held.style["relu1_1"].shape
    ((1, 4, 6, 32), (1, 4, 4))

    Args:
        body: a VGG, ResNet or other model with `taps`.
        variables: its parameters (and statistics).
        content: `[B, H, W, 3]` in 0..1.
        style: `[B, h, w, 3]` in 0..1, of any size.
        content_names, style_names: features of the body, as tuples.
    """
    grams = extract(body, variables, style, style_names)
    return Targets(
        extract(body, variables, content, content_names),
        {name: losses.gram_matrix(x) for name, x in grams.items()},
    )


def parts(body: Any, variables: Any, images: jax.Array, targets: Targets) -> dict[str, jax.Array]:
    """The three losses of images `[B, H, W, 3]`, each `[B]`.

    "content" and "style" are the mean over their features of the mean squared error relative to
    the mean square of the target, so that every feature counts alike, whatever the body's scale; 0
    is the target itself. "variation" is the total variation per pixel and channel.

    >>> from jaxdl.models.style import vgg19
    >>> body, images = vgg19(width=4), jnp.zeros((2, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> found = lambda v: parts(body, v, images, targets(body, v, images, images))
    >>> {name: loss.shape for name, loss in jax.eval_shape(found, variables).items()}
    {'content': (2,), 'style': (2,), 'variation': (2,)}
    """
    found = extract(body, variables, images, (*targets.content, *targets.style))

    def relative(loss: Any, target: jax.Array, x: jax.Array) -> jax.Array:
        axes = tuple(range(1, target.ndim))
        return loss(x, target) / jnp.maximum(jnp.mean(target**2, axes), 1e-12)

    content = [relative(losses.content_loss, y, found[n]) for n, y in targets.content.items()]
    style = [relative(losses.style_loss, y, found[n]) for n, y in targets.style.items()]
    return {
        "content": jnp.mean(jnp.stack(content), axis=0),
        "style": jnp.mean(jnp.stack(style), axis=0),
        "variation": losses.total_variation(images) / images[0].size,
    }
