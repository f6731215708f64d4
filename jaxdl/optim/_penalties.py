"""Penalties and constraints that optax lacks, to be chained before or after an optimizer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxdl.optim._groups import weights_only
from jaxdl.optim._rates import Rate

Mask = Callable[[Any], Any]  # from params to a tree of booleans


def l1_subgradient(penalty: ArrayLike, *, mask: Mask | None = None) -> optax.GradientTransformation:
    """Adds `penalty * sign(w)` to the gradients; chain it before the optimizer.

    The coefficients come near zero and hop around it; for exact zeros use `l1_proximal`.

    >>> params = {"kernel": jnp.array([[2.0, -3.0]])}
    >>> tx = l1_subgradient(0.1)
    >>> tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)[0]
    {'kernel': Array([[0.1, -0.1]], dtype=float32)}

    Args:
        penalty: lambda of `lambda * sum |w|`.
        mask: `params -> tree of booleans`, the leaves it counts for; all by default.
    """
    _check_penalty(penalty)
    return _stateless(lambda g, w: g + penalty * jnp.sign(w), mask)


def l1_proximal(
    penalty: ArrayLike, learning_rate: Rate, *, mask: Mask | None = None
) -> optax.GradientTransformation:
    """Soft-thresholds the parameters after each step; chain it last.

    `w = sign(u) max(|u| - rate * penalty, 0)` for `u` the updated parameters: proximal gradient
    descent (ISTA) with SGD. Coefficients that are zero are exactly zero. With adaptive optimizers
    it is the thresholding of that paper's algorithm, not the minimizer of the L1 penalty.

    >>> params = {"kernel": jnp.array([[2.0, -0.05]])}
    >>> tx = l1_proximal(1.0, learning_rate=0.1)
    >>> updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    >>> optax.apply_updates(params, updates)
    {'kernel': Array([[1.9, 0.]], dtype=float32)}

    Args:
        learning_rate: that of the optimizer before it, a number or the same schedule.
        mask: as in `l1_subgradient`.
    Reference: Beck & Teboulle, A fast iterative shrinkage-thresholding algorithm, 2009.
    """
    _check_penalty(penalty)

    def shrink(u: jax.Array, threshold: Any) -> jax.Array:
        return jnp.sign(u) * jnp.maximum(jnp.abs(u) - threshold, 0.0)

    def init(params: Any) -> optax.ScaleByScheduleState:
        del params
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        updates = _replace(lambda w: shrink(w, rate * penalty), updates, params, mask)
        return updates, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def max_norm(limit: float, *, mask: Mask = weights_only) -> optax.GradientTransformation:
    """Keeps the incoming weights of each unit within a ball of radius `limit`; chain it last.

    The norm of a kernel `[..., out]` is taken over all axes but the last; longer columns are scaled
    down after each step.

    >>> params = {"kernel": jnp.array([[3.0], [4.0]])}
    >>> tx = max_norm(1.0)
    >>> updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    >>> optax.apply_updates(params, updates)["kernel"]
    Array([[0.6 ],
           [0.8]], dtype=float32)

    Args:
        mask: `params -> tree of booleans`, the leaves it counts for.
    Reference: Srivastava et al., Dropout, 2014, sec. 5.1.
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive, got {limit}")

    def project(w: jax.Array) -> jax.Array:
        square = jnp.sum(w * w, axis=tuple(range(w.ndim - 1)), keepdims=True)
        return w * jax.lax.rsqrt(jnp.maximum(square / limit**2, 1.0))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return _replace(project, updates, params, mask), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _stateless(f: Callable, mask: Mask | None) -> optax.GradientTransformation:
    def update(updates: Any, state: Any, params: Any = None) -> Any:
        chosen = _chosen(mask, params)
        return jax.tree.map(lambda on, u, w: f(u, w) if on else u, chosen, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _replace(f: Callable, updates: Any, params: Any, mask: Mask | None) -> Any:
    """Updates that lead to `f(params + updates)`; exact zeros stay exact, for `w + (0 - w) = 0`."""
    chosen = _chosen(mask, params)
    return jax.tree.map(lambda on, u, w: f(w + u) - w if on else u, chosen, updates, params)


def _chosen(mask: Mask | None, params: Any) -> Any:
    if params is None:
        raise ValueError("this transformation needs update(updates, state, params)")
    return jax.tree.map(lambda _: True, params) if mask is None else mask(params)


def _check_penalty(penalty: ArrayLike) -> None:
    if isinstance(penalty, (int, float)) and not 0 <= penalty < float("inf"):
        raise ValueError(f"penalty must be finite and not negative, got {penalty}")
