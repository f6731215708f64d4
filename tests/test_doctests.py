"""Every example in a docstring prints what it says; what people use has one."""

import doctest
import importlib
import inspect
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdl

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")

# What an example of another function returns, raises, takes or shows.
SHOWN_ELSEWHERE = {
    "AnchorTargets", "Association", "Bootstrap", "Cache", "CheckpointError", "Classes",
    "Collective", "Comparison", "DataError", "Decoded", "Detections", "Difference", "diverge",
    "Divergence", "Entry", "Estimate", "expected", "Folds", "following", "gpt2_to_torch",
    "Gradient", "GradientReport", "HalvingResult", "Interrupted", "ItemLists",
    "keep_freed_memory", "KernelMachine", "Large", "LeafCheck", "Ledger", "Letterbox", "main",
    "make_sweep", "MultiboxLoss", "NGram", "NoiseScale", "NonfiniteError", "NonfiniteReport",
    "Observation", "PerformanceProfile", "Plan", "PlateauState", "PopulationResult",
    "Predictions", "Program", "ReceptiveField", "Record", "record", "Recorder",
    "RegionPredictions", "RegionSamples", "Report", "Result", "run", "Run", "Rung", "Scores",
    "Search", "SeedComparison", "Side", "Spectrum", "Study", "SweepResult", "time_split",
    "Trainer", "Training", "TrainState", "use_compilation_cache", "Verdict", "vit_from_torch",
    "vit_to_torch", "Work",
}  # fmt: skip


class Checker(doctest.OutputChecker):
    """Takes a number for right if it agrees in the decimals written (a whole one: to 1e-4)."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        words = [re.sub(r"\s|, weak_type=True", "", NUMBER.sub("#", text)) for text in (want, got)]
        wanted, found = NUMBER.findall(want), NUMBER.findall(got)
        return words[0] == words[1] and all(map(agrees, wanted, found))


def agrees(want: str, got: str) -> bool:
    decimals = len(want.partition(".")[2])
    return abs(float(want) - float(got)) <= (10.0**-decimals if decimals >= 3 else 1e-4)


def modules(room: str) -> list:
    found = [importlib.import_module(f"jaxdl.{room}")]
    names = pkgutil.walk_packages(getattr(found[0], "__path__", []), f"jaxdl.{room}.")
    return found + [importlib.import_module(m.name) for m in names if m.name[-2:] != "__"]


@pytest.mark.parametrize("room", jaxdl.__all__)
def test_examples_print_what_they_say(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    runner = doctest.DocTestRunner(Checker())
    for module in modules(room):
        for example in doctest.DocTestFinder().find(
            module, extraglobs={"jax": jax, "jnp": jnp, "np": np}
        ):
            runner.run(example, out=failures.append)
    assert not failures, "".join(failures)


DATA = ["data.images", "data.readers", "data.tabular", "data.text"]


@pytest.mark.parametrize("room", [*jaxdl.__all__, *DATA])
def test_public_functions_and_classes_have_an_example(room):
    module = importlib.import_module(f"jaxdl.{room}")
    public = {name: getattr(module, name) for name in module.__all__}
    ours = {n: v for n, v in public.items() if getattr(v, "__module__", "").startswith("jaxdl")}
    shown = {name for name, value in ours.items() if ">>>" in (inspect.getdoc(value) or "")}
    documented = {n for n, v in ours.items() if inspect.isclass(v) or inspect.isroutine(v)}
    jitted = {n for n, v in ours.items() if hasattr(v, "lower") and hasattr(v, "__wrapped__")}
    assert not (documented | jitted) - shown - SHOWN_ELSEWHERE


def test_a_wrong_number_is_seen():
    check = Checker().check_output
    assert check("Array([0.693, 1.], dtype=float32)", "Array([0.6931472, 1. ], dtype=float32)", 0)
    assert not check("Array(0.693)", "Array(0.695)", 0)
    assert not check("Array(1.)", "Array(1.01)", 0)
    assert not check("[1, 2]", "[1, 2, 3]", 0)
