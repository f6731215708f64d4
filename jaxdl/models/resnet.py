"""Residual networks: He et al. 2016, arXiv:1512.03385, table 1, and with pre-activation,
arXiv:1603.05027; the layers and names of torchvision's weights."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jaxdl import ops
from jaxdl.models._images import check_images, named
from jaxdl.nn import BatchNorm, Conv, Dense


class BasicBlock(linen.Module):
    """Two 3x3 convolutions beside the identity (or a 1x1 convolution where shapes change)."""

    width: int
    stride: int
    norm: Callable[..., linen.Module]
    preactivation: bool = False
    norm_shortcut: bool = True
    dtype: jnp.dtype | None = None
    expansion: ClassVar[int] = 1
    kernels: ClassVar[tuple[int, ...]] = (3, 3)

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, *, train: bool) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, expansion width]`."""
        conv = functools.partial(Conv, use_bias=False, dtype=self.dtype)
        last = len(self.kernels)
        out = self.width * self.expansion
        resized = self.stride > 1 or x.shape[-1] != out

        def normalize(x: jax.Array, name: str) -> jax.Array:
            return self.norm(name=name)(x, mask, train=train)

        if self.preactivation:  # normalize, rectify, convolve; nothing after the sum
            y = linen.relu(normalize(x, "bn1"))
            if resized:
                x = conv(out, 1, self.stride, name="downsample_conv")(y)
        else:
            y = x
            if resized:
                x = conv(out, 1, self.stride, name="downsample_conv")(x)
                x = normalize(x, "downsample_bn") if self.norm_shortcut else x
        strided = last - 1  # torchvision strides in the 3x3 convolution, not in the first 1x1
        for i, kernel in enumerate(self.kernels, start=1):
            y = conv(
                out if i == last else self.width, kernel, self.stride if i == strided else 1,
                kernel // 2, name=f"conv{i}",
            )(y)  # fmt: skip
            if not self.preactivation:
                y = normalize(y, f"bn{i}")
            elif i < last:
                y = normalize(y, f"bn{i + 1}")
            y = linen.relu(y) if i < last else y
        return x + y if self.preactivation else linen.relu(x + y)


class Bottleneck(BasicBlock):
    """1x1 down, 3x3, 1x1 up to four times the width."""

    expansion: ClassVar[int] = 4
    kernels: ClassVar[tuple[int, ...]] = (1, 3, 1)


_STEMS = {"imagenet": (7, 2, 4), "half": (3, 2, 2), "small": (3, 1, 1)}  # kernel, its stride, all


class ResNet(linen.Module):
    """Four stages of residual blocks, a global mean and one dense layer; images of any size.

    Features by name: "stem" (before the pool), "layer1" to "layer4".

    >>> model, images = ResNet18(num_classes=1000), jnp.zeros((1, 224, 224, 3))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> sum(x.size for x in jax.tree.leaves(variables["params"]))
    11689512
    """

    num_classes: int | None  # None: the last feature map in place of logits
    stages: Sequence[int]  # blocks in each stage
    block: type[BasicBlock] = BasicBlock
    width: int = 64  # channels of the first stage; each further one has twice as many
    stem: Literal["imagenet", "half", "small"] = "imagenet"  # 7x7/2 and 3x3/2 pool, 3x3/2, 3x3
    preactivation: bool = False
    norm_shortcut: bool = True  # batch norm after a 1x1 convolution beside a block
    norm: Callable[..., linen.Module] = functools.partial(BatchNorm, momentum=0.9, unbiased=True)
    dtype: jnp.dtype | None = None  # of the computation, bfloat16 say
    taps: Sequence[str] = ()  # features to return by name, in place of logits

    @linen.compact
    def __call__(
        self, images: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> jax.Array | dict[str, jax.Array]:
        """Maps images `[B, H, W, C]` to logits `[B, K]`.

        `mask [B]`, False on padding, keeps those images out of the batch statistics.
        """
        check_images(images, "ResNet")
        if self.stem not in _STEMS:
            raise ValueError(f"stem must be one of {', '.join(_STEMS)}, got {self.stem!r}")
        kernel, stride, _ = _STEMS[self.stem]
        x = Conv(
            self.width, kernel, stride, kernel // 2, use_bias=False, dtype=self.dtype, name="conv1"
        )(images)
        if not self.preactivation:
            x = linen.relu(self.norm(name="bn1")(x, mask, train=train))
        self.sow("intermediates", "stem", x)
        maps = {"stem": x}
        if self.stem == "imagenet":
            x = ops.max_pool(x, 3, 2, padding=1)
        x = checkpoint_name(x, "block")
        for stage, depth in enumerate(self.stages):
            for i in range(depth):
                x = self.block(
                    width=self.width * 2**stage,
                    stride=2 if stage > 0 and i == 0 else 1,
                    norm=self.norm,
                    preactivation=self.preactivation,
                    norm_shortcut=self.norm_shortcut,
                    dtype=self.dtype,
                    name=f"layer{stage + 1}_{i}",
                )(x, mask, train=train)
                x = checkpoint_name(x, "block")  # what `train.make(remat="block")` keeps
            self.sow("intermediates", f"layer{stage + 1}", x)
            maps[f"layer{stage + 1}"] = x
        if self.taps:
            return named(maps, self.taps)
        if self.preactivation:
            x = linen.relu(self.norm(name="bn_last")(x, mask, train=train))
        if self.num_classes is None:
            return x
        return Dense(self.num_classes, dtype=self.dtype, name="head")(ops.global_avg_pool(x))

    @property
    def stride(self) -> int:
        """Pixels of the image between neighbors of the last feature map."""
        return _STEMS[self.stem][2] * 2 ** (len(self.stages) - 1)

    @property
    def pyramid(self) -> tuple[str, ...]:
        """One feature for every stride, coarsest first."""
        layers = tuple(f"layer{stage}" for stage in range(len(self.stages), 0, -1))
        return (*layers, "stem") if self.stem == "imagenet" else layers

    def torch_module(self, path: str) -> str:
        """torchvision's name of a module of ours."""
        if path == "head":
            return "fc"
        path = path.replace("downsample_conv", "downsample.0")
        path = path.replace("downsample_bn", "downsample.1")
        return re.sub(r"layer(\d)_(\d+)", r"layer\1.\2", path).replace("/", ".")


ResNet18 = functools.partial(ResNet, stages=(2, 2, 2, 2))
ResNet34 = functools.partial(ResNet, stages=(3, 4, 6, 3))
ResNet50 = functools.partial(ResNet, stages=(3, 4, 6, 3), block=Bottleneck)
