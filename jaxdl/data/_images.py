"""Images on their way into a model, inside the compiled step."""

import jax
import jax.numpy as jnp


def to_unit(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Turns "image" uint8 `[B, H, W, C]` in 0..255 into float32 in 0..1; the rest is untouched.

    >>> to_unit({"image": jnp.array([[[[0, 51, 255]]]], jnp.uint8)})["image"][0, 0, 0]
    Array([0. , 0.2, 1. ], dtype=float32)
    """
    return {**batch, "image": batch["image"].astype(jnp.float32) / 255}
