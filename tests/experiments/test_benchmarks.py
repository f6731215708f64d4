"""The benchmark, the growth of costs, and the comparison with peers, at their smallest."""

import json

import pytest

from experiments import benchmark, compare_peers, growth, peers
from jaxdl import bench
from tests.figures import ink
from tests.references import reference


def test_benchmark_writes_a_report_that_compares(tmp_path):
    out = tmp_path / "run"
    numbers = benchmark.main(benchmark.Config(smoke=True, out=out, studies=1))
    assert numbers["linear/float32/1/examples_per_s"] > 100
    assert 0 < numbers["seconds_to_target"] < 100
    assert ink(out / "roofline.png") > 0.02
    rows, environment = bench.read_report(out / "report.json")
    assert {row.name for row in rows} == {"linear", "ranking", "gaussian"}
    assert environment["cpu_count"] >= 1
    assert all(row.share > 0 for row in rows)
    assert {found.verdict for found in bench.compare(rows, rows)} == {"same"}


def test_benchmark_names_the_workloads_there_are():
    with pytest.raises(ValueError, match="no workload .*there are linear, mlp"):
        benchmark.main(benchmark.Config(workloads=("lenett",)))


def test_growth_draws_every_axis(tmp_path):
    out = tmp_path / "run"
    numbers = growth.main(growth.Config(smoke=True, repeats=1, out=out))
    assert all(ratio > 0 for ratio in numbers.values())
    # twice the batch holds more, but no more than twice as much
    assert 1 < numbers["batch (GRU)/bytes"] < 2
    assert ink(out / "growth.png") > 0.03
    with pytest.raises(ValueError, match="begin with 1"):
        growth.main(growth.Config(factors=(2, 4)))


def test_compare_peers_lets_processes_take_turns(tmp_path):
    out = tmp_path / "run"
    numbers = compare_peers.main(compare_peers.Config(smoke=True, rows=("evaluation",), out=out))
    assert numbers["evaluation/loop"] > 1
    assert json.loads((out / "result.json").read_text())["evaluation/loop"] > 1
    with pytest.raises(ValueError, match="no row"):
        compare_peers.main(compare_peers.Config(rows=("lenett",)))


@pytest.mark.parametrize(
    "name", ["softmax", "lenet", "gru_32", "rnn_32", "transformer", "beam", "matching", "nms"]
)
def test_both_sides_compute_the_same(name):
    """The figure of speed means nothing unless the work is the same: losses, scores, answers."""
    torch = reference("torch")
    row = peers.rows()[name]
    torch.manual_seed(0)
    results = {library: build(True).result for library, build in row.sides.items()}
    ours = results.pop("jaxdl")
    for library, result in results.items():
        assert ours == pytest.approx(result, rel=row.tolerance), library
