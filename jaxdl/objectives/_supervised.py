"""Outputs compared with targets: the usual objective."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdl import losses
from jaxdl.metrics import Mean
from jaxdl.objectives._core import Augment, Batch, Objective, Preprocess, build
from jaxdl.objectives._expected import expect_classes

# An integer that is no class makes them NaN; a function of one's own may have a use for it.
_OF_CLASSES = losses.softmax_cross_entropy, optax.softmax_cross_entropy_with_integer_labels


def supervised(
    module: Any,
    loss: Callable[[Any, jax.Array], jax.Array],
    *,
    metrics: Mapping[str, Callable[[Any, jax.Array, jax.Array], Any]] | None = None,
    inputs: str = "image",
    targets: str = "label",
    preprocess: Preprocess | None = None,
    augment: Augment | None = None,
) -> Objective:
    """The objective of a module that maps inputs to outputs, compared with targets.

    >>> import jax.numpy as jnp
    >>> from jaxdl import losses, models
    >>> objective = supervised(models.MLP((2,)), losses.softmax_cross_entropy)
    >>> params = {"head": {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}}
    >>> batch = {"image": jnp.ones((4, 3)), "label": jnp.zeros(4, int), "mask": jnp.ones(4, bool)}
    >>> objective(params, {}, batch, jax.random.key(0), train=True)[0].compute()  # log 2
    Array(0.693, dtype=float32)

    Args:
        module: of Linen, NNX, Equinox or another kind that `as_network` knows. Batch statistics
            are threaded through `model_state`, dropout gets the key of the step, a module with a
            parameter `mask` gets the batch's mask.
        loss: `(outputs, targets)` to one number per example, `[B]` or `[B, ...]`.
        metrics: by name, `(outputs, targets, mask)` to a metric state.
        inputs, targets: columns of the batch.
        preprocess, augment: as in `build`.
    """

    def score(forward: Callable, batch: Batch, *, key: Any, train: bool) -> tuple[Mean, Any]:
        outputs, y, mask = forward(batch[inputs]), batch[targets], batch["mask"]
        if _whole(loss) in _OF_CLASSES and jnp.issubdtype(jnp.result_type(y), jnp.integer):
            expect_classes(targets, outputs.shape[-1])
        values = loss(outputs, y)
        if jnp.shape(values)[:1] != mask.shape:
            raise ValueError(
                f"the loss has to give a number for each of {len(mask)} examples, whose mean is "
                f"taken here; it gave the shape {jnp.shape(values)}"
            )
        mean = Mean.from_values(values, mask)
        return mean, {name: make(outputs, y, mask) for name, make in (metrics or {}).items()}

    def network_inputs(batch: Batch) -> tuple:
        return (batch[inputs],)

    return build(module, score, inputs=network_inputs, preprocess=preprocess, augment=augment)


def _whole(function: Callable) -> Callable:
    """The function that a partial one was made of."""
    return _whole(function.func) if isinstance(function, functools.partial) else function
