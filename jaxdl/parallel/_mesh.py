"""Meshes of devices, and where batches and states lie on them.

Axes, outermost first: "replica" (members of a sweep, or slices that exchange little), "data" (the
batch is cut along it) and "model" (large parameters are cut along it as well). Every axis type is
`Auto`: programs are written for whole arrays, and the compiler places the communication.
"""

import contextlib
import dataclasses
import fnmatch
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdl._rows import cut

AXES = ("replica", "data", "model")
Axis = str | tuple[str, ...] | None
Rules = Sequence[tuple[str, Sequence[Axis]]]


def make_mesh(
    *,
    data: int | None = None,
    model: int = 1,
    replica: int = 1,
    devices: Sequence[jax.Device] | None = None,
) -> Mesh:
    """Lays devices out as `[replica, data, model]`.

    >>> dict(make_mesh(devices=jax.devices()[:1]).shape)
    {'replica': 1, 'data': 1, 'model': 1}

    Args:
        data, model, replica: sizes of the axes; `data` takes all that is left if not given.
        devices: all of this run by default; the first ones are used.
    Raises: ValueError if the mesh is larger than what there is, or an axis smaller than 1.
    """
    devices = jax.devices() if devices is None else list(devices)
    if min(model, replica, 1 if data is None else data) < 1:
        raise ValueError(f"axes need at least 1 device: {replica=}, {data=}, {model=}")
    data = max(1, len(devices) // (model * replica)) if data is None else data
    shape = (replica, data, model)
    if math.prod(shape) > len(devices):
        raise ValueError(
            f"a mesh of {replica} x {data} x {model} needs {math.prod(shape)} devices, "
            f"there are {len(devices)}"
        )
    kinds = (AxisType.Auto,) * len(AXES)  # the default of jax is Explicit
    return jax.make_mesh(shape, AXES, kinds, devices=devices[: math.prod(shape)])


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a training run lies on a mesh.

    Batches are cut along "replica" and "data"; parameters and optimizer state are copied to every
    device or, if `shard_above` is set, every array of more elements than that is cut along its
    longest axis that "model" and "data" (or one of them) divide: fully sharded data parallelism.

    `rules` say it by name, before `shard_above`: pairs of a shell pattern and the mesh axis (or
    axes, or None) for each leading axis of the arrays it names. A pattern fits the end of a path
    in the state, "embed/embedding" or "layer*/kernel_hh", so that an optimizer's moments lie as
    their parameters do; of several the first counts.

    >>> of_four = jax.sharding.AbstractMesh((1, 4, 1), AXES)  # to look at a layout takes no devices
    >>> layout = Layout(of_four, shard_above=1000)
    >>> tuple(layout.batch.spec), tuple(layout.state(jnp.zeros((32, 64))).spec)
    ((('replica', 'data'),), (None, ('model', 'data')))
    >>> layout = Layout(of_four, rules=(("head/kernel", (None, "data")),))
    >>> tuple(layout.state({"head": {"kernel": jnp.zeros((3, 8))}})["head"]["kernel"].spec)
    (None, 'data')

    Raises: ValueError if a rule names an axis that the mesh lacks.
    """

    mesh: Mesh
    shard_above: int | None = None
    rules: Rules = ()

    def __post_init__(self) -> None:
        rules = tuple((pattern, tuple(axes)) for pattern, axes in self.rules)
        object.__setattr__(self, "rules", rules)  # layouts are compared and hashed
        known = tuple(self.mesh.axis_names)
        for pattern, axes in self.rules:
            for name in (name for entry in axes for name in _names(entry)):
                if name not in known:
                    raise ValueError(
                        f"rule {pattern!r} names the axis {name!r}, the mesh has {', '.join(known)}"
                    )

    @property
    def batch(self) -> NamedSharding:
        """Leading axis over all devices that see different examples."""
        return NamedSharding(self.mesh, P(("replica", "data")))

    @property
    def copied(self) -> NamedSharding:
        """The same on every device."""
        return NamedSharding(self.mesh, P())

    def known(self) -> contextlib.AbstractContextManager[Any]:
        """A context to trace steps in, where layers know the mesh: `jax.set_mesh`, devices apart.

        Batch norm then takes one small gather forward and one all-reduce backward, and the layers
        of `jaxdl.nn` sum their gradients over devices in float32 under `compute_dtype`. Parameters
        that are cut over "data" are gathered by the layer that reads them, and their gradients
        reduce-scattered.
        `train.fit` and `bench.plan` trace in it.

        >>> layout = Layout(jax.sharding.AbstractMesh((1, 4, 1), AXES))
        >>> with layout.known():
        ...     jax.sharding.get_abstract_mesh().shape["data"]
        4
        """
        stack = contextlib.ExitStack()
        stack.enter_context(jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh))
        stack.enter_context(cut(self if self._cuts() else None))
        return stack

    def placed(self, path: str, shape: tuple[int, ...]) -> tuple[Axis, ...]:
        """Mesh axes of the array of one layer, which a stack of layers holds with an axis in front.

        >>> layout = Layout(jax.sharding.AbstractMesh((1, 4, 1), AXES), shard_above=10)
        >>> layout.placed("head/kernel", (3, 8))
        (None, ('model', 'data'))

        Args:
            path: in the parameters; "" if it is not known, and the shape has to do.
            shape: of the array.
        """
        for pattern, axes in self.rules:
            if path and fnmatch.fnmatchcase(f"/params/{path}", f"*/{pattern}"):
                return tuple(axes)[max(len(axes) - len(shape), 0) :]
        return tuple(self._spec(jax.ShapeDtypeStruct(shape, np.float32)))

    def _cuts(self) -> bool:
        by_name = any("data" in _names(entry) for _, axes in self.rules for entry in axes)
        return self.mesh.shape["data"] > 1 and (self.shard_above is not None or by_name)

    def check_batch(self, batch_size: int) -> None:
        """Raises ValueError unless every device gets the same number of examples."""
        parts = self.mesh.shape["replica"] * self.mesh.shape["data"]
        if batch_size % parts:
            raise ValueError(f"batch_size={batch_size} does not split over {parts} devices")

    def state(self, tree: Any) -> Any:
        """The sharding of every leaf of a pytree of arrays or shapes, by the rules above.

        Raises: ValueError if a rule names no array of the tree, or cuts one into parts that are
            not equal.
        """
        unused = {pattern for pattern, _ in self.rules}

        def sharding(path: Any, leaf: Any) -> NamedSharding:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            for pattern, axes in self.rules:
                if fnmatch.fnmatchcase(f"/{name}", f"*/{pattern}"):
                    unused.discard(pattern)
                    self._check_cut(pattern, name, leaf.shape, axes)
                    return NamedSharding(self.mesh, P(*axes))
            return NamedSharding(self.mesh, self._spec(leaf))

        made = jax.tree_util.tree_map_with_path(sharding, tree)
        if unused:
            raise ValueError(f"rule {sorted(unused)[0]!r} names no parameter")
        return made

    def unnamed(self) -> "Layout":
        """The same without rules, for what is no state: columns of data, metrics.

        >>> of_one = jax.sharding.AbstractMesh((1, 1, 1), AXES)
        >>> Layout(of_one, rules=(("head/kernel", ("data",)),)).unnamed().rules
        ()
        """
        return dataclasses.replace(self, rules=())

    def _check_cut(
        self, pattern: str, name: str, shape: tuple[int, ...], axes: Sequence[Axis]
    ) -> None:
        if len(axes) > len(shape):
            raise ValueError(f"rule {pattern!r} has {len(axes)} axes, {name} has shape {shape}")
        for number, (length, entry) in enumerate(zip(shape, axes, strict=False)):
            parts = math.prod(self.mesh.shape[axis] for axis in _names(entry))
            if length % parts:
                raise ValueError(
                    f"rule {pattern!r} cuts axis {number} of {name}, {length} long, into {parts} "
                    f"parts over {' and '.join(_names(entry))}"
                )

    def _spec(self, leaf: Any) -> P:
        if self.shard_above is None or math.prod(leaf.shape) <= self.shard_above:
            return P()
        for names in (("model", "data"), ("data",), ("model",)):
            size = math.prod(self.mesh.shape[name] for name in names)
            fitting = [n for n, length in enumerate(leaf.shape) if length % size == 0]
            if size > 1 and fitting:
                axis = max(fitting, key=lambda n: leaf.shape[n])
                return P(*(None,) * axis, names)
        return P()

    def put_state(self, state: Any) -> Any:
        """Places a state, which is the same in every process; its old buffers stay valid."""
        return jax.tree.map(_put, state, self.state(state))

    def put_batch(
        self, batch_size: int, rows: Callable[[slice], dict[str, np.ndarray]]
    ) -> dict[str, jax.Array]:
        """Makes a global batch of which this process builds only the rows of its own devices.

        Args:
            batch_size: B, over all devices of all processes.
            rows: `rows(slice(start, stop))` gives those rows of every column.
        """
        index_of = self.batch.addressable_devices_indices_map((batch_size,))
        bounds = {index[0].indices(batch_size)[:2] for index in index_of.values() if index}
        made = {(start, stop): rows(slice(start, stop)) for start, stop in bounds}

        def assemble(name: str) -> jax.Array:
            some = next(iter(made.values()))[name]

            def shard(index: Any) -> np.ndarray:
                return made[index[0].indices(batch_size)[:2]][name]

            shape = (batch_size, *some.shape[1:])
            return jax.make_array_from_callback(shape, self.batch, shard)

        return {name: assemble(name) for name in next(iter(made.values()))}


def auto_layout(batch_size: int) -> Layout:
    """All devices that the batch splits over; on the CPU of one process, one device.

    The CPU "devices" of one process share its cores, so that spreading over them gains nothing.

    >>> auto_layout(batch_size=128).mesh.size  # on a CPU
    1
    """
    devices = jax.devices()
    if jax.default_backend() == "cpu" and jax.process_count() == 1:
        devices = devices[:1]
    elif jax.process_count() == 1:
        devices = devices[: math.gcd(len(devices), batch_size)]
    return Layout(make_mesh(devices=devices))


def _names(entry: Axis) -> tuple[str, ...]:
    return () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _put(jax.random.key_data(leaf), NamedSharding(sharding.mesh, P()))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
