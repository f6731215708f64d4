"""What the progress bar shows of a run that trains."""

import dataclasses
import sys

import jax
import optax

from jaxdl import bench, runs, train
from jaxdl.runs import _bar
from tests.train.problems import Net, blobs, problem


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 3


def test_rates_are_those_of_the_steps():
    assert _bar.rates(2.0) == "2.0 steps/s"
    assert _bar.rates(2.0, 8, 3e12) == "2.0 steps/s  16 examples/s  6 TFLOP/s"
    assert _bar.rates(2.0, 8, 3e12, 1e13) == "2.0 steps/s  16 examples/s  6 TFLOP/s  MFU 60 %"


def test_a_bar_shows_them_while_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(_bar, "peak_of_devices", lambda: 1e6)
    trainer, state = problem(optax.sgd(0.1), net=Net())
    shown = []
    with runs.open(Config(), name="shown", out=tmp_path / "run") as run:
        monkeypatch.setattr(run._bar, "_drawn", float("-inf"))
        show = run._bar.update

        def update(done, total, text):
            run._bar._drawn = float("-inf")  # every step
            show(done, total, text)
            shown.append(run._bar._progress.tasks[0].fields["rate"])

        monkeypatch.setattr(run._bar, "update", update)
        train.fit(trainer, blobs(), state, epochs=3, batch_size=8, driver="loop", run=run)
        # Two layers of 2 x 8 and 8 x 3, forward, in the weights, and the second in its inputs.
        assert run._bar._flops == 2 * 8 * (2 * (2 * 8 + 8 * 3) + 8 * 3)
        assert run._bar._examples == 8
    rates = [text for text in shown if text]
    assert rates
    assert all("examples/s" in text and "TFLOP/s" in text and "MFU" in text for text in rates)


def test_operations_are_counted_only_for_a_bar(tmp_path):
    def never():
        raise AssertionError

    with runs.open(Config(), name="quiet", out=tmp_path / "run", quiet=True) as run:
        run.expect(8, never)
        run.part("one").expect(8, never)


def test_chips_by_the_names_that_jax_has_for_them():
    names = {
        "NVIDIA A100-SXM4-80GB": "a100",
        "NVIDIA H100 80GB HBM3": "h100",
        "NVIDIA H200": "h200",
        "NVIDIA B200": "b200",
        "TPU v4": "v4",
        "TPU v5 lite": "v5e",
        "TPU v5": "v5p",
        "TPU v6 lite": "v6e",
        "TPU7x": "7x",
    }
    assert {kind: bench.chip_of(kind).name for kind in names} == names
    for kind in ("cpu", "NVIDIA H100 PCIe", "NVIDIA GH200 480GB", "TPU v3"):
        assert bench.chip_of(kind) is None, kind
    assert _bar.peak_of_devices() == 0  # of this machine nothing is published
    assert jax.devices()[0].device_kind == "cpu"
