"""Curves of collectives say what is sent, and time programs that send it."""

import jax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdl import bench, parallel
from jaxdl.bench import _curves

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def test_a_point_for_every_kind_and_size():
    mesh = parallel.make_mesh(data=8)
    curves = bench.bandwidth_curves(mesh, sizes=[100, 4096], repeats=1)
    assert list(curves) == ["copy", *COLLECTIVES]
    moved = {"copy": 2, "all-reduce": 2 * 7 / 8, "collective-permute": 1}
    for kind, points in curves.items():
        assert [one.bytes for one in points] == [128, 4096]  # 25 numbers do not split over 8
        assert all(one.rate > 0 for one in points)
        assert points[1].moved == pytest.approx(4096 * moved.get(kind, 7 / 8))


@pytest.mark.parametrize("kind", COLLECTIVES)
def test_what_is_timed_is_one_collective_of_so_many_bytes(kind):
    mesh = parallel.make_mesh(data=4, model=2)
    local = 64 if kind == "all-gather" else 256

    def step(x):
        one = _curves._KINDS[kind]
        cut = P("data")
        return jax.shard_map(lambda x: one(x, "data"), mesh=mesh, in_specs=cut, out_specs=cut)(x)

    x = jax.ShapeDtypeStruct((local * 4,), "float32", sharding=NamedSharding(mesh, P("data")))
    layout = parallel.Layout(mesh)
    made = bench.plan(step, x, target="cpu-8", layout=layout, cache=False)
    (found,) = made.collectives
    partners = 2 if kind == "collective-permute" else 4
    assert (found.kind, found.devices, found.times) == (kind, partners, 1)
    assert found.bytes == 4 * 256


def test_an_axis_or_a_kind_that_is_not_there():
    mesh = parallel.make_mesh(data=2)
    with pytest.raises(ValueError, match="axis 'rows' is none of the mesh, which has replica"):
        bench.bandwidth_curves(mesh, axis="rows")
    with pytest.raises(ValueError, match="kind 'gather' is unknown; there are copy, all-reduce"):
        bench.bandwidth_curves(mesh, kinds=["gather"])
