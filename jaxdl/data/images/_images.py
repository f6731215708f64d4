"""Images on their way into a model, inside the compiled step."""

import jax
import jax.numpy as jnp


def to_unit(
    batch: dict[str, jax.Array], size: tuple[int, int] | None = None
) -> dict[str, jax.Array]:
    """Turns "image" uint8 `[B, H, W, C]` in 0..255 into float32 in 0..1; the rest is untouched.

    >>> to_unit({"image": jnp.array([[[[0, 51, 255]]]], jnp.uint8)})["image"][0, 0, 0]
    Array([0. , 0.2, 1. ], dtype=float32)
    >>> to_unit({"image": jnp.zeros((2, 8, 8, 1), jnp.uint8)}, size=(16, 16))["image"].shape
    (2, 16, 16, 1)

    Args:
        batch: with a column "image".
        size: height and width that images are resized to, linearly; as they are if not given.
    """
    image = batch["image"].astype(jnp.float32) / 255
    if size is not None:
        image = jax.image.resize(image, (image.shape[0], *size, image.shape[-1]), "linear")
    return {**batch, "image": image}
