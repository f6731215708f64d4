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

from jaxdl import _checks
from jaxdl.metrics import Mean

Batch = Mapping[str, jax.Array]


class Aux(NamedTuple):
    """What an objective returns beside the loss.

    >>> from jaxdl import metrics
    >>> accuracy = metrics.Accuracy.from_batch(jnp.eye(2), jnp.array([0, 0]))
    >>> Aux(metrics={"accuracy": accuracy}, model_state={}).metrics["accuracy"].compute()
    Array(0.5, dtype=float32)
    """

    metrics: Mapping[str, Any]  # metric states by name
    model_state: Any  # as it was given, or as the forward pass left it


class Objective(Protocol):
    """Any function of this signature can be trained; nothing else is asked of a model.

    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), Aux({}, model_state)
    >>> batch = {"x": jnp.array([1.0, 3.0]), "mask": jnp.array([True, True])}
    >>> loss, aux = objective(jnp.array(0.0), {}, batch, jax.random.key(0), train=True)
    >>> loss.compute()
    Array(5., dtype=float32)
    """

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

    >>> from jaxdl import losses, models
    >>> objective = supervised(models.MLP((2,)), losses.softmax_cross_entropy)
    >>> params = {"head": {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}}
    >>> batch = {"image": jnp.ones((4, 3)), "label": jnp.zeros(4, int), "mask": jnp.ones(4, bool)}
    >>> objective(params, {}, batch, jax.random.key(0), train=True)[0].compute()  # log 2
    Array(0.693, dtype=float32)

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
        # Before the network and the loss: what padding holds, NaN even, has no gradient then.
        x, y = (_checks.without_masked(array, mask) for array in (x, y))
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
    """Initialises a Linen module called with `train=False`: params, and the other collections.

    >>> from jaxdl import models
    >>> images, key = jnp.zeros((1, 28, 28, 1)), jax.random.key(0)
    >>> params, model_state = linen_init(models.MLP((10,)), key, images)
    >>> jax.tree.map(jnp.shape, params), model_state
    ({'head': {'bias': (10,), 'kernel': (784, 10)}}, {})
    """
    variables = dict(jax.jit(lambda key: model.init(key, x, train=False, **kwargs))(key))
    return variables.pop("params", {}), variables
