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
- Frozen layers neither use nor update the statistics of the batch.
  `test_frozen_layers_neither_use_nor_update_the_batch`
"""

from collections.abc import Sequence

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl.nn._initializers import Initializer, constant


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
        if train and not self.frozen:
            batch_mean, batch_var, count = batch_statistics(x, mask, axis_name=self.axis_name)
            if not self.is_initializing():
                kept = jnp.where(count == 0, 1.0, self.momentum)
                unbias = count / jnp.maximum(count - 1, 1) if self.unbiased else 1.0
                mean.value = kept * mean.value + (1 - kept) * batch_mean
                var.value = kept * var.value + (1 - kept) * batch_var * unbias
        else:
            batch_mean, batch_var = mean.value, var.value
        factor = scale * jax.lax.rsqrt(batch_var + self.epsilon)
        spread = (None,) * (x.ndim - 1)
        if mask is not None:  # padding may hold NaN, and 0 NaN in the gradient of scale is NaN
            x = jnp.where(_spread(mask, x) == 0, 0, x)
        y = (x - batch_mean[spread]) * factor[spread] + bias[spread]
        return y.astype(x.dtype)


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

    def total(values: jax.Array) -> jax.Array:
        values = jnp.sum(values * weights, axis=axes)
        return values if axis_name is None else jax.lax.psum(values, axis_name)

    count = count if axis_name is None else jax.lax.psum(count, axis_name)
    safe = jnp.maximum(count, 1)
    mean = total(x) / safe
    var = total(jnp.square(x - mean[(None,) * (x.ndim - 1)])) / safe
    return mean, var, count


def _spread(mask: jax.Array, x: jax.Array) -> jax.Array:
    """The mask with as many axes as x, after a check that it leads its shape."""
    if mask.shape != x.shape[:-1][: mask.ndim]:
        raise ValueError(f"mask {mask.shape} must lead the shape of x {x.shape}")
    return mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
