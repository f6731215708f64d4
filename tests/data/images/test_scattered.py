"""Digits scattered over photographs: pure in the index, boxes around the ink, splits apart."""

import numpy as np
import pytest

from jaxdl import data


@pytest.fixture(scope="module")
def split():
    return data.images.scatter_digits(40, size=(64, 96), seed=3)


def test_image_i_is_a_function_of_seed_split_and_index(split):
    part = data.images.scatter_digits(3, size=(64, 96), seed=3, start=7)
    for name in part.columns:
        np.testing.assert_array_equal(part[name], split[name][7:10])
    for other in (
        data.images.scatter_digits(3, size=(64, 96), seed=4, start=7),
        data.images.scatter_digits(3, size=(64, 96), seed=3, start=7, split="test"),
    ):
        assert (other["image"] != part["image"]).any(axis=(1, 2, 3)).all()


def test_boxes_are_around_the_ink(split):
    alone = np.flatnonzero((split["classes"] >= 0).sum(axis=1) == 1)
    assert len(alone) >= 2
    for n in alone:
        digit = split["classes"][n, 0]
        rows, columns = np.nonzero(split["segmentation"][n] == digit + 1)
        want = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(split["boxes"][n, 0] * [96, 64, 96, 64], want, rtol=1e-5)


def test_boxes_lie_inside_and_overlap_a_little(split):
    boxes, real = split["boxes"], split["classes"] >= 0
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert (boxes[..., 2:] - boxes[..., :2] > 0)[real].all()
    assert not boxes[~real].any()
    counts = real.sum(axis=1)
    assert counts.min() >= 1
    assert counts.max() >= 6
    low = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    area = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    iou = both / np.maximum(area[:, :, None] + area[:, None] - both, 1e-9)
    iou[:, np.arange(8), np.arange(8)] = 0
    assert 0 < iou.max() <= 0.25 + 1e-6


def test_segmentation_has_the_digits_the_background_and_the_unlabeled(split):
    assert set(np.unique(split["segmentation"])) == {*range(11), 255}
    for n in range(5):
        labels = set(np.unique(split["segmentation"][n])) - {0, 255}
        assert labels <= set(split["classes"][n] + 1)


def test_one_object_and_the_options_out_of_range():
    one = data.images.scatter_digits(2, size=(32, 32), max_objects=1)
    assert one["boxes"].shape == (2, 1, 4)
    with pytest.raises(ValueError, match="max_objects"):
        data.images.scatter_digits(1, max_objects=0)
    with pytest.raises(ValueError, match="at least 32"):
        data.images.scatter_digits(1, size=(16, 64))
    with pytest.raises(ValueError, match="split"):
        data.images.scatter_digits(1, split="val")


@pytest.mark.slow
def test_the_embedded_set():
    splits = data.load("scattered_digits")
    assert (len(splits["train"]), len(splits["test"])) == (4000, 500)
    drawn = data.images.scatter_digits(2, split="test")
    for name in drawn.columns:
        np.testing.assert_array_equal(splits["test"][name][:2], drawn[name])
