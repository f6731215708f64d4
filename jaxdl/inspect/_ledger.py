"""Where parameters, operations and memory go, module by module."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxdl import _flops, objectives
from jaxdl.inspect._modules import named_modules
from jaxdl.inspect._places import joined, module_of, path_name


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one module has and does, without the modules inside it.

    Attributes:
        path: of the module, "layers/0"; "" for what is in none.
        parameters, bytes: numbers of them, and what they occupy.
        forward, backward: operations of the products of the forward and of the backward pass.
        kept: bytes of results that the backward pass reads again.
    """

    path: str
    parameters: int
    bytes: int
    forward: float
    backward: float
    kept: int


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The entries of all modules, in the order of the forward pass; print it to read it."""

    entries: tuple[Entry, ...]

    @property
    def total(self) -> Entry:
        """The sum of all entries, of path "total"."""
        names = [field.name for field in dataclasses.fields(Entry)][1:]
        sums = {name: sum(getattr(entry, name) for entry in self.entries) for name in names}
        return Entry("total", **sums)

    def __str__(self) -> str:
        whole = self.total
        size, size_unit = _unit(max(whole.bytes, whole.kept))
        count, count_unit = _unit(whole.forward + whole.backward)
        names = [entry.path or "(no module)" for entry in self.entries] + [whole.path]
        width = max(map(len, ["module", *names]))
        forward = f"{count_unit}FLOP fwd"
        lines = [
            f"{'module':{width}} {'parameters':>12} {size_unit + 'B':>9} {forward:>10} {'bwd':>10}"
            f" {'share':>6} {'kept ' + size_unit + 'B':>9}"
        ]
        for name, entry in zip(names, (*self.entries, whole), strict=True):
            share = (entry.forward + entry.backward) / max(whole.forward + whole.backward, 1.0)
            lines.append(
                f"{name:{width}} {entry.parameters:12,} {entry.bytes / size:9.3f}"
                f" {entry.forward / count:10.3f} {entry.backward / count:10.3f} {share:6.1%}"
                f" {entry.kept / size:9.3f}"
            )
        return "\n".join(lines)


def _unit(value: float) -> tuple[float, str]:
    """The thousands in which a value is a number of one to three digits, or more."""
    for unit, name in ((1e9, "G"), (1e6, "M")):
        if value >= unit:
            return unit, name
    return 1e3, "k"


def ledger(
    model: Any,
    batch: Any,
    *,
    key: jax.Array | None = None,
    params: Any = None,
    model_state: Any = None,
) -> Ledger:
    """Parameters, operations and kept activations of every module, of one training step.

    Nothing is computed: the step is traced on shapes. Operations are those of matrix products and
    convolutions, 2 M K N of a product `[M, K] @ [K, N]`, as `bench.count_flops` counts them. Kept
    is what the backward pass reads of the forward pass, inputs and parameters apart; what the
    compiler computes again instead of keeping it is kept here.

    >>> from jaxdl import models
    >>> print(ledger(models.MLP((3, 2)), jnp.zeros((5, 4))))
    module        parameters        kB  kFLOP fwd        bwd  share   kept kB
    dense1                15     0.060      0.120      0.120  57.1%     0.000
    head                   8     0.032      0.060      0.120  42.9%     0.000
    (no module)            0     0.000      0.000      0.000   0.0%     0.075
    total                 23     0.092      0.180      0.240 100.0%     0.075

    The first layer has no gradient in its input; the ReLU, of no module of its own, keeps what it
    gives and where it is positive.

    Args:
        model: a module of Linen, NNX or Equinox or another network (`objectives.as_network`), whose
            sum of outputs then stands for the loss; or an objective.
        batch: for a network its input or the tuple of its inputs, for an objective a batch; arrays
            or `jax.ShapeDtypeStruct`s.
        key: of the step; any, if not given.
        params, model_state: where the model cannot make them itself (a plain function).
    Returns: an entry per module. Modules are known by their paths among the parameters; for those
        of NNX and Equinox their calls are watched while the step is traced.
    """
    key = jax.random.key(0) if key is None else key
    init, loss = _parts(model)
    if params is None:
        params, made = jax.eval_shape(init, key, batch)
        model_state = made if model_state is None else model_state
    state = {} if model_state is None else model_state

    def total(params: Any, state: Any, batch: Any) -> jax.Array:
        with named_modules(params):
            return loss(params, state, batch, key)

    step = jax.make_jaxpr(jax.value_and_grad(total, allow_int=True))(params, state, batch)
    return ledger_of_step(step, params)


def ledger_of_step(step: core.ClosedJaxpr, params: Any) -> Ledger:
    """The same of a step that is traced already: forward, backward and what else it does.

    >>> loss = lambda params, x: jnp.sum(jnp.sin(x @ params["dense"]["kernel"]))
    >>> params = {"dense": {"kernel": jnp.ones((3, 2))}}
    >>> step = jax.make_jaxpr(jax.grad(loss))(params, jnp.ones((4, 3)))
    >>> found = ledger_of_step(step, params).total
    >>> found.parameters, found.forward, found.backward, found.kept  # the cosines are kept
    (6, 48.0, 48.0, 32)

    Args:
        step: of `jax.make_jaxpr`.
        params: the parameters it was traced for, or their shapes.
    """
    jaxpr = _flops.needed(step)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    sizes: dict[str, list[int]] = {}
    for path, leaf in leaves:
        one = sizes.setdefault(path_name(path[:-1]), [0, 0])
        one[0] += math.prod(leaf.shape)
        one[1] += math.prod(leaf.shape) * leaf.dtype.itemsize
    tops = {path.split("/")[0] for path in sizes}
    forward: dict[str, float] = {}
    backward: dict[str, float] = {}
    for product in _flops.products(jaxpr):
        counted = backward if "transpose(" in product.scope else forward
        name = _module(product.scope, tops)
        counted[name] = counted.get(name, 0.0) + product.flops
    kept: dict[str, int] = {}
    for scope, size in _kept(jaxpr, ""):
        name = _module(scope, tops)
        kept[name] = kept.get(name, 0) + size
    paths = dict.fromkeys([*forward, *backward, *sizes, *kept])
    rows = []
    for name in paths:
        count, size = sizes.get(name, [0, 0])
        ahead, back = forward.get(name, 0.0), backward.get(name, 0.0)
        if count or ahead or back or kept.get(name):
            rows.append(Entry(name, count, size, ahead, back, kept.get(name, 0)))
    return Ledger(tuple(rows))


def _parts(model: Any) -> tuple[Callable, Callable]:
    """`init(key, batch)`, and `loss(params, state, batch, key)` of an objective or a network."""
    if isinstance(model, objectives.Objective):

        def score(params: Any, state: Any, batch: Any, key: jax.Array) -> jax.Array:
            return model(params, state, batch, key, train=True)[0].total

        make_first = model.init
        if make_first is None:
            raise ValueError("this objective makes no parameters: give the ledger params")
        return make_first, score
    network = objectives.as_network(model)

    def inputs(batch: Any) -> tuple:
        return batch if isinstance(batch, tuple) else (batch,)

    def summed(params: Any, state: Any, batch: Any, key: jax.Array) -> jax.Array:
        outputs, _ = network.apply(params, state, inputs(batch), key, True)
        floating = [x for x in jax.tree.leaves(outputs) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return sum((jnp.sum(x) for x in floating), start=jnp.zeros(()))

    return lambda key, batch: network.init(key, inputs(batch)), summed


def _module(scope: str, tops: set[str]) -> str:
    """The path of a module among the parameters: without the name of the whole network."""
    parts = [part for part in module_of(scope).split("/") if part and not part.startswith("eqx.")]
    if parts and parts[0] not in tops:
        parts = parts[1:]
    return "/".join(parts)


def _kept(jaxpr: core.Jaxpr, scope: str) -> Iterator[tuple[str, int]]:
    """Scope and bytes of what equations of the forward pass leave to those of the backward one."""
    made: dict[Any, str] = {}
    for equation in jaxpr.eqns:
        here = joined(scope, equation)
        if "transpose(" not in here:
            made.update((variable, here) for variable in equation.outvars)
            for inner in core.jaxprs_in_params(equation.params):
                yield from _kept(inner, here)
            continue
        for variable in equation.invars:
            if not isinstance(variable, core.Literal) and variable in made:
                aval: Any = variable.aval
                if hasattr(aval.dtype, "itemsize"):
                    yield made.pop(variable), math.prod(aval.shape) * aval.dtype.itemsize
