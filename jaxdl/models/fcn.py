"""Fully convolutional networks: Long, Shelhamer & Darrell 2015, arXiv:1411.4038, on any body.

    body = models.ResNet18(num_classes=None)
    model = models.fcn8s(body, num_classes=21)
    variables["params"]["body"]         # the body's own, to be filled by `weights.load`

Features at several strides each get a 1x1 convolution to class scores. From the coarsest on, scores
are enlarged by a transposed convolution that starts bilinear and added to those of the next finer
features; the last one enlarges to the size of the image. The two convolutions that the paper makes
of VGG's dense layers are left out.
"""

import functools
import itertools
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl.models._images import check_images
from jaxdl.nn import Conv, Upsample, xavier_uniform


class FCN(linen.Module):
    """Class scores for every pixel of an image of any size from the body's stride upwards.

    >>> from jaxdl import models
    >>> model = models.fcn8s(models.ResNet18(num_classes=None), num_classes=21)
    >>> key, images = jax.random.key(0), jnp.zeros((1, 65, 97, 3))
    >>> jax.eval_shape(lambda: model.init_with_output(key, images, train=False))[0].shape
    (1, 65, 97, 21)
    """

    body: Any  # a ResNet or VGG whose `taps` are the features to score, coarsest first
    num_classes: int  # K, the background among them
    dtype: jnp.dtype | None = None  # of the heads' computation; the body has its own

    @linen.compact
    def __call__(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, H, W, K]`.

        Sides that the body's stride does not divide are padded with zeros at the bottom and right,
        and the logits cut back. `mask [B]`, False on padding, keeps those images out of the batch
        statistics.

        Raises: ValueError if a side is shorter than the stride, or the taps do not go from coarse
            to fine.
        """
        taps, stride = tuple(self.body.taps), self.body.stride
        check_images(images, "FCN", stride)
        if not taps:
            raise ValueError("the body needs taps, the features to score; or see models.fcn8s")
        H, W = images.shape[1:3]
        x = jnp.pad(images, ((0, 0), (0, -H % stride), (0, -W % stride), (0, 0)))
        maps = self.body(x, mask, train=train)
        sizes = [maps[name].shape[1] for name in taps] + [x.shape[1]]
        if any(finer % size for size, finer in itertools.pairwise(sizes)):
            raise ValueError(f"taps must go from coarse to fine, got {', '.join(taps)}")
        scores: Any = 0.0
        for name, size, finer in zip(taps, sizes, sizes[1:], strict=False):
            # The finer scores start at nothing, so that training begins with the coarsest alone.
            init = xavier_uniform() if name == taps[0] else linen.initializers.zeros
            score = Conv(
                self.num_classes, 1, dtype=self.dtype, kernel_init=init, name=f"score_{name}"
            )
            up = Upsample(finer // size, dtype=self.dtype, name=f"up_{name}")
            scores = up(scores + score(maps[name]))
        return scores[:, :H, :W]


def fcn(body: Any, num_classes: int, *, levels: int = 3, dtype: Any = None) -> FCN:
    """An FCN on the `levels` coarsest strides of a ResNet or VGG.

    With the published five strides 1, 2 and 3 levels are FCN-32s, FCN-16s and FCN-8s.
    """
    if not 1 <= levels <= len(body.pyramid):
        raise ValueError(f"levels must lie in 1..{len(body.pyramid)}, got {levels}")
    return FCN(body.clone(taps=body.pyramid[:levels]), num_classes, dtype)


fcn32s = functools.partial(fcn, levels=1)
fcn16s = functools.partial(fcn, levels=2)
fcn8s = functools.partial(fcn, levels=3)
