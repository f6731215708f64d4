"""What is minimized: `objective(params, model_state, batch, key, *, train) -> (Mean, Aux)`.

The `Mean` is a total and a weight, so that the loss is total / weight over all that was real,
however it was split. Any function of this signature can be trained; `build` makes one from a module
and the lines in which objectives differ, and the others of this room are made by it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdl import _checks
from jaxdl._named import Named
from jaxdl.metrics import Mean
from jaxdl.objectives._expected import seeing
from jaxdl.objectives._network import as_network

Batch = Mapping[str, jax.Array]
Preprocess = Callable[[dict], dict]
Augment = Callable[[jax.Array, dict], dict]


class Aux(NamedTuple):
    """What an objective returns beside the loss.

    >>> from jaxdl import metrics
    >>> accuracy = metrics.Accuracy.from_batch(jnp.eye(2), jnp.array([0, 0]))
    >>> Aux(metrics={"accuracy": accuracy}, model_state={}).metrics["accuracy"].compute()
    Array(0.5, dtype=float32)
    """

    metrics: Mapping[str, Any]  # metric states by name
    model_state: Any  # as it was given, or as the forward pass left it


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss as a pure function, with what makes its first parameters.

    Called as `objective(params, model_state, batch, key, train=...)`. `train.make` takes any
    function of that signature; one without `init` is given its first parameters.

    >>> def squares(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), Aux({}, model_state)
    >>> objective = Objective(squares, init=lambda key, batch: (jnp.array(0.0), {}))
    >>> batch = {"x": jnp.array([1.0, 3.0]), "mask": jnp.array([True, True])}
    >>> loss, aux = objective(*objective.init(None, batch), batch, jax.random.key(0), train=True)
    >>> loss.compute()
    Array(5., dtype=float32)

    Attributes:
        function: what a call does.
        init: `(key, batch) -> (params, model_state)`.
        begin: `(model_state, batch) -> model_state`, the state that a pass over data begins with
            (a recurrent state of zeros for streams of text).
    """

    function: Callable[..., tuple[Mean, Aux]]
    init: Callable[[jax.Array, Batch], tuple[Any, Any]] | None = None
    begin: Callable[[Any, Batch], Any] = lambda model_state, batch: model_state

    def __call__(
        self, params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        return self.function(params, model_state, batch, key, train=train)


class _Columns(Named):
    lacks = "the batch has no column"


def build(
    module: Any,
    score: Callable[..., tuple[Mean, Mapping[str, Any]]],
    *,
    inputs: Callable[[Batch], tuple],
    preprocess: Preprocess | None = None,
    augment: Augment | None = None,
) -> Objective:
    """The objective of a module from the lines in which objectives differ.

    >>> from jaxdl import losses, models
    >>> def score(forward, batch, *, key, train):
    ...     outputs = forward(batch["x"])
    ...     return Mean.from_values(losses.squared_error(outputs[:, 0], batch["y"])), {}
    >>> objective = build(models.MLP((1,)), score, inputs=lambda batch: (batch["x"],))
    >>> batch = {"x": jnp.ones((2, 3)), "y": jnp.zeros(2), "mask": jnp.ones(2, bool)}
    >>> params, state = objective.init(jax.random.key(0), batch)
    >>> jax.tree.map(jnp.shape, params)
    {'head': {'bias': (1,), 'kernel': (3, 1)}}

    Args:
        module: of any kind that `as_network` knows.
        score: `(forward, batch, *, key, train) -> (Mean, metrics)`. `forward(*inputs)` calls the
            module with the parameters of the step and keeps the state it leaves; it takes
            `method=` and `train=` where a call differs from the others. `batch["mask"]` is given
            to modules that have a parameter "mask" (for batch norm). Floating inputs take the
            dtype of the parameters, so that a step in bfloat16 computes in it.
        inputs: `batch -> (...)`, what the module is initialized with.
        preprocess: `batch -> batch`, inside the compiled step, always: decoding, scaling.
        augment: `(key, batch) -> batch`, after `preprocess`, in training only.
    """
    network = as_network(module)
    takes_mask = "mask" in network.keywords

    def prepared(batch: Batch) -> dict:
        batch = _Columns(batch)
        return batch if preprocess is None else _Columns(preprocess(batch))

    def init(key: jax.Array, batch: Batch) -> tuple[Any, Any]:
        return network.init(key, inputs(prepared(batch)))

    def objective(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        call_key, augment_key, score_key = jax.random.split(key, 3)
        seen = prepared(batch)
        if train and augment is not None:
            seen = _Columns(augment(augment_key, seen))
        as_given = {name for name in batch if seen.get(name) is batch[name]}
        seen = _without_padding(seen)
        dtype = _floating(params)
        state, step_trains = model_state, train

        def forward(*args: Any, train: bool | None = None, **named: Any) -> Any:
            nonlocal state
            if takes_mask and "method" not in named:
                named.setdefault("mask", seen["mask"])
            cast = tuple(jax.tree.map(lambda x: _cast(x, dtype), arg) for arg in args)
            trains = step_trains if train is None else train
            outputs, new = network.apply(params, state, cast, call_key, trains, **named)
            state = {**state, **new} if isinstance(state, dict) else new
            return outputs

        with seeing(as_given):
            mean, metrics = score(forward, seen, key=score_key, train=train)
        return mean, Aux(metrics, state)

    return Objective(objective, init)


def _without_padding(batch: Batch) -> dict:
    """Zeros in the padded rows: a NaN there would pass through a gradient of zero."""
    mask = batch["mask"]

    def cleared(x: Any) -> Any:
        return _checks.without_masked(x, mask) if jnp.shape(x)[:1] == mask.shape else x

    return _Columns({name: jax.tree.map(cleared, column) for name, column in batch.items()})


def _floating(params: Any) -> Any:
    """Dtype of the first floating parameter, if there is any."""
    dtypes = (leaf.dtype for leaf in jax.tree.leaves(params))
    return next((dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)), None)


def _cast(x: Any, dtype: Any) -> Any:
    if dtype is None or not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        return x
    return jnp.asarray(x, dtype)
