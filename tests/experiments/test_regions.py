"""The experiment about detection in two steps runs, with either kind of proposals."""

import pytest

from experiments import fast_rcnn
from tests.figures import ink
from tests.references import reference


@pytest.mark.parametrize(
    "proposals", ["network", pytest.param("selective_search", marks=pytest.mark.slow)]
)
def test_fast_rcnn(proposals, tmp_path):
    if proposals == "selective_search":
        reference("cv2")
    config = fast_rcnn.Config(
        smoke=True, proposals=proposals, num_proposals=8, batch_size=8, out=tmp_path / "run"
    )
    numbers = fast_rcnn.main(config)
    # One step teaches nothing; a score that counted background would be near 1 (T4).
    assert numbers["test/mAP@0.5"] < 0.05
    for name, least in (("precision_recall", 0.03), ("predictions", 0.3), ("curves", 0.03)):
        assert ink(tmp_path / "run" / f"{name}.png") > least


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="num_proposals >= 1"):
        fast_rcnn.main(fast_rcnn.Config(num_proposals=0))
