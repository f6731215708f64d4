"""Timing, counting, comparing: the instrument has to be trusted before what it measures."""

import dataclasses
import json
import math
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import workloads
from jaxdl import bench, models, ops, parallel
from jaxdl.bench import _curves


class Clock:
    """A clock that stands still until somebody sleeps: nothing hangs on the load of the machine."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_known_sleep_is_measured(clock):
    timing = bench.measure(clock.sleep, 0.02, repeats=5, warmup=1)
    assert timing.seconds == pytest.approx([0.02] * 5)
    assert timing.median == pytest.approx(0.02)
    assert timing.calls == 1


def test_a_real_sleep_is_not_shorter_than_it_is():
    assert bench.measure(time.sleep, 0.02, repeats=3, warmup=1).median >= 0.02


def test_short_calls_are_repeated_until_the_clock_can_tell(clock):
    timing = bench.measure(clock.sleep, 0.001, repeats=3, warmup=1, min_seconds=0.01)
    assert 10 <= timing.calls <= 20
    assert timing.median == pytest.approx(0.001)  # of one call
    assert timing.seconds == pytest.approx([0.001] * 3)


def test_results_are_waited_for_not_only_dispatched():
    """A call that returns at once with a result that takes 50 ms, inside a tree."""
    waited = []

    class Result:
        def block_until_ready(self):
            time.sleep(0.05)
            waited.append(True)
            return self

    timing = bench.measure(lambda: {"loss": Result()}, repeats=3, warmup=1, min_seconds=0.0)
    assert len(waited) == 4
    assert min(timing.seconds) >= 0.05


def test_functions_take_turns():
    order = []
    bench.interleave(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")},
        repeats=3,
        warmup=1,
        min_seconds=0.0,
    )
    assert "".join(order) == "ab" * 4


def test_noise_and_drift_are_told():
    steady = bench.Timing((1.0, 1.01, 0.99, 1.0, 1.01, 0.99, 1.0, 1.0))
    assert not steady.noisy
    assert bench.Timing((1.0, 1.5, 0.7, 2.0, 1.1, 0.8, 1.9, 1.0)).noisy
    assert bench.Timing((1.0, 1.0, 1.0, 1.0, 1.3, 1.3, 1.3, 1.3)).drift == pytest.approx(0.3)


def test_median_interval_covers_the_median_as_often_as_it_says():
    draws = np.random.default_rng(0).exponential(size=(2000, 15))
    inside = [low <= math.log(2) <= high for low, high in map(bench.median_interval, draws)]
    assert 0.945 <= np.mean(inside) <= 0.99


def test_ratio_is_paired():
    """Both sides twice as slow in one round: a paired ratio does not see it."""
    ours, theirs = bench.Timing((1.0, 2.0, 1.0)), bench.Timing((3.0, 6.0, 3.0))
    ratio = bench.ratio(ours, theirs)
    assert (ratio.median, ratio.low, ratio.high) == (3.0, 3.0, 3.0)


def test_flops_of_products_convolutions_and_loops():
    x, w = jnp.ones((2, 8, 9, 3)), jnp.ones((3, 3, 3, 5))
    plain = lambda x, w: jax.lax.conv_general_dilated(  # noqa: E731
        x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    forward = 2 * (2 * 6 * 7 * 5) * (3 * 3 * 3)
    assert bench.count_flops(plain, x, w) == forward
    # The gradient of the kernel costs what the convolution does; that of a sum needs no other.
    total = lambda w: plain(x, w).sum()  # noqa: E731
    assert bench.count_flops(jax.grad(total), w) == forward
    assert bench.count_flops(jax.value_and_grad(total), w) == 2 * forward

    def loop(x):
        return jax.lax.scan(lambda h, _: (h @ h, None), x, length=7)[0]

    assert bench.count_flops(loop, jnp.ones((4, 4))) == 7 * 2 * 4**3
    batched = jax.jit(jax.vmap(jnp.dot))
    assert bench.count_flops(batched, jnp.ones((5, 2, 3)), jnp.ones((5, 3, 4))) == 5 * 2 * 2 * 3 * 4
    branch = lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x)  # noqa: E731
    assert bench.count_flops(branch, jnp.ones((4, 4))) == 2 * 4**3


def test_flops_of_a_published_network():
    """ResNet-18 at 224 x 224: 1.82e9 multiply-adds (He et al. 2015, table 1: 1.8e9)."""
    model = models.ResNet18(1000)
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    init = lambda x: model.init(jax.random.key(0), x, train=False)  # noqa: E731
    variables = jax.eval_shape(init, x)
    flops = bench.count_flops(lambda v, x: model.apply(v, x, train=False), variables, x)
    assert flops / 2 == pytest.approx(1.814e9, rel=0.01)


def test_flops_do_not_depend_on_the_formulation_of_a_convolution():
    x, w = jnp.ones((4, 10, 10, 3)), jnp.ones((3, 3, 3, 8))
    assert bench.count_flops(ops.conv, x, w) == 2 * 4 * 8 * 8 * 8 * 27


def test_memory_of_a_program():
    program = bench.analyze(lambda x: x + 1.0, jnp.ones(1000))
    assert (program.argument_bytes, program.output_bytes) == (4000, 4000)
    donated = bench.analyze(lambda x: x + 1.0, jnp.ones(1000), donate_argnums=0)
    assert donated.alias_bytes == 4000
    assert donated.peak_bytes == program.peak_bytes - 4000
    np.testing.assert_array_equal(program(jnp.zeros(1000)), np.ones(1000))


def test_stepper_carries_the_state_and_leaves_the_callers_alone():
    state = jnp.zeros(3)
    take = bench.stepper(jax.jit(lambda s: (s + 1, s.sum()), donate_argnums=0), state)
    take()
    assert float(take()[1]) == 3.0
    np.testing.assert_array_equal(state, np.zeros(3))


def test_peaks_bound_a_product():
    peaks = bench.measure_peaks(sizes=(512,), megabytes=16, repeats=3)
    assert set(peaks.flops) == {"float32", "bfloat16"}
    assert 1e8 < peaks.flops["float32"] < 1e15
    assert 1e7 < peaks.bytes < 1e14
    assert peaks.limit(peaks.flops["float32"], 0.0) == 1.0
    assert peaks.limit(0.0, 2 * peaks.bytes) == 2.0


def test_time_to_target_stops_the_clock_while_it_evaluates(clock):
    def advance(state):
        clock.sleep(0.01)
        return state + 1

    def evaluate(state):
        clock.sleep(0.05)
        return state

    (study,) = bench.time_to_target(advance, evaluate, [0], target=3, max_rounds=9)
    assert (study.rounds, study.value, study.reached) == (3, 3.0, True)
    assert study.seconds == pytest.approx(0.03)
    (missed,) = bench.time_to_target(advance, evaluate, [0], target=3, max_rounds=2)
    assert not missed.reached
    assert bench.median_seconds([missed]) == math.inf
    (least,) = bench.time_to_target(lambda s: s - 1, float, [3], target=1, max_rounds=9, mode="min")
    assert least.rounds == 2


ROW = bench.Row("dot", (1.0, 1.01, 0.99, 1.0, 1.0, 1.0, 1.01), 10.0, batch=4)


def scaled(factor):
    return dataclasses.replace(ROW, seconds=tuple(factor * s for s in ROW.seconds))


@pytest.mark.parametrize(
    "other, verdict", [(0.5, "faster"), (2.0, "slower"), (1.0, "same"), (1.03, "same")]
)
def test_verdict(other, verdict):
    (found,) = bench.compare([ROW], [scaled(other)])
    assert found.verdict == verdict
    assert found.speedup == pytest.approx(1 / other)
    assert not found.noisy


def test_verdict_respects_the_spread():
    noisy = dataclasses.replace(ROW, seconds=(0.5, 1.5, 0.6, 1.4, 0.7, 1.3, 0.8))
    (found,) = bench.compare([ROW], [noisy])
    assert (found.verdict, found.noisy) == ("same", True)


def test_a_slow_machine_is_not_a_slow_program():
    """Two quiet runs, the second on a machine of half the speed: the probe knows."""
    quiet = dataclasses.replace(ROW, probe=0.01)
    (found,) = bench.compare([quiet], [dataclasses.replace(scaled(2.0), probe=0.02)])
    assert (found.verdict, found.noisy) == ("same", True)
    (found,) = bench.compare([quiet], [dataclasses.replace(scaled(2.0), probe=0.0101)])
    assert (found.verdict, found.noisy) == ("slower", False)
    (found,) = bench.compare([quiet], [dataclasses.replace(scaled(4.0), probe=0.02)])
    assert (found.verdict, found.noisy) == ("slower", True)
    assert bench.drift([quiet, dataclasses.replace(ROW, probe=0.015), ROW]) == pytest.approx(0.5)
    assert bench.drift([ROW]) == 0


def test_the_probe_is_a_known_product_and_copy():
    probe = bench.make_probe(512, 4)
    assert 2 * 512**3 / 1e13 < probe() < 1


def test_rows_of_one_file_only_are_named():
    other = dataclasses.replace(ROW, precision="bfloat16")
    assert [f.verdict for f in bench.compare([ROW], [other])] == [
        "only in the first",
        "only in the second",
    ]


def test_report_round_trip_and_command(tmp_path, capsys):
    from jaxdl.bench.__main__ import main

    a, b = tmp_path / "a.json", tmp_path / "b.json"
    bench.write_report(a, [ROW], {"cpu_count": 2})
    bench.write_report(b, [scaled(0.5)], {"cpu_count": 4})
    (row,), environment = bench.read_report(a)
    assert row.seconds == ROW.seconds
    assert math.isnan(row.flops)
    assert environment == {"cpu_count": 2}
    assert "NaN" not in a.read_text()
    assert main(["compare", str(a), str(b)]) == 0
    out = capsys.readouterr().out
    assert "cpu_count differs: 2 and 4" in out
    assert "2.00x faster" in out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"name": 1}], "environment": {}}'])
def test_what_is_no_report_is_one_sentence(tmp_path, capsys, text):
    from jaxdl.bench.__main__ import main

    path = tmp_path / "x.json"
    path.write_text(text)
    assert main(["compare", str(path), str(path)]) == 2
    assert "is no report" in capsys.readouterr().err
    assert main(["compare", str(path), str(tmp_path / "none.json")]) == 2


def side(code):
    imports = "import time; from jaxdl import bench; print('noise'); "
    return [sys.executable, "-c", imports + code]


def test_two_processes_take_turns():
    seconds = {"fast": 0.01, "slow": 0.2}
    sides = bench.alternate(
        {
            k: side(f"bench.serve(lambda: time.sleep({s}), {{'s': {s}}})")
            for k, s in seconds.items()
        },
        repeats=3,
    )
    assert sides["fast"].facts == {"s": 0.01}
    assert min(sides["fast"].timing.seconds) >= 0.01  # a busy machine makes them longer only
    assert min(sides["slow"].timing.seconds) >= 0.2
    assert [len(side.timing.seconds) for side in sides.values()] == [3, 3]


def test_a_side_that_fails_says_why():
    with pytest.raises(ValueError, match=r"broken ended with code 1: .*ZeroDivisionError"):
        bench.alternate({"broken": side("1 / 0")}, repeats=1)


def test_interleave_refuses_no_repeats():
    with pytest.raises(ValueError, match="repeats"):
        bench.measure(time.sleep, 0.0, repeats=0)
    with pytest.raises(ValueError, match="max_rounds"):
        bench.time_to_target(lambda s: s, float, [], target=1, max_rounds=1)


@pytest.mark.parametrize("name", ["linear", "word2vec", "bpr", "ranking", "gaussian", "matching"])
def test_workloads_run_and_know_their_cost(name):
    batch = 2000 if name == "word2vec" else 8
    work = workloads.WORKLOADS[name].build(batch, "float32", 1)
    jax.block_until_ready(work.call())
    jax.block_until_ready(work.call())  # a donated state is handed on
    assert work.items >= batch  # a word, a pair, an image or more for each of the batch
    assert work.program.peak_bytes >= work.program.argument_bytes > 4 * batch
    assert work.program.xla_bytes > 4 * batch  # at least the batch itself is read


def test_a_training_workload_runs_in_bfloat16_and_on_two_devices():
    work = workloads.WORKLOADS["mlp"].build(8, "bfloat16", 2)
    state, out = work.call()
    assert out["loss"].compute() > 0
    assert len(jax.tree.leaves(state.params)[0].sharding.device_set) == 2


def test_environment_of_the_machine_is_json():
    from jaxdl import runs

    json.dumps(runs.environment())
    assert bench.device_bytes() is None or bench.device_bytes() > 0
    joules = bench.energy_joules()
    assert joules is None or joules >= 0


def test_import_of_bench_as_a_command():
    command = [sys.executable, "-m", "jaxdl.bench", "--help"]
    assert "compare" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_timers_import_no_models():
    code = "import sys; from jaxdl import bench; bench.measure; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"jaxdl.models", "jaxdl.train", "flax.linen"} & set(loaded)


@pytest.mark.parametrize("kind", list(_curves._KINDS)[1:])
def test_collectives_exchange_what_their_names_say(kind):
    mesh = parallel.make_mesh(data=4)
    x = np.arange(16.0, dtype=np.float32).reshape(4, 4)  # a row a device

    def local(row):
        return _curves._KINDS[kind](row[0], "data")[None]

    cut = jax.sharding.PartitionSpec("data")
    rows = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=cut, out_specs=cut))
    want = {
        "all-reduce": np.tile(x.sum(0), (4, 1)),
        "all-gather": np.tile(x.reshape(-1), (4, 1)),
        "reduce-scatter": x.sum(0)[:, None],
        "all-to-all": x.T,
        "collective-permute": np.roll(x, 1, axis=0),
    }
    np.testing.assert_array_equal(rows(x), want[kind])


def test_the_command_times_every_kind(capsys):
    from jaxdl.bench.__main__ import main

    assert main(["collectives", "--sizes", "64"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert main(["collectives", "--sizes", "0"]) == 2
    assert "at least 1, got 0" in capsys.readouterr().err


def test_calls_that_communicate_do_not_wait_for_one_another_forever():
    code = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # eight threads take turns
        import jax, jax.numpy as jnp
        from jaxdl import parallel
        from jaxdl.bench import _timing
        cut, mesh = jax.sharding.PartitionSpec("data"), parallel.make_mesh(data=8)
        add = lambda x: jax.lax.psum(x, "data") + x
        call = jax.jit(jax.shard_map(add, mesh=mesh, in_specs=cut, out_specs=cut))
        x = jax.device_put(jnp.ones(64), jax.NamedSharding(mesh, cut))
        _timing.seconds_of(lambda: call(x), calls=200)  # a device has room for 32
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
