"""LeNet: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document
recognition, 1998, fig. 2, in the forms that are in use."""

import functools
from collections.abc import Callable

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images
from jaxdl.nn import Conv


class LeNet(linen.Module):
    """Two convolutions of 5x5 with pooling, then 120-84-K dense units; 61,706 parameters at 28x28.

    The first convolution is same-padded, the second one is not, so that 28x28 gives the published
    maps 28-14-10-5. Where the map has come down to fewer than 6 pixels a side (images below 12),
    the second one is same-padded too. Without `padded` neither is: 24-12-8-4, images of 16x16 or
    more.

    >>> model, images = LeNet(num_classes=10), jnp.zeros((1, 28, 28, 1))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> {name: layer["kernel"].shape for name, layer in variables["params"].items()}
    {'conv1': (5, 5, 1, 6), 'conv2': (5, 5, 6, 16), 'dense1': (400, 120), 'dense2': (120, 84),
    'head': (84, 10)}
    """

    num_classes: int
    activation: Callable[[jax.Array], jax.Array] = linen.relu
    pool: Callable[..., jax.Array] = ops.max_pool
    padded: bool = True  # the first convolution
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images `[B, H, W, C]`, at least 4x4, to logits `[B, K]`; `train` changes nothing."""
        check_images(images, "LeNet", 4 if self.padded else 16)
        conv = functools.partial(Conv, kernel_size=5, dtype=self.dtype)
        dense = functools.partial(linen.Dense, dtype=self.dtype)
        pool = functools.partial(self.pool, window=2)
        first = "SAME" if self.padded else "VALID"
        x = pool(self.activation(conv(6, padding=first, name="conv1")(images)))
        padding = "VALID" if min(x.shape[1:3]) > 5 else "SAME"
        x = pool(self.activation(conv(16, padding=padding, name="conv2")(x)))
        x = jnp.reshape(x, (x.shape[0], -1))
        x = self.activation(dense(120, name="dense1")(x))
        x = self.activation(dense(84, name="dense2")(x))
        return dense(self.num_classes, name="head")(x)


LeNetSigmoid = functools.partial(LeNet, activation=linen.sigmoid, pool=ops.avg_pool)
LeNetUnpadded = functools.partial(LeNet, activation=linen.sigmoid, padded=False)
