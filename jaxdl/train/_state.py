"""The state of a training run: one pytree, nothing hidden."""

from typing import Any

import jax
from flax import struct


class TrainState(struct.PyTreeNode):
    """All that a step reads and writes; saved and restored as it is.

    `step` counts the batches seen, so it is also the position in the data; the key of step n is
    `fold_in(key, n)`, and `key` itself never changes.

    Made by the `init` of a `Trainer`.
    """

    step: jax.Array  # int32
    params: Any
    model_state: Any  # whatever else the model carries: batch statistics, recurrent state
    opt_state: Any  # of the optimizer
    key: jax.Array
    ema: Any = None  # exponential moving average of params, if kept
    skipped: Any = None  # int32 [2]: steps skipped as not finite, in a row and in total
    loss_scale: Any = None  # float32 [2]: the scale, and the steps since it changed
    skip_limit: int | None = struct.field(pytree_node=False, default=None)  # in a row

    @property
    def eval_params(self) -> Any:
        """The parameters to evaluate with: the moving average where one is kept."""
        return self.params if self.ema is None else self.ema
