"""Steps compiled for accelerators need no more than they did: memory, communication, operations."""

import copy
import importlib.util
import json

import pytest

from tests.bench import goldens, plan_table

QUICK = {("lstm_lm", "h100-8"), ("word2vec", "h100-1"), ("neumf", "h100-8")}
MODULES = {"h100": ("jax_plugins.xla_cuda12", "plan-gpu"), "v5e": ("libtpu", "plan-tpu")}


def skip_without_compiler(target):
    module, extra = MODULES[target.partition("-")[0]]
    package = module.partition(".")[0]
    if importlib.util.find_spec(package) is None or importlib.util.find_spec(module) is None:
        pytest.skip(f"no compiler for {target}: pip install 'jaxdl[{extra}]'")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param(name, target, marks=() if (name, target) in QUICK else pytest.mark.slow)
        for name in goldens.NAMES
        for target in goldens.TARGETS
        if goldens.path(name, target).exists()
    ],
)
def test_a_step_needs_no_more_than_it_did(name, target):
    skip_without_compiler(target)
    lines = goldens.worse(goldens.read(name, target), goldens.made(name, target))
    text = "\n".join(lines)
    assert not lines, f"{text}\nmeant: python -m tests.bench.write_goldens {name}"


@pytest.fixture
def kept():
    return goldens.read("lstm_lm", "h100-8")


def test_equal_plans_and_less_memory_pass(kept):
    after = copy.deepcopy(kept)
    assert goldens.worse(kept, after) == []
    after["peak_bytes"] *= 0.5
    after["collectives"].clear()
    assert goldens.worse(kept, after) == []


def test_five_percent_of_memory_are_found_and_named(kept):
    after = copy.deepcopy(kept)
    after["peak_bytes"] *= 1.04
    assert goldens.worse(kept, after) == []
    after["peak_bytes"] *= 1.02
    after["memory"]["activations"] = after["memory"].get("activations", 0) + 1000
    first, second = goldens.worse(kept, after)
    assert first.startswith("peak")
    assert "activations" in second


def test_a_new_collective_is_found(kept):
    after = copy.deepcopy(kept)
    after["collectives"]["all-to-all of f32 over data"] = [1.0, 64.0]
    (line,) = goldens.worse(kept, after)
    assert line == "all-to-all of f32 over data: 0 -> 1 calls, 0 -> 64 bytes"
    after = copy.deepcopy(kept)
    key = next(iter(after["collectives"]))
    after["collectives"][key][0] += 1
    assert len(goldens.worse(kept, after)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factorization", "neumf", "gpt_1300m"])
def test_rows_of_the_table_of_published_sizes_are_those_of_today(name):
    target = "h100-8"
    skip_without_compiler(target)
    kept = json.loads(plan_table.PATH.read_text())[f"{name} {target}"]
    made = plan_table.row(name, target)
    assert made["fits"] == kept["fits"]
    assert made["peak_gib"] <= goldens.MOST * kept["peak_gib"]
    assert made["tflop"] <= 1.001 * kept["tflop"]
    assert made["sent_mb"] <= goldens.MOST * kept["sent_mb"]
