"""A difference planted in one layer of one of two runs, found to the step and the line."""

import dataclasses
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import inspect, runs
from tests.runs import parting

MODULE = "tests.runs.parting"
LINE = next(
    number
    for number, line in enumerate(pathlib.Path(parting.__file__).read_text().splitlines(), 1)
    if line.endswith("# planted")
)


def train_in(folder, **options):
    parting.main(parting.Config(out=folder, **options))
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("runs") / "sound")


def test_a_difference_in_one_layer_is_bisected(sound, tmp_path):
    other = train_in(tmp_path / "other", at=36)
    found = runs.diverge(sound, other, module=MODULE)
    # The checkpoints of steps 32 and 40 are there.
    assert (found.agree, found.differ, found.replayed) == (36, 37, 5)
    place, _ = found.tensor.places
    assert (place.line.file, place.line.number) == (parting.__file__, LINE)
    assert place.module == "Net/middle"
    assert found.tensor.size > 0


def test_a_difference_before_all_checkpoints_is_replayed_from_the_start(sound, tmp_path, capsys):
    other = train_in(tmp_path / "other", at=3)
    runs.main(["diverge", str(sound), str(other), "--module", MODULE])
    told = capsys.readouterr().out
    assert "the runs part in step 3" in told
    assert f"parting.py:{LINE}" in told


def test_runs_that_are_the_same_do_not_part(sound):
    found = runs.diverge(sound, sound, module=MODULE)
    assert (found.differ, found.agree) == (None, 40)
    assert str(found) == "no difference up to step 40"


def test_mistakes_are_one_sentence(sound, tmp_path, capsys):
    wide = train_in(tmp_path / "wide", widths=(8, 9), epochs=1)
    with pytest.raises(ValueError, match=r"shape .* in one run, .* in the other"):
        runs.diverge(sound, wide, module=MODULE)
    with pytest.raises(SystemExit, match="2"):
        runs.main(["diverge", str(sound), str(wide)])
    assert "no module experiments.parting" in capsys.readouterr().err
    config = json.loads((wide / "config.json").read_text())
    (wide / "config.json").write_text(json.dumps({**config, "unheard": 1}))
    with pytest.raises(ValueError, match="options that .* lacks: unheard"):
        runs.diverge(sound, wide, module=MODULE)


@pytest.mark.slow
def test_two_thousand_steps_in_under_a_minute(tmp_path):
    options = {"steps_per_epoch": 100, "epochs": 20}
    first = train_in(tmp_path / "first", **options)
    second = train_in(tmp_path / "second", at=1234, **options)
    start = time.perf_counter()
    found = runs.diverge(first, second, module=MODULE)
    seconds = time.perf_counter() - start
    assert (found.differ, found.tensor.places[0].line.number) == (1235, LINE)
    assert seconds < 60


# The comparison of two programs alone.


def test_the_first_tensor_inside_a_scan():
    def program(factor):
        def run(x):
            def body(h, t):
                return jnp.tanh(h * jnp.where(t == 4, factor, 1.0)), t

            return jax.lax.scan(jax.jit(body), x, jnp.arange(6))[0]

        return run

    found = inspect.first_difference(program(1.0), program(1.1), [jnp.ones(3)])
    assert "iteration 4 of 6 of the scan" in str(found)
    assert found.values == pytest.approx((1.0, 1.1))
    assert inspect.first_difference(program(1.0), program(1.0), [jnp.ones(3)]) is None
    assert (
        inspect.first_difference(program(1.0), program(1.1), [jnp.ones(3)], tolerance=0.2) is None
    )


def test_programs_that_part_and_precision():
    one, two = (lambda x, f=f: jnp.sum(f(x @ x.T) * 2) for f in (jnp.tanh, jax.nn.relu))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    found = inspect.first_difference(one, two, [x])
    assert found.programs[0].operation == "tanh"
    assert "the programs part: `tanh`" in str(found)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), [x])
    found = inspect.first_difference(
        lambda x: x @ x.T, lambda x: x @ x.T, [x], half, tolerance=1e-4
    )
    assert found.name == "0"  # the argument itself is rounded
    assert 1e-4 < found.size < 2**-7


def test_options_come_back_as_they_were():
    from jaxdl.runs._again import config_of

    config = parting.Config(at=3, widths=(4, 5), out=pathlib.Path("here"))
    plain = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    assert config_of(parting.Config, plain, pathlib.Path(".")) == config
