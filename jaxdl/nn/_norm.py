"""Batch normalization (Ioffe & Szegedy 2015, arXiv:1502.03167) for dense and convolutional layers.

Conventions that libraries differ in, with the choice made here:

- `momentum` is the share of the old running value that is kept, 0.9 here and in Flax; Keras keeps
  0.99, and 64 % of the initial statistics are then still there after 45 steps. torch's 0.1 is the
  share of the new value, 0.9 here. `test_momentum_is_the_share_kept`
- The running variance is the biased one that normalized the batch; torch's, and ours
  with `unbiased=True`, is the unbiased one. `test_running_variance_is_biased_by_default`
- The variance is taken about the mean in a second pass. `E[x^2] - E[x]^2` gives 16.0 for 0.695
  when the mean is 1e4. `test_variance_at_a_mean_of_ten_thousand`
- Padded rows, marked by a mask, have no part in the statistics. `test_padded_rows_have_no_part`
- The batch is that of all devices: inside `jax.set_mesh`, or with `axis_name`, each device takes
  the mean and the squared deviations of its rows, one small gather merges them, and one all-reduce
  brings the gradient back. `per_device` normalizes by a device's own rows, as torch does unless
  told otherwise; nothing waits for other devices then. `test_statistics_of_eight_devices_are_one`
- Frozen layers neither use nor update the statistics of the batch.
  `test_frozen_layers_neither_use_nor_update_the_batch`
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec as P

from jaxdl._rows import batch_axes, mapped
from jaxdl.nn._initializers import Initializer, constant
from jaxdl.ops._linear import vary_with


class BatchNorm(linen.Module):
    """Normalizes each channel (the last axis) over all others, then scales and shifts it.

    Running averages are in the collection "batch_stats" as "mean" and "var", parameters are "scale"
    and "bias". Statistics and running averages are in float32 whatever the input is.

    >>> norm, x = BatchNorm(momentum=0.9), jnp.array([[1.0], [3.0]])
    >>> variables = norm.init(jax.random.key(0), x, train=False)
    >>> y, state = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    >>> y[:, 0], state["batch_stats"]["mean"]  # 0.9 * 0 + 0.1 * 2
    (Array([-1.,  1.], dtype=float32), Array([0.2], dtype=float32))
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = False  # the running variance is that of a sample, N - 1, as in torch
    frozen: bool = False  # the running averages even in training, and no update of them
    axis_name: str | Sequence[str] | None = None  # devices of `shard_map`/`pmap` or a `vmap` axis
    per_device: bool = False  # normalize by a device's rows; the running averages are of all
    scale_init: Initializer = constant(1.0)
    bias_init: Initializer = constant(0.0)

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, *, train: bool) -> jax.Array:
        """Maps `[B, ..., C]` to its own shape and dtype.

        Args:
            x: `[B, ..., C]`.
            mask: boolean `[B]` up to `[B, ...]`: False is left out of the statistics, and may
                hold NaN without harm. A batch with nothing in it changes no running average.
            train: normalize by the batch and update the averages, or by the averages.
        Raises: ValueError if the mask does not lead the shape, or momentum is outside [0, 1].
        """
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {self.momentum}")
        channels = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", self.scale_init, channels, jnp.float32)
        bias = self.param("bias", self.bias_init, channels, jnp.float32)
        if not train or self.frozen:
            factor = scale * jax.lax.rsqrt(var.value + self.epsilon)
            return _affine(x, mask, jnp.stack([mean.value, factor, bias]))
        axes = () if self.axis_name is not None else batch_axes(len(x))
        normalize: Callable[..., Any] = functools.partial(
            _normalized,
            axis_name=axes or self.axis_name,
            per_device=self.per_device,
            epsilon=self.epsilon,
        )
        if axes:
            rows, copied = P(axes), P()
            normalize = mapped(normalize, axes, (rows, rows, copied), (rows, copied))
        y, (batch_mean, batch_var, count) = normalize(x, mask, jnp.stack([scale, bias]))
        if not self.is_initializing():
            kept = jnp.where(count == 0, 1.0, self.momentum)
            unbias = count / jnp.maximum(count - 1, 1) if self.unbiased else 1.0
            mean.value = kept * mean.value + (1 - kept) * batch_mean
            var.value = kept * var.value + (1 - kept) * batch_var * unbias
        return y


def _normalized(
    x: jax.Array,
    mask: jax.Array | None,
    scale_and_bias: jax.Array,
    *,
    axis_name: str | Sequence[str] | None,
    per_device: bool,
    epsilon: float,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    """One device's rows, normalized, and the statistics for the running averages."""
    local = axis_name is not None and per_device
    used = batch_statistics(x, mask, axis_name=None if local else axis_name)
    shown = _averaged(*used, axis_name) if local and axis_name is not None else used
    # Kept under any rematerialization by name: small, and what devices would exchange again.
    mean, var = (checkpoint_name(value, "batch_statistics") for value in used[:2])
    scale, bias = scale_and_bias
    table = jnp.stack([mean, scale * jax.lax.rsqrt(var + epsilon), bias])
    # One array, so that all its gradients are one sum over devices.
    return _affine(x, mask, vary_with((x,), table)), shown


def _affine(x: jax.Array, mask: jax.Array | None, table: jax.Array) -> jax.Array:
    """`(x - mean) factor + bias` for a table `[3, C]` of these, in the dtype of x."""
    mean, factor, bias = table.reshape(3, *(1,) * (x.ndim - 1), -1)
    kept = x
    if mask is not None:  # padding may hold NaN, and 0 NaN in the gradient of scale is NaN
        kept = jnp.where(_spread(mask, x) == 0, 0, x)
    return ((kept - mean) * factor + bias).astype(x.dtype)


def batch_statistics(
    x: jax.Array,
    mask: jax.Array | None = None,
    *,
    axis_name: str | Sequence[str] | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean and biased variance `[C]` of `[B, ..., C]` in two passes, and how many were counted.

    >>> mean, var, count = batch_statistics(
    ...     jnp.array([[1.0], [3.0], [99.0]]), mask=jnp.array([True, True, False])
    ... )
    >>> mean, var, count
    (Array([2.], dtype=float32), Array([1.], dtype=float32), Array(2., dtype=float32))

    Args:
        x, mask: as in `BatchNorm`.
        axis_name: axes of `shard_map`, `pmap` or `vmap` over which the batch is spread.
    Returns: float32 `[C]`, `[C]`, `[]`; of nothing, zeros.
    """
    axes = tuple(range(x.ndim - 1))
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if mask is None:
        weights = jnp.ones((), x.dtype)
        count = jnp.asarray(x.size // max(x.shape[-1], 1), x.dtype)
    else:
        weights = _spread(mask, x).astype(x.dtype)
        count = jnp.sum(jnp.broadcast_to(weights[..., 0], x.shape[:-1]))
        x = jnp.where(weights == 0, 0, x)  # padding may hold anything
    safe = jnp.maximum(count, 1)
    mean = jnp.sum(x * weights, axis=axes) / safe
    squares = jnp.sum(jnp.square(x - mean[(None,) * (x.ndim - 1)]) * weights, axis=axes)
    if axis_name is None:
        return mean, squares / safe, count
    return _merged(mean, squares, count, axis_name)


def _merged(
    mean: jax.Array, squares: jax.Array, count: jax.Array, axis_name: str | Sequence[str]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean, variance and count of all devices, from one gather of each one's.

    Chan et al. 1983, Algorithms for computing the sample variance. A sum of squares about a common
    point would be one reduction as well, but nobody knows a point near the mean beforehand.
    """
    sent = jnp.concatenate([mean, squares, vary_with((mean,), count)[None]])
    axes = axis_name if isinstance(axis_name, str) else tuple(axis_name)
    gathered = jax.lax.all_gather(sent, axes, to="invarying")  # [devices, 2C + 1]
    counts = gathered[:, -1:]
    means, all_squares = jnp.split(gathered[:, :-1], 2, axis=1)
    count = jnp.sum(counts)
    safe = jnp.maximum(count, 1)
    pivot = jax.lax.stop_gradient(means[jnp.argmax(counts)])  # offsets, not means, are added up
    mean = pivot + jnp.sum(counts * (means - pivot[None]), axis=0) / safe
    between = jnp.sum(counts * jnp.square(means - mean[None]), axis=0)
    return mean, (jnp.sum(all_squares, axis=0) + between) / safe, count


def _averaged(
    mean: jax.Array, var: jax.Array, count: jax.Array, axis_name: str | Sequence[str]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The devices' own statistics, averaged by how many each counted, and their mean count."""
    sent = jnp.concatenate([count * mean, count * var, vary_with((mean,), count)[None]])
    total = jax.lax.psum(sent, axis_name)
    count, safe = total[-1], jnp.maximum(total[-1], 1)
    mean, var = jnp.split(total[:-1] / safe, 2)
    return mean, var, count / jax.lax.axis_size(axis_name)


def _spread(mask: jax.Array, x: jax.Array) -> jax.Array:
    """The mask with as many axes as x, after a check that it leads its shape."""
    if mask.shape != x.shape[:-1][: mask.ndim]:
        raise ValueError(f"mask {mask.shape} must lead the shape of x {x.shape}")
    return mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
