"""What is minimised: `objective(params, model_state, batch, key, *, train) -> (Mean, Aux)`.

The `Mean` is a total and a weight, so that the loss is total / weight over all that was real,
however it was split. SSD, word2vec or style transfer write their own objective in a dozen lines;
`supervised` builds the usual one.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxdl.metrics import Mean

Batch = Mapping[str, jax.Array]


class Aux(NamedTuple):
    """What an objective returns beside the loss."""

    metrics: Mapping[str, Any]  # metric states by name
    model_state: Any  # as it was given, or as the forward pass left it


class Objective(Protocol):
    """Any function of this signature can be trained; nothing else is asked of a model."""

    def __call__(
        self, params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]: ...


def supervised(
    model: Any,
    loss: Callable[[Any, jax.Array], jax.Array],
    *,
    metrics: Mapping[str, Callable[[Any, jax.Array, jax.Array], Any]] | None = None,
    inputs: str = "image",
    targets: str = "label",
    prepare: Callable[[dict], dict] | None = None,
    augment: Callable[[jax.Array, dict], dict] | None = None,
) -> Objective:
    """The objective of a Linen module that maps inputs to outputs, compared with targets.

    Args:
        model: called as `model.apply(variables, x, train=...)`; batch statistics are threaded
            through `model_state`, dropout gets the key of the step. A module whose `__call__` has
            a parameter `mask` also gets the batch's mask (for batch norm).
        loss: `(outputs, targets)` to one number per example, `[B]` or `[B, ...]`.
        metrics: by name, `(outputs, targets, mask)` to a metric state.
        inputs, targets: columns of the batch.
        prepare: `batch -> batch`, inside the compiled step, always: decoding, scaling.
        augment: `(key, batch) -> batch`, after `prepare`, in training only.
    Floating inputs take the dtype of the parameters, so that a step in bfloat16 computes in it.
    """

    takes_mask = "mask" in inspect.signature(type(model).__call__).parameters

    def objective(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        dropout_key, augment_key = jax.random.split(key)
        prepared = dict(batch) if prepare is None else prepare(dict(batch))
        if train and augment is not None:
            prepared = augment(augment_key, prepared)
        x, y, mask = prepared[inputs], prepared[targets], prepared["mask"]
        leaves = jax.tree.leaves(params)
        if leaves and jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(leaves[0].dtype)
        variables, extra = {"params": params, **model_state}, {"mask": mask} if takes_mask else {}
        if train:
            rngs, mutable = {"dropout": dropout_key}, list(model_state)
            outputs, new_state = model.apply(
                variables, x, train=True, rngs=rngs, mutable=mutable, **extra
            )
        else:
            outputs, new_state = model.apply(variables, x, train=False, **extra), model_state
        mean = Mean.from_values(loss(outputs, y), mask)
        states = {name: metric(outputs, y, mask) for name, metric in (metrics or {}).items()}
        return mean, Aux(states, new_state)

    return objective


def linen_init(model: Any, key: jax.Array, x: jax.Array, **kwargs: Any) -> tuple[Any, Any]:
    """Initialises a Linen module called with `train=False`: params, and the other collections."""
    variables = dict(jax.jit(lambda key: model.init(key, x, train=False, **kwargs))(key))
    return variables.pop("params", {}), variables
