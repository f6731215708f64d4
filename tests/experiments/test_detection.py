"""The experiments about detection run, write their figures and report their numbers."""

import pytest

from experiments import anchors


def test_anchors(tmp_path):
    numbers = anchors.main(anchors.Config(smoke=True, out=tmp_path / "run"))
    assert numbers["anchors"] == 4 * sum(64 * 96 // cell**2 for cell in (4, 8, 16, 32))
    assert 0.9 < numbers["kept_per_object"] < 1.5 < numbers["anchors_per_object"]
    assert numbers["objects_above_threshold"] > 0.9
    for name in ("laid", "assigned", "suppressed", "softly_suppressed"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="one size for each map"):
        anchors.main(anchors.Config(sizes=(0.5,)))
