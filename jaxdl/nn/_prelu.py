"""Parametric ReLU: He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852, sec. 2.1."""

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops


class PReLU(linen.Module):
    """`x` where `x > 0`, `slope * x` elsewhere, with a learned slope for each channel.

    The slopes should not decay: that would pull them to ReLU (the paper, sec. 2.1).

    >>> y, variables = PReLU().init_with_output(jax.random.key(0), jnp.array([[-2.0, 3.0]]))
    >>> y, variables["params"]["slope"].shape
    (Array([[-0.5, 3.]], dtype=float32), (2,))
    """

    shared: bool = False  # one slope for all channels
    start: float = 0.25  # what the slopes are at first

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[..., C]` to its own shape and dtype."""
        if x.ndim < 1:
            raise ValueError(f"x needs channels [..., C], got shape {x.shape}")
        shape = () if self.shared else x.shape[-1:]
        slope = self.param("slope", linen.initializers.constant(self.start), shape, jnp.float32)
        return ops.prelu(x, slope)
