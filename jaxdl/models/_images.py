"""What the image classifiers share: the check of their input, and their inner features by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as linen
import jax


def check_images(images: jax.Array, name: str, smallest: int = 1) -> None:
    """Raises ValueError unless `images` is `[B, H, W, C]` with H and W of at least `smallest`."""
    if images.ndim != 4:
        raise ValueError(f"{name} needs images [B, H, W, C], got shape {images.shape}")
    if images.shape[1] in (1, 3) and images.shape[3] > 4:
        raise ValueError(
            f"{name} needs images [B, H, W, C], got {images.shape}, which looks like [B, C, H, W]: "
            "transpose it with (0, 2, 3, 1)"
        )
    if min(images.shape[1:3]) < smallest:
        raise ValueError(
            f"{name} needs images of at least {smallest}x{smallest}, got {images.shape}"
        )


def features(
    model: linen.Module, variables: Any, images: jax.Array, names: Sequence[str]
) -> dict[str, jax.Array]:
    """Inner feature maps of a model in evaluation, by the names that its docstring lists.

    >>> from jaxdl import models
    >>> model, images = models.ResNet18(num_classes=10), jnp.zeros((1, 224, 224, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> jax.eval_shape(lambda v: features(model, v, images, ["layer4"]), variables)["layer4"].shape
    (1, 7, 7, 512)

    Args:
        model: one of the image classifiers here.
        variables: `{"params": ..., "batch_stats": ...}`, as for `model.apply`.
        images: `[B, H, W, C]`.
        names: such as "relu4_1" of a VGG or "layer3" of a ResNet.
    Returns: a map `[B, h, w, c]` for every name. Under `jit` nothing else is computed.
    Raises: ValueError for a name that the model does not have.
    """
    _, state = model.apply(variables, images, train=False, mutable=["intermediates"])
    known = {name: value[0] for name, value in state["intermediates"].items()}
    return named(known, names)


def named(maps: Mapping[str, jax.Array], names: Sequence[str]) -> dict[str, jax.Array]:
    """The feature maps of these names; raises ValueError for one that is not there."""
    missing = [name for name in names if name not in maps]
    if missing:
        raise ValueError(f"no features {', '.join(missing)}; there are {', '.join(maps)}")
    return {name: maps[name] for name in names}
