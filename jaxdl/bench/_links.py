"""How long collectives take on the devices at hand, over sizes."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdl import parallel
from jaxdl.bench._collectives import Collective
from jaxdl.bench._timing import Timing, interleave

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
SIZES = tuple(1 << n for n in range(12, 27, 2))  # 4 KiB to 64 MiB


@dataclasses.dataclass(frozen=True)
class LinkRate:
    """Seconds of one collective of one size.

    Attributes:
        kind: of the collective.
        devices: that take part in it.
        bytes: of the whole array that is reduced, gathered or exchanged, as in `Collective`.
        timing: of the call, its dispatch included.
    """

    kind: str
    devices: int
    bytes: float
    timing: Timing

    @property
    def rate(self) -> float:
        """Bytes that a device sends per second, by the best algorithm known: the bus bandwidth."""
        sent = Collective(self.kind, "", self.devices, self.bytes, "", 1.0, "").sent_bytes
        return sent / self.timing.median


def measure_collectives(
    mesh: Mesh | None = None,
    *,
    axis: str = "data",
    sizes: Sequence[int] = SIZES,
    kinds: Sequence[str] = KINDS,
    repeats: int = 10,
) -> list[LinkRate]:
    """Measures collectives over one axis of a mesh, over sizes: small ones show what a call costs.

    The kinds of one size are timed in turns. Devices of a CPU share its memory: there it says how
    long a copy takes, and is of use to try a program that will run elsewhere.

    >>> seen = measure_collectives(parallel.make_mesh(data=2), sizes=[1024], repeats=1)
    >>> [one.kind for one in seen][:2], seen[0].devices, seen[0].rate > 0
    (['all-reduce', 'all-gather'], 2, True)

    Args:
        mesh: all devices on "data" if not given.
        axis: of the mesh.
        sizes: bytes of the whole float32 array, which the devices divide.
        kinds: of `KINDS`.
        repeats: of each measurement.
    Raises: ValueError for an axis of one device, a kind that there is not, or a size that the
        devices do not divide.
    """
    mesh = parallel.make_mesh() if mesh is None else mesh
    devices = dict(mesh.shape).get(axis, 1)
    if devices < 2:
        raise ValueError(f"axis {axis!r} needs two devices or more, the mesh has {devices} on it")
    found = []
    for size in sizes:
        if size < 1 or size % (4 * devices):
            raise ValueError(f"sizes must be multiples of {4 * devices} bytes, got {size}")
        calls = {kind: _call(kind, mesh, axis, size // 4) for kind in kinds}
        timed = interleave(calls, repeats=repeats)
        found += [LinkRate(kind, devices, float(size), timed[kind]) for kind in kinds]
    return found


def _call(kind: str, mesh: Mesh, axis: str, elements: int) -> Callable[[], jax.Array]:
    """One collective of an array that is on the devices already."""
    exchange = collective(kind, axis, mesh.shape[axis])
    own = elements // mesh.shape[axis] if kind == "all-gather" else elements
    out = P() if kind == "all-reduce" else P(axis)
    program = jax.jit(jax.shard_map(exchange, mesh=mesh, in_specs=P(axis), out_specs=out))
    shape = (mesh.shape[axis] * own,)
    array = jax.jit(lambda: jnp.ones(shape), out_shardings=NamedSharding(mesh, P(axis)))()
    return lambda: program(array)


def collective(kind: str, axis: str, devices: int) -> Callable[[jax.Array], jax.Array]:
    """What one device does with its part, `[n]`, under `jax.shard_map`."""
    around = [(device, (device + 1) % devices) for device in range(devices)]
    known: dict[str, Callable[[jax.Array], jax.Array]] = {
        "all-reduce": lambda x: lax.psum(x, axis),
        "all-gather": lambda x: lax.all_gather(x, axis, tiled=True),
        "reduce-scatter": lambda x: lax.psum_scatter(x, axis, tiled=True),
        "all-to-all": lambda x: lax.all_to_all(x, axis, 0, 0, tiled=True),
        "collective-permute": lambda x: lax.ppermute(x, axis, around),
    }
    if kind not in known:
        raise ValueError(f"kind must be one of {', '.join(known)}, got {kind!r}")
    return known[kind]
