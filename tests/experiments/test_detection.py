"""The experiments about detection run, write their figures and report their numbers."""

import numpy as np
import pytest

from experiments import anchors, ssd
from tests.figures import ink


def test_anchors(tmp_path):
    numbers = anchors.main(anchors.Config(smoke=True, out=tmp_path / "run"))
    assert numbers["anchors"] == 4 * sum(64 * 96 // cell**2 for cell in (4, 8, 16, 32))
    assert 0.9 < numbers["kept_per_object"] < 1.5 < numbers["anchors_per_object"]
    assert numbers["objects_above_threshold"] > 0.9
    for name in ("laid", "assigned", "suppressed", "softly_suppressed"):
        assert ink(tmp_path / "run" / f"{name}.png") > 0.3
    with pytest.raises(ValueError, match="one size for each map"):
        anchors.main(anchors.Config(sizes=(0.5,)))


def test_ssd(tmp_path):
    numbers = ssd.main(ssd.Config(smoke=True, base=(4, 8), width=8, out=tmp_path / "run"))
    each = [value for name, value in numbers.items() if name.startswith("test/AP@0.5_")]
    assert len(each) == 10
    assert numbers["test/mAP@0.5"] == pytest.approx(np.mean(each), abs=1e-6)
    # One step teaches nothing; a score that counted background would be near 1 (T4).
    assert numbers["test/mAP@0.5"] < 0.05
    for name, least in (("precision_recall", 0.03), ("predictions", 0.3), ("curves", 0.03)):
        assert ink(tmp_path / "run" / f"{name}.png") > least
    with pytest.raises(ValueError, match="--data-dir"):
        ssd.main(ssd.Config(data="voc", out=tmp_path / "voc"))
