"""Dropout (Srivastava et al. 2014) whose mask does not depend on how a batch is spread."""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp


class Dropout(linen.Module):
    """Zeroes entries with probability `rate` while training and divides the rest by `1 - rate`.

    Flax's `nn.Dropout` draws one array of bits for the batch it sees, so that code for one device
    (`shard_map`) gives other masks than code for all. Here example i of the whole batch has a key
    of its own, `fold_in(key, i)`; with `axis_name` the examples of earlier devices are counted in.

    >>> drop, x = Dropout(0.75), jnp.ones((1, 100))
    >>> y = drop.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    >>> set(y[0].tolist()) == {0.0, 4.0}, bool((drop.apply({}, x, train=False) == x).all())
    (True, True)
    """

    rate: float
    axis_name: Any = None  # mesh axes over which the batch is spread, in code for one device

    @linen.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps `[B, ...]` to its own shape and dtype; takes a key from the collection "dropout"."""
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate must lie in [0, 1), got {self.rate}")
        if not train or self.rate == 0:
            return x
        example = jnp.arange(len(x))
        if self.axis_name is not None:
            example = example + jax.lax.axis_index(self.axis_name) * len(x)
        key = self.make_rng("dropout")

        def drop(row: jax.Array, i: jax.Array) -> jax.Array:
            kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - self.rate, row.shape)
            return jnp.where(kept, row / (1 - self.rate), jnp.zeros((), row.dtype))

        return jax.vmap(drop)(x, example).astype(x.dtype)
