"""Layers that compute on each device's rows of a batch, for what a compiler would place badly.

Programs are written for whole arrays, and the compiler finds the communication. It sums a kernel's
gradient over devices in the dtype it was computed in, and takes one all-reduce for each sum that
waits for another. Where the mesh is known while tracing (inside `jax.set_mesh`, as `train.fit`
traces), a layer can say it better: it runs under `shard_map` over the axes of the batch alone.
Without a mesh, or where the rows do not split over it, nothing changes.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxdl._checks import wide

AXES = ("replica", "data")  # over which examples are spread


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
    function: Callable[..., Any], x: Any, *shared: Any, axis: Any = 0, out_axis: Any = None
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
    """
    first, place = jax.tree.leaves(x)[0], jax.tree.leaves(axis)[0]
    axes = batch_axes(first.shape[place]) if first.ndim > place else ()
    if not axes:
        return function(x, *shared)

    def local(x: Any, *shared: Any) -> Any:
        return function(x, *jax.tree.map(lambda leaf: vary(leaf, axes), shared))

    def rows(axis: Any) -> Any:
        return jax.tree.map(lambda a: P(*(None,) * a, axes), axis)

    out_specs = rows(axis if out_axis is None else out_axis)
    return mapped(local, axes, (rows(axis), *(P() for _ in shared)), out_specs)(x, *shared)


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
