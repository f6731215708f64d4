"""Multi-layer perceptrons: dense layers with an activation between them."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp


class MLP(linen.Module):
    """Dense layers of the given widths, the last one without activation (its outputs are logits).

    A perceptron of any depth; `features=(10,)` is softmax regression.

    >>> x = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> params = {"dense1": {"kernel": jnp.ones((2, 2)), "bias": jnp.array([0.0, -1.0])}}
    >>> params |= {"head": {"kernel": jnp.array([[1.0], [-2.0]]), "bias": jnp.zeros(1)}}
    >>> MLP(features=(2, 1)).apply({"params": params}, x, train=False)[:, 0]  # exclusive or
    Array([0., 1., 1., 0.], dtype=float32)
    """

    features: Sequence[int]  # widths of the layers after the input, the outputs last
    activation: Callable[..., Any] = linen.relu  # a function, or a module's class: `nn.PReLU`
    dropout: float = 0.0  # share of each hidden layer that is dropped in training
    kernel_init: Any = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps `[B, ...]`, taken as vectors, to `[B, features[-1]]`."""
        if x.ndim < 2 or not self.features or min(self.features) < 1:
            raise ValueError(f"need inputs [B, ...] and layers, got {x.shape}, {self.features}")
        x = jnp.reshape(x, (x.shape[0], -1))
        for i, width in enumerate(self.features[:-1]):
            x = linen.Dense(width, kernel_init=self.kernel_init, name=f"dense{i + 1}")(x)
            if isinstance(self.activation, type):  # with parameters of its own in every layer
                x = self.activation(name=f"activation{i + 1}")(x)
            else:
                x = self.activation(x)
            x = linen.Dropout(self.dropout, deterministic=not train)(x)
        return linen.Dense(self.features[-1], kernel_init=self.kernel_init, name="head")(x)
