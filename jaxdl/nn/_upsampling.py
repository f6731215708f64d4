"""Enlarging feature maps by a learned transposed convolution that starts as interpolation."""

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.nn._initializers import Initializer, bilinear


class Upsample(linen.Module):
    """Enlarges `[B, H, W, C]` to `[B, H factor, W factor, C]`, at first bilinearly.

    The kernel `[k, k, C, C]`, `k = 2 factor - factor % 2`, is learned like any other. As
    initialized it equals `jax.image.resize(..., "bilinear")`, pixel centers at half pixels,
    `factor` pixels and more from the border; nearer the border values fade, for outside the map
    there are zeros.

    >>> x = jnp.broadcast_to(jnp.array([4.0, 8.0, 8.0])[None, :, None, None], (1, 3, 3, 1))
    >>> Upsample(factor=2).init_with_output(jax.random.key(0), x)[0][0, :, 3, 0]
    Array([3., 5., 7., 8., 8., 6.], dtype=float32)

    Reference: Long, Shelhamer & Darrell 2015, arXiv:1411.4038, sec. 3.3.
    """

    factor: int
    dtype: jnp.dtype | None = None  # of the computation; the parameters' by default
    kernel_init: Initializer = bilinear()

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, H factor, W factor, C]`.

        Raises: ValueError if factor is below 1 or x has not four axes.
        """
        if self.factor < 1 or x.ndim != 4:
            raise ValueError(
                f"Upsample needs x [B, H, W, C] and a factor of 1 or more, got {x.shape} and "
                f"{self.factor}"
            )
        size = 2 * self.factor - self.factor % 2
        kernel = self.param("kernel", self.kernel_init, (size, size, x.shape[-1], x.shape[-1]))
        x, kernel = linen.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        padding = (size - self.factor) // 2
        return ops.conv_transpose(x, kernel, strides=self.factor, padding=padding)
