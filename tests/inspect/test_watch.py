"""What is seen of a step, against the step itself; and that looking changes nothing."""

import json

import flax.linen as linen
import jax
import numpy as np
import optax
import pytest

from jaxdl import inspect, losses, objectives, runs, train
from jaxdl.train import _profile
from tests.references import reference
from tests.train.problems import blobs

event_accumulator = reference("tensorboard.backend.event_processing.event_accumulator")


class Net(linen.Module):
    @linen.compact
    def __call__(self, x, *, train: bool):
        bias = linen.initializers.constant(np.array([-100.0, 0, 0, 0]))
        x = linen.relu(linen.Dense(4, name="first", bias_init=bias)(x))
        return linen.Dense(3, name="last")(x)


@pytest.fixture(scope="module")
def trainer():
    objective = objectives.supervised(Net(), losses.softmax_cross_entropy, inputs="x")
    return train.make(objective, optax.adam(1e-2))


def test_numbers_are_those_of_the_step(trainer):
    batch = {**blobs(8).columns, "mask": np.ones(8, bool)}
    state = trainer.init(jax.random.key(0), batch)
    seen = jax.jit(lambda state, batch: inspect.observe(trainer, state, batch))(state, batch)
    after, _ = jax.jit(trainer.step)(state, batch)
    old, new = (np.asarray(s.params["last"]["kernel"]) for s in (state, after))
    np.testing.assert_allclose(seen.numbers["norm/last/kernel"], np.linalg.norm(old), rtol=1e-6)
    ratio = np.linalg.norm(new - old) / np.linalg.norm(old)
    np.testing.assert_allclose(seen.numbers["update/last/kernel"], ratio, rtol=1e-4)
    kernel, bias = (np.asarray(state.params["first"][name]) for name in ("kernel", "bias"))
    x = batch["x"] @ kernel + bias
    dead = {name: value for name, value in seen.numbers.items() if name.startswith("dead/")}
    assert list(dead.values()) == [np.mean(np.all(x <= 0, axis=0))]
    counts, edges = np.histogram(old, 30)
    np.testing.assert_array_equal(seen.histograms["last/kernel"][0], counts)
    np.testing.assert_allclose(seen.histograms["last/kernel"][1], edges, rtol=1e-5)


def test_a_watched_run_is_the_same_run(trainer, tmp_path):
    config = train.EarlyStopping("loss", 1)  # any dataclass

    def fit(name):
        with runs.open(config, name="watched", out=tmp_path / name, quiet=True) as run:
            return train.fit(trainer, blobs(), epochs=2, batch_size=8, driver="scan", run=run)

    plain = fit("plain")
    with runs.watching(4):
        watched = fit("watched")
    jax.tree.map(np.testing.assert_array_equal, plain.state.params, watched.state.params)
    assert not (tmp_path / "plain" / "watch.jsonl").exists()
    text = (tmp_path / "watched" / "watch.jsonl").read_text()
    rows = [json.loads(row) for row in text.splitlines()]
    assert [row["step"] for row in rows] == [0, 4, 8]
    assert rows[0]["watch/norm/last/kernel"] > 0
    events = event_accumulator.EventAccumulator(str(tmp_path / "watched"))
    events.Reload()
    assert "watch/last/kernel" in events.Tags()["histograms"]
    assert [e.step for e in events.Scalars("watch/update/last/kernel")] == [0, 4, 8]


def test_a_run_that_is_not_watched_has_the_programs_of_one_without_a_folder(
    trainer, tmp_path, monkeypatch
):
    """Off costs nothing: not an operation more is compiled, and on adds programs of its own."""
    texts = []
    compile_it = jax.stages.Lowered.compile

    def compiled(self, *args, **options):
        texts.append(self.as_text())
        return compile_it(self, *args, **options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compiled)

    def programs(name):
        texts.clear()
        with runs.open(train.EarlyStopping("loss", 1), name=name, out=tmp_path / name) as run:
            train.fit(trainer, blobs(), epochs=1, batch_size=8, driver="scan", run=run)
        return list(texts)

    train.fit(trainer, blobs(), epochs=1, batch_size=8, driver="scan")
    alone = list(texts)
    with runs.watching(4):
        watched = programs("watched")
    assert len(alone) == 1
    assert programs("plain") == alone == watched  # what is seen of a step is a program by itself


def test_operations_inside_others_count_once():
    events = [(0.0, 10.0, "while"), (1.0, 4.0, "dot.1"), (2.0, 3.0, "add"), (5.0, 6.0, "dot.2")]
    own = [(name, seconds) for seconds, name in _profile._own_times(events)]
    assert sorted(own) == [("add", 1), ("dot.1", 2), ("dot.2", 1), ("while", 6)]
    assert _profile._covered([(0, 2), (1, 3), (5, 6)]) == 4
    names = ("all-reduce.3", "ynn_fusion", "convert_fusion", "copy.1", "while.2", "convolution")
    kinds = ("collectives", "products", "elementwise", "copies", "control", "products")
    assert tuple(map(_profile._kind, names)) == kinds


def test_a_trace_of_annotated_steps(trainer, tmp_path):
    config = train.EarlyStopping("loss", 1)
    with (
        train.profiling(2),
        runs.open(config, name="traced", out=tmp_path / "run", quiet=True) as run,
    ):
        result = train.fit(trainer, blobs(), epochs=2, batch_size=8, run=run)
    kinds = {"collectives", "control", "copies", "elementwise", "idle", "products", "step"}
    split, later = (
        {n.removeprefix("time/profile/"): v for n, v in row.items() if n.startswith("time/profile")}
        for row in result.history
    )
    assert (set(split), later) == (kinds, {})
    assert min(split.values()) >= 0
    assert split["step"] < 60
    assert split["products"] > 0
    parts = sum(split.values()) - split["step"]
    assert parts == pytest.approx(split["step"], rel=0.5)  # but for operations side by side
    traces = list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
    assert len(traces) == 1
    assert list((tmp_path / "run" / "profile").rglob("perfetto_trace.json.gz"))
    assert b"train" in traces[0].read_bytes()
    with pytest.raises(ValueError, match="at least one step"), train.profiling(0):
        pass
    with pytest.raises(ValueError, match="at least every step"), runs.watching(0):
        pass
