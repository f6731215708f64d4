"""Rates over sizes: what a copy and each collective reach, from short messages to long ones."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdl.bench._collectives import Collective
from jaxdl.bench._timing import Timing, measure

_SIZES = tuple(4**n for n in range(5, 14))  # a KiB to 64 MiB
_KINDS: dict[str, Callable[[jax.Array, str], jax.Array]] = {
    "copy": lambda x, axis: x * 1.5,
    "all-reduce": lambda x, axis: lax.pcast(lax.psum(x, axis), axis, to="varying"),
    "all-gather": lambda x, axis: lax.all_gather(x, axis, tiled=True),
    "reduce-scatter": lambda x, axis: lax.psum_scatter(x, axis, tiled=True),
    "all-to-all": lambda x, axis: lax.all_to_all(x, axis, 0, 0, tiled=True),
    "collective-permute": lambda x, axis: lax.ppermute(x, axis, _around(lax.axis_size(axis))),
}


def _around(devices: int) -> list[tuple[int, int]]:
    return [(device, (device + 1) % devices) for device in range(devices)]


@dataclasses.dataclass(frozen=True)
class Point:
    """One size of a curve.

    >>> Point(bytes=8.0, moved=16.0, timing=Timing((2.0,))).rate
    8.0

    Attributes:
        bytes: of the whole array that is copied, reduced, gathered or exchanged, a device.
        moved: bytes that a device has to send at least; of a copy those it reads and writes.
        timing: of a call.
    """

    bytes: float
    moved: float
    timing: Timing

    @property
    def rate(self) -> float:
        """Bytes per second and device."""
        return self.moved / self.timing.median


def bandwidth_curves(
    mesh: Mesh,
    axis: str = "data",
    sizes: Sequence[int] = _SIZES,
    kinds: Sequence[str] = tuple(_KINDS),
    repeats: int = 5,
) -> dict[str, list[Point]]:
    """Times a copy and collectives of float32 arrays over the devices of a mesh axis.

    A program is compiled and run for each kind and size. Short arrays show the latency, long ones
    the bandwidth; `Collective.sent_bytes` says what has to be sent. Devices of a CPU share its
    memory: there it says how long a copy takes, and is of use to try a program for elsewhere.

    Args:
        mesh: the devices, as of `parallel.make_mesh`.
        axis: along which they communicate.
        sizes: bytes of the arrays, rounded up so that they split over the devices.
        kinds: "copy", "all-reduce", "all-gather", "reduce-scatter", "all-to-all",
            "collective-permute".
        repeats: of each measurement.
    Returns: for each kind a point a size.
    Raises: ValueError for a kind or an axis that there is not.

    >>> from jaxdl import parallel
    >>> curves = bandwidth_curves(parallel.make_mesh(data=1), sizes=[64], kinds=["copy"], repeats=1)
    >>> curves["copy"][0].bytes, curves["copy"][0].moved
    (64.0, 128.0)
    """
    if axis not in mesh.shape:
        raise ValueError(f"axis {axis!r} is none of the mesh, which has {', '.join(mesh.shape)}")
    for kind in kinds:
        if kind not in _KINDS:
            raise ValueError(f"kind {kind!r} is unknown; there are {', '.join(_KINDS)}")
    return {kind: [_point(mesh, axis, kind, size, repeats) for size in sizes] for kind in kinds}


def _point(mesh: Mesh, axis: str, kind: str, size: int, repeats: int) -> Point:
    devices = mesh.shape[axis]
    length = math.ceil(size / 4 / devices) * devices  # of the whole array, on every device
    local = length // devices if kind == "all-gather" else length
    cut = P(axis)
    x = jax.device_put(jnp.ones(local * devices, jnp.float32), NamedSharding(mesh, cut))
    one = _KINDS[kind]
    call = jax.jit(jax.shard_map(lambda x: one(x, axis), mesh=mesh, in_specs=cut, out_specs=cut))
    whole = 4.0 * length
    sent = Collective(kind, axis, devices, whole, "f32", 1.0, "").sent_bytes
    timing = measure(call, x, repeats=repeats)
    return Point(whole, 2 * whole if kind == "copy" else sent, timing)
