"""The state of a training run: one pytree, nothing hidden."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct


class TrainState(struct.PyTreeNode):
    """All that a step reads and writes; saved and restored as it is.

    `step` counts the batches seen, so it is also the position in the data; the key of step n is
    `fold_in(key, n)`, and `key` itself never changes.

    >>> params, key = {"w": jnp.ones(2)}, jax.random.key(0)
    >>> state = TrainState.create(params=params, tx=optax.adam(1e-3), key=key, ema=True)
    >>> int(state.step), state.eval_params
    (0, {'w': Array([1., 1.], dtype=float32)})
    """

    step: jax.Array  # int32
    params: Any
    model_state: Any  # whatever else the model carries: batch statistics, recurrent state
    opt_state: Any  # of the optimizer
    key: jax.Array
    ema: Any = None  # exponential moving average of params, if kept
    skipped: Any = None  # int32 [2]: non-finite steps in a row, and in total, if guarded

    @classmethod
    def create(
        cls,
        *,
        params: Any,
        tx: optax.GradientTransformation,
        key: jax.Array,
        model_state: Any = None,
        ema: bool = False,
        guard: bool = False,
    ) -> Self:
        """The state before the first step; `ema` and `guard` as in `make_step`."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state={} if model_state is None else model_state,
            opt_state=tx.init(params),
            key=key,
            # A copy: donating a state whose leaves share a buffer is an error.
            ema=jax.tree.map(jnp.copy, params) if ema else None,
            skipped=jnp.zeros((2,), jnp.int32) if guard else None,
        )

    @property
    def eval_params(self) -> Any:
        """The parameters to evaluate with: the moving average where one is kept."""
        return self.params if self.ema is None else self.ema
