"""What a step does to the parameters, looked at from outside: norms, updates, dead units."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend import core

from jaxdl import objectives, train
from jaxdl.inspect._places import joined, module_of, path_name
from jaxdl.inspect._replay import bind, program_in

_BINS = 30


class Observation(NamedTuple):
    """What `observe` saw of one step."""

    numbers: dict[str, Any]  # "norm/PATH", "update/PATH" relative to the norm, "dead/PATH"
    histograms: dict[str, tuple[Any, Any]]  # of every leaf: counts [30] and edges [31]


def observe(
    trainer: train.Trainer, state: train.TrainState, batch: objectives.Batch
) -> Observation:
    """Takes a step for its looks alone: the state stays, and training is the same bit for bit.

    - "norm/PATH": the norm of a leaf of the parameters before the step;
    - "update/PATH": the norm of its change, relative to that;
    - "dead/PATH": the share of the units of a ReLU (any `max` with 0) that give 0 on the whole
      batch, padding included. Those inside loops are not seen.

    >>> from jaxdl.metrics import Mean
    >>> def objective(w, model_state, batch, key, *, train):
    ...     units = jax.nn.relu(batch["x"][:, None] * w[None])
    ...     return Mean.from_values(units.sum(1), batch["mask"]), objectives.Aux({}, model_state)
    >>> trainer = train.make(objective, optax.sgd(0.5))
    >>> state = trainer.init(jax.random.key(0), params=jnp.array([3.0, -4.0]))
    >>> seen = observe(trainer, state, {"x": jnp.ones(2), "mask": jnp.ones(2, bool)})
    >>> seen.numbers
    {'norm/': Array(5., dtype=float32), 'update/': Array(0.1, dtype=float32), 'dead/': Array(0.5, dtype=float32)}

    Runs under `jit`.
    """  # noqa: E501
    step = functools.partial(_step, trainer)
    closed, shape = jax.make_jaxpr(step, return_shape=True)(state, batch)
    dead: dict[str, Any] = {}
    outputs = _run(closed, jax.tree.leaves((state, batch)), "", dead)
    after = jax.tree.unflatten(jax.tree.structure(shape), outputs)
    numbers: dict[str, Any] = {}
    histograms: dict[str, tuple[Any, Any]] = {}
    before = jax.tree_util.tree_leaves_with_path(state.params)
    for (path, old), new in zip(before, jax.tree.leaves(after), strict=True):
        name = path_name(path)
        norm, change = optax.tree.norm(old), optax.tree.norm(new - old)
        numbers[f"norm/{name}"] = norm
        numbers[f"update/{name}"] = change / jnp.where(norm > 0, norm, 1.0)
        histograms[name] = jnp.histogram(old.astype(jnp.float32), _BINS)
    return Observation({**numbers, **dead}, histograms)


def _step(trainer: train.Trainer, state: Any, batch: Any) -> Any:
    return trainer.step(state, batch)[0].params


def _run(
    closed: core.ClosedJaxpr, inputs: list[Any], scope: str, dead: dict[str, Any]
) -> list[Any]:
    """Evaluates a program; `dead` gets the share of units without life of every ReLU in it."""
    jaxpr = closed.jaxpr
    names, values = [*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *inputs]
    known: dict[Any, Any] = dict(zip(names, values, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else known[variable]

    for equation in jaxpr.eqns:
        arrays = [read(variable) for variable in equation.invars]
        here = joined(scope, equation)
        program = program_in(equation)
        if program is not None and _has_relu(program.jaxpr):
            outputs = _run(program, arrays, here, dead)
        else:
            outputs = list(bind(equation, arrays))
        if _is_relu(equation) and "transpose(" not in here:
            name = f"dead/{module_of(here)}"
            while name in dead:
                name += "+"  # the next ReLU of the same module
            units = outputs[0].reshape(-1, outputs[0].shape[-1])
            dead[name] = jnp.mean(jnp.all(units == 0, axis=0).astype(jnp.float32))
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _is_relu(equation: Any) -> bool:
    if equation.primitive.name != "max" or len(getattr(equation.outvars[0].aval, "shape", ())) < 2:
        return False
    return any(isinstance(v, core.Literal) and not np.any(v.val) for v in equation.invars)


def _has_relu(jaxpr: core.Jaxpr) -> bool:
    inner = (program_in(equation) for equation in jaxpr.eqns)
    return any(map(_is_relu, jaxpr.eqns)) or any(p and _has_relu(p.jaxpr) for p in inner)
