"""Images on their way into a model, inside the compiled step."""

import jax
import jax.numpy as jnp


def to_unit(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Turns "image" uint8 `[B, H, W, C]` in 0..255 into float32 in 0..1; the rest is untouched."""
    return {**batch, "image": batch["image"].astype(jnp.float32) / 255}
