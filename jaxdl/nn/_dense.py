"""A dense layer over sequences that a CPU computes as one product of two matrices."""

from typing import Any, cast

import flax.linen as linen
import jax
from jax import lax

from jaxdl._rows import by_rows, path_of
from jaxdl.ops._convolution import add_bias


def _flat_dot(x: jax.Array, kernel: jax.Array, dimensions: Any, **options: Any) -> jax.Array:
    """`lax.dot_general` over the last axis, with the leading axes of x as one on a CPU.

    The gradient of the kernel sums over all leading axes. XLA for CPU copies and transposes for a
    sum over two, which is slow for the head of a large vocabulary. Elsewhere the axes stay apart,
    for one may lie on many devices.
    """
    if x.ndim <= 2:
        return lax.dot_general(x, kernel, dimensions, **options)

    def flat(x: jax.Array, kernel: jax.Array) -> jax.Array:
        rows = x.reshape(-1, x.shape[-1])
        product = lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())), **options)
        return product.reshape(*x.shape[:-1], kernel.shape[-1])

    def apart(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.dot_general(x, kernel, dimensions, **options)

    return lax.platform_dependent(x, kernel, cpu=flat, default=apart)


def contract_last(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel` for `[..., D]` and `[D, E]`, as `Dense` computes it.

    >>> contract_last(jnp.arange(6.0).reshape(1, 3, 2), jnp.ones((2, 1)))[0, :, 0]
    Array([1., 5., 9.], dtype=float32)
    """

    def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return _flat_dot(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))

    return by_rows(product, x, kernel) if x.ndim > 1 else product(x, kernel)


class Dense(linen.Dense):
    """Flax's `Dense`, its parameters and its numbers; faster on a CPU where x is `[..., T, D]`.

    In half precision the bias' gradient, a sum over all rows, is added up in float32.

    >>> key, x = jax.random.key(0), jnp.zeros((2, 3, 4))
    >>> y, variables = jax.eval_shape(Dense(5).init_with_output, key, x)
    >>> y.shape, variables["params"]["kernel"].shape
    ((2, 3, 5), (4, 5))
    """

    dot_general: Any = _flat_dot
    batch_axis: int = 0  # along which devices share the examples out; 1 where time comes first

    @linen.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps `[..., D]` to `[..., features]`."""
        shape = (inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        x, kernel = cast(jax.Array, x), cast(jax.Array, kernel)  # flax allows for None
        dimensions = (((x.ndim - 1,), (0,)), ((), ()))
        dot = self.dot_general if self.dot_general_cls is None else self.dot_general_cls()

        def product(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
            return add_bias(dot(x, kernel, dimensions, precision=self.precision), bias)

        if x.ndim <= self.batch_axis + 1:  # no examples, features alone
            return product(x, kernel, bias)
        paths = (path_of(self, "kernel"), None if bias is None else path_of(self, "bias"))
        return by_rows(product, x, kernel, bias, axis=self.batch_axis, paths=paths)
