"""The small convolutional network for MNIST of many introductions."""

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import Conv


class MnistCNN(linen.Module):
    """4x4 convolutions of 32 and 64 channels, each pooled 3x3, then 64-K dense units.

    38,186 parameters at 28x28; images of 21x21 or more.

    >>> model, images = MnistCNN(num_classes=10), jnp.zeros((1, 28, 28, 1))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> sum(x.size for x in jax.tree.leaves(variables["params"]))
    38186
    """

    num_classes: int
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, K]`; `train` changes nothing."""
        check_images(images, "MnistCNN", 21)
        x = images
        for i, features in enumerate((32, 64), start=1):
            x = linen.relu(Conv(features, 4, dtype=self.dtype, name=f"conv{i}")(x))
            x = ops.max_pool(x, 3)
        x = x.reshape(x.shape[0], -1)
        x = linen.relu(linen.Dense(64, dtype=self.dtype, name="dense1")(x))
        return linen.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
