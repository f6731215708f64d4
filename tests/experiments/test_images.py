"""The experiments about images run, write their figures and report their numbers."""

import pytest

from experiments import augmentation, edges, image_filters, ocr
from tests.figures import ink


def test_image_filters(tmp_path):
    config = image_filters.Config(smoke=True, batch_size=2, out=tmp_path / "run")
    numbers = image_filters.main(config)
    assert {f"{name}/jaxdl" for name in ("gaussian", "sobel", "median", "canny")} <= set(numbers)
    assert min(numbers.values()) > 0
    assert numbers["median/mean_error"] < 20  # of 255; the noise itself costs about 13 more
    assert ink(tmp_path / "run" / "filters.png") > 0.3
    with pytest.raises(ValueError, match="must be at least 1"):
        image_filters.main(image_filters.Config(size=0))


def test_edges_step_by_step_are_cannys(tmp_path):
    numbers = edges.main(edges.Config(smoke=True, out=tmp_path / "run"))
    assert numbers["same_as_canny"] > 0.999
    assert 0 < numbers["strong"] < numbers["edges"] <= numbers["weak"] < 0.5
    assert ink(tmp_path / "run" / "steps.png") > 0.3
    with pytest.raises(ValueError, match="need 0 <= low <= high"):
        edges.main(edges.Config(low=0.5))


def test_augmentation(tmp_path):
    numbers = augmentation.main(augmentation.Config(smoke=True, out=tmp_path / "run"))
    assert set(numbers) == {"test/plain", "test/augmented", "majority/accuracy"}
    assert min(numbers["test/plain"], numbers["test/augmented"]) > 0.4
    assert ink(tmp_path / "run" / "versions.png") > 0.3
    with pytest.raises(ValueError, match="examples must be between batch_size"):
        augmentation.main(augmentation.Config(examples=10))


def test_ocr(tmp_path):
    numbers = ocr.main(ocr.Config(smoke=True, out=tmp_path / "run"))
    assert set(numbers) == {"test/unseen_fonts", "test/handwriting", "majority/accuracy"}
    assert min(numbers["test/unseen_fonts"], numbers["test/handwriting"]) > 0.25  # after 20 steps
    assert ink(tmp_path / "run" / "drawn.png") > 0.3
    with pytest.raises(ValueError, match="must be at least 1"):
        ocr.main(ocr.Config(steps=0))
