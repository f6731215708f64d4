"""Convolutional and recurrent networks of signals in time, heart beats say.

Signals are `[B, T, C]`: T samples of C channels.
"""

from collections.abc import Sequence

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl import nn


class SignalCNN(linen.Module):
    """1-D convolutions, each with batch norm, ReLU and pooling by two, then a mean over time.

    The mean makes it take signals of any length (of at least `2^len(features)` samples).

    >>> model, key, x = SignalCNN(num_classes=5), jax.random.key(0), jnp.zeros((2, 187, 1))
    >>> variables = jax.eval_shape(lambda: model.init(key, x, train=False))
    >>> jax.eval_shape(lambda v: model.apply(v, x[:, :90], train=False), variables).shape
    (2, 5)
    """

    num_classes: int
    features: Sequence[int] = (16, 32, 64)  # channels of each convolution
    width: int = 7  # samples seen by each convolution
    dropout: float = 0.2

    @linen.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps signals `[B, T, C]` to logits `[B, K]`; key "dropout" in training."""
        if x.ndim != 3 or x.shape[1] < 2 ** len(self.features):
            raise ValueError(
                f"need signals [B, T, C] with T >= {2 ** len(self.features)}, got {x.shape}"
            )
        for channels in self.features:
            x = linen.Conv(channels, (self.width,), use_bias=False)(x)
            x = linen.relu(linen.BatchNorm(use_running_average=not train, momentum=0.9)(x))
            x = linen.max_pool(x, (2,), (2,))
        x = linen.Dropout(self.dropout, deterministic=not train)(jnp.mean(x, axis=1))
        return linen.Dense(self.num_classes, name="head")(x)


class SignalRNN(linen.Module):
    """The last state of a stack of recurrent layers, and one dense layer over it.

    >>> model, key, x = SignalRNN(2, nn.GRUCell(), 8), jax.random.key(0), jnp.zeros((4, 50, 1))
    >>> variables = jax.eval_shape(lambda: model.init(key, x, train=False))
    >>> jax.eval_shape(lambda v: model.apply(v, x, train=False), variables).shape
    (4, 2)
    """

    num_outputs: int
    cell: nn.Cell
    hidden_size: int
    num_layers: int = 1
    dropout: float = 0.0  # between the layers

    @linen.compact
    def __call__(self, x: jax.Array, lengths: jax.Array | None = None, *, train: bool) -> jax.Array:
        """Maps signals `[B, T, C]`, of T steps or of `lengths [B]`, to `[B, num_outputs]`."""
        stack = nn.Recurrent(
            self.cell, self.hidden_size, self.num_layers, dropout=self.dropout, name="recurrent"
        )
        _, state = stack(x, lengths=lengths, train=train)
        return nn.Dense(self.num_outputs, name="head")(state[0][-1])
