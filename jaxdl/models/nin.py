"""Network in network: Lin, Chen & Yan 2014, arXiv:1312.4400, with AlexNet's first kernels."""

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import Conv

# features, kernel, stride, padding of each block
BLOCKS = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))


class NiN(linen.Module):
    """Blocks of a convolution and two 1x1 ones, pooled in between, then one block of K channels.

    The logits are that block's mean over all positions: there is no dense layer. Images of 67x67 or
    more; 224x224 as published. Features by name: "block1" to "block4".

    >>> model, images = NiN(num_classes=10), jnp.zeros((1, 224, 224, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> variables["params"]["conv4_3"]["kernel"].shape  # the last layer
    (1, 1, 10, 10)
    """

    num_classes: int
    dropout: float = 0.5
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, K]`; key "dropout" in training."""
        check_images(images, "NiN", 67)
        x = images
        for i, (features, kernel, stride, padding) in enumerate(BLOCKS, start=1):
            x = self._block(x, i, features, kernel, stride, padding)
            x = ops.max_pool(x, 3, 2)
        x = linen.Dropout(self.dropout, deterministic=not train)(x)
        return ops.global_avg_pool(self._block(x, 4, self.num_classes, 3, 1, 1))

    def _block(
        self, x: jax.Array, block: int, features: int, kernel: int, stride: int, padding: int
    ) -> jax.Array:
        for i, geometry in enumerate(((kernel, stride, padding), (1, 1, 0), (1, 1, 0)), start=1):
            x = Conv(features, *geometry, dtype=self.dtype, name=f"conv{block}_{i}")(x)
            x = linen.relu(x)
        self.sow("intermediates", f"block{block}", x)
        return x
