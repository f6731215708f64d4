"""Convolution over `[B, spatial..., C]`: as networks use it, true, transposed; its size rules."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdl import _checks
from jaxdl.ops import _convolution_cpu
from jaxdl.ops._convolution_cpu import by_phases, gains

Padding = str | int | Sequence[int] | Sequence[tuple[int, int]]


def conv(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    flip: bool = False,
    formulation: str = "fastest",
) -> jax.Array:
    """Cross-correlation as networks use it, `y[p] = sum_{i,c} x[s p + d i - pad, c] kernel[i, c]`.

    >>> kernel = jnp.array([-1.0, 1.0]).reshape(2, 1, 1)
    >>> conv(jnp.array([1.0, 2.0, 4.0]).reshape(1, 3, 1), kernel)[0, :, 0]
    Array([1., 2.], dtype=float32)

    Args:
        x: `[B, spatial..., C]`, one to three spatial axes.
        kernel: `[sizes..., C / groups, O]`.
        bias: `[O]`, added to every position.
        strides, dilation: one number or one an axis.
        padding: zeros around the input: a number, one an axis, a pair (before, after) an axis,
            'VALID' (none) or 'SAME' (output size `ceil(size / stride)`; the odd zero comes last).
        groups: splits C and O into as many independent convolutions.
        flip: True for convolution in the mathematical sense, with the kernel mirrored.
        formulation: 'fastest' for the backend and shape; 'xla' for `lax.conv_general_dilated`
            itself. Both have derivatives in both modes.
    Returns: `[B, out..., O]`, sizes by `conv_output_size`.
    Raises: ValueError if ranks or channels do not fit, or the kernel exceeds the padded input.
    """
    axes = _check_channels(x, kernel, groups)
    if formulation not in ("fastest", "xla"):
        raise ValueError(f"formulation must be 'fastest' or 'xla', got {formulation!r}")
    strides, dilation = per_axis(strides, axes, "strides"), per_axis(dilation, axes, "dilation")
    pads = explicit_padding(padding, x.shape[1:-1], kernel.shape[:-2], strides, dilation)
    for sizes in zip(x.shape[1:-1], kernel.shape[:-2], strides, pads, dilation, strict=True):
        conv_output_size(*sizes)
    if flip:
        kernel = jnp.flip(kernel, range(axes))
    if (
        formulation == "fastest"
        and axes == 2
        and groups == 1
        and dilation == (1, 1)
        and strides[0] == strides[1]
        and x.dtype == kernel.dtype == jnp.float32
        and gains(x.shape, kernel.shape, strides[0], pads)
    ):
        return _convolution_cpu.conv(x, kernel, bias, strides[0], pads)
    y = lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=dilation, feature_group_count=groups,
        dimension_numbers=_dimension_numbers(axes),
    )  # fmt: skip
    return add_bias(y, bias)


def add_bias(y: jax.Array, bias: jax.Array | None) -> jax.Array:
    """`y + bias` for `[..., O]` and `[O]`, the bias' gradient added up in float32 or wider.

    The transpose of a broadcast is a sum in its own dtype: of 10^6 ones it is 8192 in bfloat16.
    """
    if bias is None:
        return y
    dtype = jnp.result_type(y, bias)
    return y + jnp.broadcast_to(_checks.wide(bias), y.shape).astype(dtype)


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> jax.Array:
    """The transpose of `conv` in x: every input paints the kernel, `strides` apart.

    torch's `ConvTranspose` with its sizes, `(H - 1) s - 2 p + d (k - 1) + output_padding + 1`, and
    with the kernel stored `[sizes..., C / groups, O]` and not mirrored: torch's weight
    `[C, O / groups, sizes...]` with its axes moved, for `groups=1`.

    >>> kernel = jnp.array([1.0, 10.0]).reshape(2, 1, 1)
    >>> conv_transpose(jnp.array([1.0, 2.0]).reshape(1, 2, 1), kernel, strides=2)[0, :, 0]
    Array([1., 10., 2., 20.], dtype=float32)

    Args: as `conv`, on `x [B, spatial..., C]`; `output_padding` adds rows at the end.
    Returns: `[B, larger..., O]`.
    Raises: ValueError if ranks or channels do not fit, or `output_padding` is not below
        `max(strides, dilation)`.
    """
    axes = _check_channels(x, kernel, groups)
    strides, dilation = per_axis(strides, axes, "strides"), per_axis(dilation, axes, "dilation")
    extra = per_axis(output_padding, axes, "output_padding")
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilation, strict=True)):
        raise ValueError(
            f"output_padding {extra} must be below strides {strides} or dilation {dilation}"
        )
    edges = per_axis(padding, axes, "padding")
    pads = [
        (d * (k - 1) - p, d * (k - 1) - p + e)
        for k, d, p, e in zip(kernel.shape[:-2], dilation, edges, extra, strict=True)
    ]

    def dilated(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x, jnp.flip(kernel, range(axes)), (1,) * axes, pads,
            lhs_dilation=strides, rhs_dilation=dilation, feature_group_count=groups,
            dimension_numbers=_dimension_numbers(axes),
        )  # fmt: skip

    one_stride = axes == 2 and strides[0] == strides[1] > 1
    if not one_stride or groups > 1 or dilation != (1, 1):
        return dilated(x, kernel)
    size = jax.eval_shape(dilated, x, kernel).shape[1:3]

    def phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
        kernel = jnp.swapaxes(kernel, 2, 3)
        return by_phases(x, kernel, size, strides[0], edges)

    return lax.platform_dependent(x, kernel, cpu=phases, default=dilated)


def conv_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> int:
    """Output size of a convolution or pooling, `floor((H + 2 p - d (k - 1) - 1) / s) + 1`.

    >>> conv_output_size(224, kernel=11, stride=4, padding=2)
    55

    Raises: ValueError where the kernel exceeds the padded input.
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    free = size + before + after - dilation * (kernel - 1) - 1
    if free < 0:
        raise ValueError(
            f"a kernel of {kernel} (dilation {dilation}) does not fit into size {size} with "
            f"padding {padding}: it needs at least {dilation * (kernel - 1) + 1 - before - after}"
        )
    return free // stride + 1


class ReceptiveField(NamedTuple):
    """What one output of a stack of layers sees, in pixels of its input along one axis."""

    size: int  # pixels that can change the output
    stride: int  # pixels between the fields of neighboring outputs
    start: float  # first pixel seen by output 0; negative where it lies in the padding


def receptive_field(layers: Sequence[tuple[int, ...]]) -> ReceptiveField:
    """Receptive field of layers `(kernel, stride, padding[, dilation])`, first layer first.

    `size += d (k - 1) j`, `start -= p j`, `j *= s` for the running stride j (Araujo et al.,
    Computing receptive fields of convolutional neural networks, Distill 2019).

    >>> receptive_field([(5, 1, 2), (2, 2, 0), (5, 1, 0), (2, 2, 0)])  # LeNet's body
    ReceptiveField(size=16, stride=4, start=-2)
    """
    size, jump, start = 1, 1, 0
    for kernel, stride, padding, *dilation in layers:
        size += (dilation[0] if dilation else 1) * (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    return ReceptiveField(size, jump, start)


def _check_channels(x: jax.Array, kernel: jax.Array, groups: int) -> int:
    """The number of spatial axes, after a check that `kernel` fits `x`."""
    if x.ndim not in (3, 4, 5) or kernel.ndim != x.ndim:
        raise ValueError(
            "need x [B, spatial..., C] and kernel [sizes..., C, O] of one rank, "
            f"got {x.shape} and {kernel.shape}"
        )
    channels = kernel.shape[-2] * groups
    if x.shape[-1] != channels or kernel.shape[-1] % groups:
        raise ValueError(
            f"kernel {kernel.shape} with groups={groups} reads {channels} channels, but x "
            f"{x.shape} has {x.shape[-1]} on its last axis" + channels_first_hint(x.shape, channels)
        )
    return x.ndim - 2


def per_axis(value: int | Sequence[int], axes: int, name: str) -> tuple[int, ...]:
    """One number for every spatial axis."""
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes or not all(isinstance(v, int) for v in values):
        raise ValueError(f"{name} must be one integer or {axes}, got {value}")
    return values


def explicit_padding(
    padding: Padding,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
) -> tuple[tuple[int, int], ...]:
    """Padding of any spelling as (before, after) an axis."""
    axes = len(sizes)
    strides, dilation = strides or (1,) * axes, dilation or (1,) * axes
    if isinstance(padding, str):
        if padding.upper() == "VALID":
            return ((0, 0),) * axes
        if padding.upper() != "SAME":
            raise ValueError(f"padding must be 'SAME', 'VALID' or numbers, got {padding!r}")
        total = (
            max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
            for n, k, s, d in zip(sizes, kernel, strides, dilation, strict=True)
        )
        return tuple((t // 2, t - t // 2) for t in total)
    if not isinstance(padding, int) and all(not isinstance(p, int) for p in padding):
        pairs = tuple((int(p[0]), int(p[1])) for p in padding if not isinstance(p, int))
        if len(pairs) != axes:
            raise ValueError(f"padding needs {axes} pairs, got {padding}")
        return pairs
    return tuple((p, p) for p in per_axis(padding, axes, "padding"))  # type: ignore[arg-type]


def channels_first_hint(shape: Sequence[int], channels: int) -> str:
    """The end of an error about channels, where the shape looks like `[B, C, H, W]`."""
    if len(shape) == 4 and shape[1] == channels:
        return "; it looks like [B, C, H, W]: transpose it with (0, 2, 3, 1)"
    return ""


def _dimension_numbers(axes: int) -> tuple[str, str, str]:
    spatial = "DHW"[3 - axes :]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"
