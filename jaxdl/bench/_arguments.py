"""The arguments of a step: what each is, and where it lies on the devices of a target."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdl import parallel
from jaxdl.bench._hlo import Module

_KINDS = {
    "opt_state": "optimizer",
    "optimizer": "optimizer",
    "mu": "optimizer",
    "nu": "optimizer",
    "trace": "optimizer",
    "batch_stats": "batch statistics",
    "model_state": "batch statistics",
    "params": "parameters",
    "ema": "moving average",
}


@dataclasses.dataclass(frozen=True)
class Argument:
    """One array of the arguments: its name, kind, abstract value, and bytes on one device."""

    name: str
    kind: str
    spec: jax.ShapeDtypeStruct
    shard: tuple[int, ...]
    bytes: float

    @property
    def type(self) -> str:
        """dtype and the shape of one device's part: "float32[784,10]"."""
        return f"{self.spec.dtype}[{','.join(str(size) for size in self.shard)}]"


def abstract(
    args: Sequence[Any], layout: parallel.Layout, batches: set[int], target: str
) -> list[Argument]:
    """Every array of the arguments as a shape with a sharding on the devices of the layout."""
    found = []
    kept = {f"{n}": _shapes(arg) for n, arg in enumerate(args) if n not in batches}
    placed = layout.state(kept)
    for number, arg in enumerate(args):
        states = iter(jax.tree.leaves(placed.get(f"{number}")))
        optimizer = _is_optimizer(arg)
        for path, leaf in jax.tree_util.tree_leaves_with_path(arg):
            name = f"{number}{jax.tree_util.keystr(path)}"
            shape, dtype = _shape(leaf), _dtype(leaf)
            batch = number in batches
            default = (layout.batch if shape else layout.copied) if batch else next(states)
            sharding = _sharding(leaf, layout, default)
            _check_split(name, shape, sharding, target)
            spec = jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
            kind = "optimizer" if optimizer else _kind(path, batch, number)
            shard = sharding.shard_shape(shape)
            found.append(Argument(name, kind, spec, shard, math.prod(shard) * _itemsize(dtype)))
    return found


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(leaf.shape) if hasattr(leaf, "shape") else ()


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else jax.dtypes.canonicalize_dtype(type(leaf))


def _itemsize(dtype: Any) -> int:
    if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        return 8
    return dtype.itemsize


def _shapes(arg: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(_shape(leaf), _dtype(leaf)), arg)


def _sharding(leaf: Any, layout: parallel.Layout, default: NamedSharding) -> NamedSharding:
    """Its own axes where it names some of this mesh, else those of a batch or of the state."""
    own = getattr(leaf, "sharding", None)
    if (
        isinstance(own, NamedSharding)
        and tuple(own.spec)
        and _names(own.spec) <= {*layout.mesh.shape}
    ):
        return NamedSharding(layout.mesh, own.spec)
    if jax.dtypes.issubdtype(_dtype(leaf), jax.dtypes.prng_key):
        return layout.copied
    return default


def _names(spec: P) -> set[str]:
    found: set[str] = set()
    for entry in spec:
        found |= {entry} if isinstance(entry, str) else set(entry or ())
    return found


def _check_split(name: str, shape: tuple[int, ...], sharding: NamedSharding, target: str) -> None:
    for axis, entry in enumerate(sharding.spec):
        names = (entry,) if isinstance(entry, str) else entry or ()
        parts = math.prod(sharding.mesh.shape[one] for one in names)
        if axis < len(shape) and shape[axis] % parts:
            raise ValueError(
                f"axis {axis} of argument {name} has {shape[axis]} entries, which do not split "
                f"over {parts} devices of target {target!r}"
            )


def _kind(path: Sequence[Any], batch: bool, number: int) -> str:
    for entry in path:  # members of a sweep are cut like a batch, and are none
        key = str(getattr(entry, "name", getattr(entry, "key", "")))
        if key in _KINDS:
            return _KINDS[key]
    if batch:
        return "batch"
    # A model that is a pytree of its own (Equinox, NNX) comes first by custom.
    return "parameters" if number == 0 and not _is_state(path) else "other arguments"


def _is_state(path: Sequence[Any]) -> bool:
    """Of a state whose parts have names (`TrainState.step`) a part that is none of the kinds."""
    key = str(getattr(path[0], "name", getattr(path[0], "key", ""))) if path else ""
    return key in ("step", "key", "skipped", "loss_scale", "rng", "count")


def _is_optimizer(arg: Any) -> bool:
    """Whether an argument is a state of optax: it or its parts are of optax's classes."""
    if type(arg).__module__.startswith("optax"):
        return True
    return type(arg) in (tuple, list) and any(_is_optimizer(part) for part in arg)


def donated(
    args: tuple[Any, ...],
    results: Any,
    given: int | Sequence[int] | None,
    layout: parallel.Layout,
) -> tuple[tuple[int, ...], Any]:
    """Which arguments are donated, and shardings of the results that keep them in their place."""
    outputs = results if isinstance(results, tuple) and type(results) is tuple else (results,)
    place: dict[int, int] = {}
    for number, arg in enumerate(args):
        for index, output in enumerate(outputs):
            if index not in place.values() and number not in place and _alike(arg, output):
                place[number] = index
    if given is None:
        donate = tuple(place)
    else:
        donate = (given,) if isinstance(given, int) else tuple(given)
    if layout.mesh.size == 1 or not donate:
        return donate, None
    shardings: list[Any] = [None] * len(outputs)
    for number in donate:
        if number in place:
            shardings[place[number]] = jax.tree.map(lambda leaf: leaf.sharding, args[number])
    return donate, shardings[0] if outputs is not results else tuple(shardings)


def _alike(arg: Any, output: Any) -> bool:
    same = jax.tree.structure(arg) == jax.tree.structure(output)  # type: ignore[operator]
    if not same or not jax.tree.leaves(arg):
        return False
    pairs = zip(jax.tree.leaves(arg), jax.tree.leaves(output), strict=True)
    return all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)


def kept_arguments(arguments: list[Argument], module: Module) -> list[Argument]:
    """Those that the compiled program takes; jit leaves out what is not used."""
    lines = [one for one in module.computations.get(module.entry, []) if one.opcode == "parameter"]

    def number(rest: str) -> int:
        found = re.match(r"\((\d+)\)", rest)
        return int(found[1]) if found else 0

    taken = sorted(lines, key=lambda one: number(one.rest))
    if len(taken) == len(arguments):
        return arguments
    kept, left = [], list(arguments)
    for one in taken:
        while left and one.arrays and not _same_shape(left[0], one.arrays[0].dims):
            left.pop(0)
        if left:
            kept.append(left.pop(0))
    return kept


def _same_shape(argument: Argument, dims: tuple[int, ...]) -> bool:
    if jax.dtypes.issubdtype(argument.spec.dtype, jax.dtypes.prng_key):
        return dims[: len(argument.shard)] == argument.shard and dims[-1:] in ((2,), (4,))
    return argument.shard == dims
