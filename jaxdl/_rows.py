"""Layers that compute on each device's rows of a batch, for what a compiler would place badly.

Programs are written for whole arrays, and the compiler finds the communication. It sums a kernel's
gradient over devices in the dtype it was computed in, and takes one all-reduce for each sum that
waits for another. Where the mesh is known while tracing (inside `jax.set_mesh`, as `train.fit`
traces), a layer can say it better: it runs under `shard_map` over the axes of the batch alone.
Without a mesh, or where the rows do not split over it, nothing changes.

Where a layout cuts parameters over those axes as well, a layer gathers its own just before it
computes, and what it finds of their gradient is added up and cut in one go (a reduce-scatter):
`Cut` says which axis of an array lies so. A compiler left alone sums whole gradients everywhere.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxdl._checks import wide
from jaxdl.ops._linear import linear_map

AXES = ("replica", "data")  # over which examples are spread


class Cut(Protocol):
    """What a layout tells its layers while they are traced."""

    def placed(self, path: str, shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Mesh axes over which the axes of an array are cut, as of `PartitionSpec`.

        A path may lack what is not known, its front or all of it.
        """

    __hash__: Callable[..., int]


cut = jax.make_user_context(None)  # a part of what is traced: programs of one are not another's


def batch_axes(rows: int) -> tuple[str, ...]:
    """Axes of the mesh in context that so many rows are cut along; () if they are not.

    >>> batch_axes(8)
    ()
    >>> mesh = jax.sharding.AbstractMesh((1, 4, 1), ("replica", "data", "model"))
    >>> with jax.sharding.use_abstract_mesh(mesh):
    ...     batch_axes(8), batch_axes(6)
    (('data',), ())
    """
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True)) if not mesh.empty else {}
    axes = tuple(a for a in AXES if kinds.get(a) == AxisType.Auto and mesh.shape[a] > 1)
    return axes if axes and rows % math.prod(mesh.shape[a] for a in axes) == 0 else ()


def by_rows(
    function: Callable[..., Any],
    x: Any,
    *shared: Any,
    axis: Any = 0,
    out_axis: Any = None,
    paths: Sequence[Any] | None = None,
) -> Any:
    """`function(x, *shared)`, each device on its rows of x and of the result.

    Gradients of `shared` are added up over devices in float32 or wider; what comes in half
    precision is rounded after the sum.

    >>> import jax.numpy as jnp
    >>> by_rows(jnp.dot, jnp.ones((2, 3)), jnp.ones((3, 1)))[:, 0]
    Array([3., 3.], dtype=float32)

    Args:
        x: an array or a tree of arrays.
        shared: trees of arrays that every row needs.
        axis: along which the rows of x lie; for a tuple x a tuple.
        out_axis: the same for the result; `axis` by default.
        paths: of `shared`, trees of its form: where its arrays stand in the state.
    """
    first, place = jax.tree.leaves(x)[0], jax.tree.leaves(axis)[0]
    axes = batch_axes(first.shape[place]) if first.ndim > place else ()
    if not axes:
        return function(x, *shared)
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(x)):
        # Rows that are constants: where a gradient needs nothing else, no argument of the program
        # would be left to say which devices it is for, and it would be compiled for one alone.
        x, shared = jax.lax.optimization_barrier((x, shared))
    flat, tree = jax.tree.flatten(shared)
    named = [""] * len(flat) if paths is None else jax.tree.leaves(tuple(paths))
    cuts = [_cut(path, leaf.shape, axes) for path, leaf in zip(named, flat, strict=True)]
    flat = [
        leaf if spec is None else _copies(leaf, spec, axes)
        for leaf, spec in zip(flat, cuts, strict=True)
    ]

    def local(x: Any, *flat: Any) -> Any:
        whole = [
            vary(leaf, axes) if spec is None else leaf[0]
            for leaf, spec in zip(flat, cuts, strict=True)
        ]
        return function(x, *jax.tree.unflatten(tree, whole))

    def rows(axis: Any) -> Any:
        return jax.tree.map(lambda a: P(*(None,) * a, axes), axis)

    out_specs = rows(axis if out_axis is None else out_axis)
    pieces = (P() if spec is None else P(axes) for spec in cuts)
    return mapped(local, axes, (rows(axis), *pieces), out_specs)(x, *flat)


def path_of(module: Any, name: str) -> str:
    """Where a parameter of a Flax module stands: "stack/block/up/kernel"."""
    return "/".join((*module.path, name))


def mapped(
    function: Callable[..., Any], axes: tuple[str, ...], in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
    """`function` for one device under `shard_map` over some axes of the mesh in context."""
    return jax.jit(  # a part of the axes is only taken while tracing
        jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, axis_names=frozenset(axes))
    )


def vary(leaf: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """A copy for each device, whose gradients are added up in float32 or wider."""
    return jax.lax.pcast(wide(leaf), axes, to="varying").astype(leaf.dtype)


def _cut(path: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> tuple[Any, ...] | None:
    """How an array is cut if an axis of the batch has a part in it, else None."""
    layout = cut.value
    spec = () if layout is None else layout.placed(path, shape)
    sizes = jax.sharding.get_abstract_mesh().shape
    for length, entry in zip(shape, spec, strict=False):
        names = _names(entry)
        if length % math.prod(sizes[name] for name in names):
            return None  # a layer's array, of a stack that is cut elsewhere
        if [name in axes for name in names] != sorted(name in axes for name in names):
            return None  # what is left of a gathered axis would not lie in a row
    return tuple(spec) if {n for entry in spec for n in _names(entry)} & set(axes) else None


def _names(entry: Any) -> tuple[str, ...]:
    return () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)


def _copies(leaf: jax.Array, spec: tuple[Any, ...], axes: tuple[str, ...]) -> jax.Array:
    """An array `[devices, ...]` that has a copy for each device along the axes of the batch.

    What is cut over other axes stays so, for which these collectives must see all of them: a
    compiler that is left some gathers over those as well.
    """
    here = [tuple(n for n in _names(entry) if n in axes) for entry in spec]
    rest = tuple(tuple(n for n in _names(entry) if n not in axes) or None for entry in spec)
    others = tuple(name for name in axes if not any(name in names for names in here))

    def gather(leaf: jax.Array) -> jax.Array:
        leaf = vary(leaf, others) if others else leaf
        for axis, names in enumerate(here):
            leaf = _gather(leaf, axis, names) if names else leaf
        return leaf[None]

    every = {*axes, *(name for entry in spec for name in _names(entry))}
    return mapped(gather, tuple(sorted(every)), P(*spec), P(axes, *rest))(leaf)


def _gather(leaf: jax.Array, axis: int, names: tuple[str, ...]) -> jax.Array:
    # Gathered as it is, added up in float32: the transpose of a gather would add in its dtype.
    def forth(_: Any, leaf: jax.Array) -> jax.Array:
        return jax.lax.all_gather(leaf, names, axis=axis, tiled=True)

    def back(_: Any, gradient: jax.Array) -> jax.Array:
        whole = wide(gradient)
        summed = jax.lax.psum_scatter(whole, names, scatter_dimension=axis, tiled=True)
        return summed.astype(gradient.dtype)

    return linear_map(forth, back, (), leaf)
