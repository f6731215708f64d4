"""The convolution layers of every model, with torch's arguments and channels last."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jaxdl import ops
from jaxdl._rows import by_rows, path_of
from jaxdl.nn._initializers import Initializer, constant
from jaxdl.ops._convolution import Padding, add_bias, channels_first_hint, per_axis

# Kaiming's rule for rectifiers; torch's own default is a third of this variance.
default_kernel_init = linen.initializers.he_normal()


class Conv(linen.Module):
    """Cross-correlation `ops.conv` with a learned kernel `[sizes..., C / groups, O]` and bias
    `[O]`.

    One layer for every backend: on CPU `ops.conv` takes the formulation measured fastest for the
    shape, elsewhere XLA's own convolution. The parameters are named and laid out as in
    `flax.linen.Conv`, so either can read the other's. `train.make(remat="conv")` keeps the outputs.

    >>> layer, images = Conv(8, kernel_size=3, strides=2, padding=1), jnp.zeros((2, 32, 32, 3))
    >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), images)
    >>> y.shape, variables["params"]["kernel"].shape
    ((2, 16, 16, 8), (3, 3, 3, 8))
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Padding = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1
    use_bias: bool = True
    dtype: jnp.dtype | None = None  # of the computation; the parameters' by default
    param_dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = constant(0.0)

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, spatial..., C]` to `[B, out..., features]`."""
        kernel, bias = _parameters(self, x)
        x, kernel, bias = linen.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        conv = functools.partial(
            ops.conv, strides=self.strides, padding=self.padding,
            dilation=self.dilation, groups=self.groups,
        )  # fmt: skip
        paths = (path_of(self, "kernel"), None if bias is None else path_of(self, "bias"))
        return checkpoint_name(by_rows(conv, x, kernel, bias, paths=paths), "conv")


class ConvTranspose(linen.Module):
    """`ops.conv_transpose` with a learned kernel `[sizes..., C / groups, O]` and bias `[O]`.

    >>> layer = ConvTranspose(1, kernel_size=2, strides=2, kernel_init=constant(1.0))
    >>> x = jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    >>> layer.init_with_output(jax.random.key(0), x)[0][0, :, 0]
    Array([1., 1., 2., 2., 3., 3.], dtype=float32)
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: int | Sequence[int] = 0
    output_padding: int | Sequence[int] = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1
    use_bias: bool = True
    dtype: jnp.dtype | None = None
    param_dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = constant(0.0)

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, spatial..., C]` to `[B, larger..., features]`."""
        kernel, bias = _parameters(self, x)
        x, kernel, bias = linen.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        conv = functools.partial(
            ops.conv_transpose, strides=self.strides, padding=self.padding,
            output_padding=self.output_padding, dilation=self.dilation, groups=self.groups,
        )  # fmt: skip
        paths = (path_of(self, "kernel"), None if bias is None else path_of(self, "bias"))
        y = by_rows(lambda x, k, b: add_bias(conv(x, k), b), x, kernel, bias, paths=paths)
        return checkpoint_name(y, "conv")


def _parameters(layer: Any, x: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    """Kernel and bias of a layer, after a check that they fit the channels of `x`."""
    sizes = per_axis(layer.kernel_size, x.ndim - 2, "kernel_size")
    if x.shape[-1] % layer.groups or layer.features % layer.groups:
        raise ValueError(
            f"groups={layer.groups} must divide {x.shape[-1]} and {layer.features} channels"
        )
    if layer.has_variable("params", "kernel"):
        channels = jnp.shape(layer.get_variable("params", "kernel"))[-2] * layer.groups
        if channels != x.shape[-1]:
            raise ValueError(
                f"{'/'.join(layer.path) or 'Conv'} was made for {channels} channels on the last "
                f"axis, got an input {x.shape}" + channels_first_hint(x.shape, channels)
            )
    shape = (*sizes, x.shape[-1] // layer.groups, layer.features)
    kernel = layer.param("kernel", layer.kernel_init, shape, layer.param_dtype)
    if not layer.use_bias:
        return kernel, None
    return kernel, layer.param("bias", layer.bias_init, (layer.features,), layer.param_dtype)
