"""Back-propagation laid open: the deltas of every layer, and gradients checked by differences."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree


def deltas(
    model: linen.Module,
    variables: Any,
    loss: Callable[[Any], jax.Array],
    *inputs: Any,
    **kwargs: Any,
) -> tuple[Any, dict[str, jax.Array]]:
    """The outputs of a model, and the local gradient `dE/du` at the output u of every layer.

    For a dense layer followed by an activation u is the pre-activation, so this is the delta of the
    textbooks (with the sign of the gradient; where they write `y - t` for `t - y` it is turned):
    `dE/dW = a delta^T` with `a` the layer's input, `dE/db = delta`. They come from one backward
    pass, by the gradient of a zero that is added to each u. Runs under `jit`.

    >>> variables = {"params": {"kernel": jnp.array([[2.0]]), "bias": jnp.array([1.0])}}
    >>> square = lambda outputs: (outputs - 3.0) ** 2
    >>> deltas(linen.Dense(1), variables, square, jnp.array([[4.0]]))  # u = 9, dE/du = 2 (9 - 3)
    (Array([[9.]], dtype=float32), {'Dense': Array([[12.]], dtype=float32)})

    Args:
        model: any Flax module; of one called several times the later calls are "name#1", "name#2".
        variables: as for `model.apply`.
        loss: the outputs to one number, or one per example (their sum is differentiated, so every
            example's deltas are those of its own loss).
        inputs, kwargs: what else `model.apply` takes.
    Returns: the outputs; `{path: delta}` in the order of the forward pass, shaped as the u.
    A layer is a module that has a weight of two axes or more of its own (dense, convolution,
    embedding, of Flax or not) and gives one array; recurrent ones have `bptt`.
    Raises: ValueError if no layer was called.
    """

    def forward(shifts: Mapping[str, jax.Array] | None) -> tuple[jax.Array, Any]:
        seen: dict[str, jax.Array] = {}

        def shift(next_function: Any, args: Any, kwargs: Any, context: Any) -> Any:
            u = next_function(*args, **kwargs)
            if context.method_name != "__call__" or not _is_layer(context.module, u, variables):
                return u
            path = name = "/".join(context.module.path) or type(context.module).__name__
            calls = 1
            while path in seen:
                path, calls = f"{name}#{calls}", calls + 1
            seen[path] = u
            return u if shifts is None else u + shifts[path]

        with linen.intercept_methods(shift):
            outputs = model.apply(variables, *inputs, **kwargs)
        return jnp.sum(loss(outputs)), (outputs, seen)

    order: list[str] = []

    def shapes() -> dict[str, jax.Array]:
        seen = forward(None)[1][1]
        order.extend(seen)  # a pytree forgets the order of the forward pass
        return seen

    zeros = jax.tree.map(lambda u: jnp.zeros(u.shape, u.dtype), jax.eval_shape(shapes))
    if not zeros:
        raise ValueError("the model calls no module with a weight of two axes or more of its own")
    found, (outputs, _) = jax.grad(forward, has_aux=True)(zeros)
    return outputs, {path: found[path] for path in order}


def _is_layer(module: linen.Module, output: Any, variables: Any) -> bool:
    """Whether it multiplies by a weight of its own, whatever its class."""
    own = variables["params"]
    for name in module.path:
        own = own.get(name, {})
    weights = (leaf for leaf in own.values() if not isinstance(leaf, Mapping))
    return isinstance(output, jax.Array) and any(jnp.ndim(leaf) >= 2 for leaf in weights)


def gradient_flow(gradients: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Root mean square of each entry of `deltas`, or of each layer of a gradient of parameters.

    >>> gradient_flow({"dense1": jnp.array([[0.1, -0.1]]), "head": {"bias": jnp.array([2.0])}})
    {'dense1': Array(0.1, dtype=float32), 'head': Array(2., dtype=float32)}
    """

    def rms(tree: Any) -> jax.Array:
        flat = ravel_pytree(tree)[0]
        return jnp.sqrt(jnp.mean(jnp.square(flat.astype(jnp.float32))))

    return {name: rms(tree) for name, tree in gradients.items()}


@dataclasses.dataclass(frozen=True)
class LeafCheck:
    """How one leaf of the parameters fared: its worst coordinate."""

    path: str
    size: int
    checked: int
    kinks: int  # coordinates at which the loss has a corner, so that there is nothing to compare
    error: float  # |analytic - numeric| / max of both, of the worst coordinate
    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """The outcome of `check_gradients`; print it to read it."""

    leaves: tuple[LeafCheck, ...]
    tolerance: float

    @property
    def passed(self) -> bool:
        return all(leaf.error <= self.tolerance for leaf in self.leaves)  # NaN fails

    def __str__(self) -> str:
        width = max(4, *(len(leaf.path) for leaf in self.leaves))
        lines = [
            f"{'leaf':{width}} {'size':>8} {'checked':>7} {'kinks':>5} {'error':>8}"
            f" {'analytic':>13} {'numeric':>13}  at"
        ]
        lines += [
            f"{leaf.path:{width}} {leaf.size:8} {leaf.checked:7} {leaf.kinks:5} {leaf.error:8.1e}"
            f" {leaf.analytic:13.6e} {leaf.numeric:13.6e}  {list(leaf.index)}"
            + ("" if leaf.error <= self.tolerance else "  <- differs")
            for leaf in self.leaves
        ]
        wrong = sum(not leaf.error <= self.tolerance for leaf in self.leaves)
        verdict = f"{wrong} of {len(self.leaves)} leaves differ" if wrong else "all leaves agree"
        return "\n".join([*lines, f"{verdict} to {self.tolerance:.0e}"])


def check_gradients(
    loss: Callable[[Any], jax.Array],
    params: Any,
    *,
    samples: int = 8,
    step: float = 1e-5,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> GradientReport:
    """Compares `jax.grad(loss)` with central differences, at random coordinates of every leaf.

    Everything runs in float64, where a step of 1e-5 leaves about nine digits. A coordinate at which
    the one-sided slopes differ is a corner (of ReLU, of max) and is counted, not compared.

    >>> check_gradients(lambda w: jnp.sum(w**3), jnp.array([1.0, 2.0])).passed
    True
    >>> wrong = lambda w: jnp.sum(w * jax.lax.stop_gradient(w))  # w where 2 w is due
    >>> check_gradients(wrong, jnp.array([1.0, 2.0])).leaves[0].error
    0.5

    Args:
        loss: parameters to one number; data is closed over. It must be deterministic.
        params: any pytree of floating arrays.
        samples: coordinates per leaf, all of them in a smaller leaf.
        step: of the differences. A model that computes in float32 inside needs 1e-2 or so, and a
            tolerance to match.
        tolerance: greatest relative error that passes; a gradient below a thousandth of the
            largest is measured against that thousandth.
        seed: of the choice of coordinates.
    Returns: a report, one row per leaf.
    Raises: ValueError if the loss is not one number, or there is nothing to check.
    """
    if samples < 1 or not step > 0:
        raise ValueError(f"need samples >= 1 and step > 0, got {samples} and {step}")
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), params)
        flat, unravel = ravel_pytree(params)
        if not flat.size:
            raise ValueError("there are no parameters to check")
        shape = jax.eval_shape(loss, params).shape
        if shape != ():
            raise ValueError(f"the loss must be one number, got shape {shape}")
        leaves = jax.tree_util.tree_leaves_with_path(params)
        sizes = np.array([leaf.size for _, leaf in leaves])
        rng = np.random.default_rng(seed)
        chosen = [np.sort(rng.choice(n, min(samples, n), replace=False)) for n in sizes]
        where = np.concatenate(
            [part + start for part, start in zip(chosen, np.cumsum(sizes) - sizes, strict=True)]
        )
        gradient, forward, backward = _slopes(lambda flat: loss(unravel(flat)), flat, where, step)
    floor = max(1e-3 * float(np.max(np.abs(gradient))), 1e-30)
    analytic, numeric = gradient[where], (forward + backward) / 2
    size = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    corner = np.abs(forward - backward) > 1e-2 * size
    error = np.where(corner, 0.0, np.abs(analytic - numeric) / size)
    rows, start = [], 0
    for (path, leaf), part in zip(leaves, chosen, strict=True):
        here = slice(start, start + len(part))
        start = here.stop
        if not len(part):
            continue  # a leaf without elements
        worst = int(np.argmax(error[here]))  # NaN counts as the greatest
        rows.append(
            LeafCheck(
                path=jax.tree_util.keystr(path, simple=True, separator="/"),
                size=int(leaf.size),
                checked=len(part),
                kinks=int(corner[here].sum()),
                error=float(error[here][worst]),
                index=tuple(int(i) for i in np.unravel_index(part[worst], leaf.shape)),
                analytic=float(analytic[here][worst]),
                numeric=float(numeric[here][worst]),
            )
        )
    return GradientReport(tuple(rows), tolerance)


def _slopes(
    loss: Callable[[jax.Array], jax.Array], flat: jax.Array, where: np.ndarray, step: float
) -> tuple[np.ndarray, ...]:
    """The gradient, and at some coordinates the slopes a step ahead and a step back."""

    def at(flat: jax.Array) -> jax.Array:
        return loss(flat).astype(jnp.float64)

    @jax.jit
    def every(flat: jax.Array, where: jax.Array) -> tuple[jax.Array, ...]:
        value, gradient = jax.value_and_grad(at)(flat)
        above = jax.lax.map(lambda i: at(flat.at[i].add(step)), where)
        below = jax.lax.map(lambda i: at(flat.at[i].add(-step)), where)
        return gradient, (above - value) / step, (value - below) / step

    return tuple(np.asarray(array) for array in every(flat, jnp.asarray(where)))
