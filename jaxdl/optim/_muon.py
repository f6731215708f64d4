"""Muon: momentum made orthogonal, for kernels of every rank; Adam for what is no kernel."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdl.optim._groups import path_mask, weights_only
from jaxdl.optim._rates import Rate, inject_rate

_QUINTIC = (3.4445, -4.775, 2.0315)  # steepest at 0; after five rounds values lie in 0.7..1.2


def muon(
    learning_rate: Rate,
    *,
    adam_learning_rate: Rate,
    adam: Sequence[str] = (),
    stacked: Sequence[str] = (),
    decay: float = 0.95,
    weight_decay: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Nesterov momentum whose singular values are all brought near 1, times the rate.

        tx = optim.muon(0.02, adam_learning_rate=2e-3, adam=("*embedding*", "head/*"))

    A kernel `[..., in, out]` is taken as the matrix `[... in, out]`, so convolutions take part; its
    update is scaled by `sqrt(max(1, out / in))`, a rate of 0.02 being usual. Biases and norms, and
    leaves that match a pattern, are left to Adam: embeddings and the last layer, as a rule.

    >>> params = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    >>> grads = {"kernel": jnp.diag(jnp.array([100.0, 100.0])), "bias": jnp.array([3.0, -5.0])}
    >>> tx = muon(0.1, adam_learning_rate=0.01)
    >>> updates, _ = tx.update(grads, tx.init(params), params)
    >>> bool(jnp.allclose(updates["kernel"], -0.1 * jnp.eye(2), atol=0.03)), updates["bias"]
    (True, Array([-0.01,  0.01], dtype=float32))

    Args:
        learning_rate, adam_learning_rate: numbers or schedules, for kernels and for the rest.
        adam: patterns of paths, as in `groups`.
        stacked: patterns of leaves `[L, ..., in, out]` that hold a kernel for each of L layers, as
            those of `models.Transformer` do ("stack/*").
        decay: of the momentum, `v = decay v + g`.
        weight_decay: decoupled, of kernels; multiplied by their rate.
    Raises: ValueError for a decay outside [0, 1) or a negative weight decay; at `init`, if a
        pattern matches nothing.
    Reference: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024. torch
        does the iteration in bfloat16, optax corrects the momentum's bias; neither is done here.
    """
    if not 0 <= decay < 1 or not 0 <= weight_decay < float("inf"):
        raise ValueError(
            f"decay must lie in [0, 1) and weight_decay be finite and not negative, got {decay} "
            f"and {weight_decay}"
        )

    def labels(params: Any) -> Any:
        rest = path_mask(params, *adam)
        return jax.tree.map(
            lambda is_weight, is_rest: "muon" if is_weight and not is_rest else "adam",
            weights_only(params),
            rest,
        )

    def orthogonal(updates: Any, params: Any) -> Any:
        several = path_mask(params, *stacked)
        return jax.tree.map(
            lambda kernel, each: jax.vmap(_orthogonal)(kernel) if each else _orthogonal(kernel),
            updates,
            several,
        )

    kernels = optax.chain(
        optax.trace(decay, nesterov=True),
        optax.stateless(orthogonal),
        optax.add_decayed_weights(weight_decay),
        inject_rate(optax.scale_by_learning_rate, learning_rate),
    )
    rest = inject_rate(optax.adam, adam_learning_rate)
    return optax.partition({"muon": kernels, "adam": rest}, labels)


def _orthogonal(kernel: jax.Array) -> jax.Array:
    """The kernel with singular values near 1, by five rounds of a Newton-Schulz iteration."""
    x = kernel.reshape(-1, kernel.shape[-1])
    num_in, num_out = x.shape
    x = x.T if num_in > num_out else x  # the smaller side first, for a small Gram matrix
    x = x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)
    a, b, c = _QUINTIC
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.T if num_in > num_out else x
    return x.reshape(kernel.shape) * max(1.0, num_out / num_in) ** 0.5
