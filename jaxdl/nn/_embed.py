"""Rows of a table by number, with a gradient that is added up in float32."""

from typing import cast

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl._checks import wide
from jaxdl._rows import by_rows, path_of


class Embed(linen.Embed):
    """Flax's `Embed`, its parameters and its numbers.

    In half precision the gradient of a row, a sum over all places where its number stands, is added
    up in float32: in bfloat16 a row that is read 1,000 times would count 256 of them.

    >>> layer, ids = Embed(10, 4), jnp.zeros((2, 3), int)
    >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), ids)
    >>> y.shape, variables["params"]["embedding"].shape
    ((2, 3, 4), (10, 4))
    """

    batch_axis: int = 0  # along which devices share the examples out; 1 where time comes first

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps integers `[...]` to `[..., features]`; NaN for those outside 0..num_embeddings-1."""
        if not jnp.issubdtype(inputs.dtype, jnp.integer):
            raise ValueError(f"ids must be integers, got {inputs.dtype}")
        promoted = self.promote_dtype(self.embedding, dtype=self.dtype, inexact=False)
        table = cast(jax.Array, promoted[0])  # flax allows for None

        def look_up(ids: jax.Array, table: jax.Array) -> jax.Array:
            return jnp.take(wide(table), ids, axis=0).astype(table.dtype)

        paths = (path_of(self, "embedding"),)
        return by_rows(look_up, inputs, table, axis=self.batch_axis, paths=paths)
