"""VGG: Simonyan & Zisserman, Very deep convolutional networks, 2015, arXiv:1409.1556, table 1."""

import functools
from collections.abc import Callable, Iterator, Sequence

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import ops
from jaxdl.models._images import check_images, named
from jaxdl.nn import BatchNorm, Conv


class VGG(linen.Module):
    """Blocks of 3x3 convolutions, each ending in a 2x2 pool, and three dense layers.

    Images of `2^blocks` pixels a side or more (32x32 for the published five blocks). Features by
    name, as in the paper: "relu1_1", "relu1_2", ..., "pool1", ...

    >>> model, images = VGG16(num_classes=1000), jnp.zeros((1, 224, 224, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> sum(x.size for x in jax.tree.leaves(variables["params"]))
    138357544
    """

    num_classes: int | None  # None: the last feature map in place of logits
    depths: Sequence[int]  # convolutions in each block
    widths: Sequence[int] = (64, 128, 256, 512, 512)  # channels of each block
    norm: Callable[..., linen.Module] | None = None  # BatchNorm after each convolution
    dropout: float = 0.5
    dense_size: int = 4096
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say
    taps: Sequence[str] = ()  # features to return by name, in place of logits

    @linen.compact
    def __call__(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> jax.Array | dict[str, jax.Array]:
        """Maps images `[B, H, W, C]` to logits `[B, K]`; key "dropout" in training.

        `mask [B]`, False on padding, keeps those images out of the batch statistics. With `taps`
        the layers above the highest one do not exist.
        """
        check_images(images, "VGG", 2 ** len(self.depths))
        maps: dict[str, jax.Array] = {}

        def keep(name: str, x: jax.Array) -> bool:
            """Whether this was the last feature that is wanted."""
            self.sow("intermediates", name, x)
            maps[name] = x
            return bool(self.taps) and set(self.taps) <= set(maps)

        x = images
        for block, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True), 1):
            for i in range(1, depth + 1):
                x = Conv(width, 3, padding=1, dtype=self.dtype, name=f"conv{block}_{i}")(x)
                if self.norm is not None:
                    x = self.norm(name=f"bn{block}_{i}")(x, mask, train=train)
                x = linen.relu(x)
                if keep(f"relu{block}_{i}", x):
                    return named(maps, self.taps)
            x = ops.max_pool(x, 2)
            if keep(f"pool{block}", x):
                return named(maps, self.taps)
        if self.taps:
            return named(maps, self.taps)  # which says what is missing
        if self.num_classes is None:
            return x
        x = ops.adaptive_avg_pool(x, 7).reshape(x.shape[0], -1)
        for i in (1, 2):
            x = linen.relu(linen.Dense(self.dense_size, dtype=self.dtype, name=f"dense{i}")(x))
            x = linen.Dropout(self.dropout, deterministic=not train)(x)
        return linen.Dense(self.num_classes, dtype=self.dtype, name="head")(x)

    def torch_module(self, path: str) -> str:
        """torchvision's name of a module of ours."""
        return dict(self._torch_modules())[path]

    def _torch_modules(self) -> Iterator[tuple[str, str]]:
        index = 0  # in torchvision's one long Sequential
        for block, depth in enumerate(self.depths, 1):
            for i in range(1, depth + 1):
                yield f"conv{block}_{i}", f"features.{index}"
                yield f"bn{block}_{i}", f"features.{index + 1}"
                index += 2 if self.norm is None else 3
            index += 1
        yield from (("dense1", "classifier.0"), ("dense2", "classifier.3"))
        yield "head", "classifier.6"

    @property
    def stride(self) -> int:
        """Pixels of the image between neighbors of the last feature map."""
        return 2 ** len(self.depths)

    @property
    def pyramid(self) -> tuple[str, ...]:
        """One feature for every stride, coarsest first."""
        return tuple(f"pool{block}" for block in range(len(self.depths), 0, -1))

    @property
    def flattened(self) -> dict[str, tuple[int, int]]:
        """Dense layers that read a flattened map, and its height and width."""
        return {"dense1": (7, 7)}


VGG11 = functools.partial(VGG, depths=(1, 1, 2, 2, 2))
VGG13 = functools.partial(VGG, depths=(2, 2, 2, 2, 2))
VGG16 = functools.partial(VGG, depths=(2, 2, 3, 3, 3))
VGG19 = functools.partial(VGG, depths=(2, 2, 4, 4, 4))
# torchvision's running averages: the new value's share is 0.1, the variance unbiased.
batch_norm = functools.partial(BatchNorm, momentum=0.9, unbiased=True)
VGG11BN = functools.partial(VGG11, norm=batch_norm)
VGG13BN = functools.partial(VGG13, norm=batch_norm)
VGG16BN = functools.partial(VGG16, norm=batch_norm)
VGG19BN = functools.partial(VGG19, norm=batch_norm)
