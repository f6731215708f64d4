"""The experiments that label pixels and that paint run, write their figures and report numbers."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments import fcn, style_transfer
from jaxdl import data, plots
from jaxdl.models import weights
from tests.figures import ink


def test_fcn(tmp_path):
    numbers = fcn.main(fcn.Config(smoke=True, out=tmp_path / "run"))
    assert 0 < numbers["test/iou"] <= numbers["test/pixel_accuracy"]
    assert numbers["test/loss"] == pytest.approx(np.log(11), abs=0.6)  # a step from uniform
    share = numbers["test/pixel_accuracy_one_class"]
    assert 0.8 < share < 0.95  # background, of digits that cover a tenth
    assert numbers["test/iou_one_class"] == pytest.approx(share / 11)
    assert ink(tmp_path / "run" / "pixels.png") > 0.3
    with pytest.raises(ValueError, match="camvid is read from files: get them from https"):
        fcn.main(fcn.Config(data="camvid"))


@pytest.mark.slow
def test_fcn_on_camvid(tmp_path):
    if "JAXDL_DATA" not in os.environ:
        pytest.skip("JAXDL_DATA does not name a folder with original data")
    folder = pathlib.Path(os.environ["JAXDL_DATA"]) / "camvid"
    numbers = fcn.main(
        fcn.Config(
            data="camvid", data_dir=folder, size=(90, 120), crop=(64, 96), zoom=False, flip=True,
            epochs=30, batch_size=8, out=tmp_path / "run",
        )
    )  # fmt: skip
    assert numbers["test/pixel_accuracy"] > numbers["test/pixel_accuracy_one_class"] + 0.1
    assert numbers["test/iou"] > 3 * numbers["test/iou_one_class"]


def test_style_transfer(tmp_path):
    numbers = style_transfer.main(style_transfer.Config(smoke=True, out=tmp_path / "run"))
    assert numbers["content/first"] == pytest.approx(0, abs=1e-9)  # it begins at the content
    assert numbers["content/last"] > 0
    assert all(np.isfinite(value) for value in numbers.values())
    for name, least in (("painted", 0.3), ("losses", 0.03)):
        assert ink(tmp_path / "run" / f"{name}.png") > least
    assert len(weights.read_state_dict(tmp_path / "run" / "body.safetensors")) > 4
    missing = style_transfer.Config(weights=tmp_path / "vgg19.pth", smoke=True)
    with pytest.raises(FileNotFoundError, match=r"no weights at .*vgg19-dcbb9e9d.pth"):
        style_transfer.main(missing)
    with pytest.raises(ValueError, match="size must be at least 64"):
        style_transfer.main(style_transfer.Config(size=8))


def test_own_pictures_are_cut_square(tmp_path):
    for name, color in (("a", (255, 0, 0)), ("b", (0, 255, 0)), ("c", (0, 0, 255))):
        Image.new("RGB", (90, 70), color).save(tmp_path / f"{name}.png")
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    config = style_transfer.Config(content=paths[0], style=tuple(paths[1:]), size=64)
    np.testing.assert_array_equal(
        style_transfer.read_pictures(config)[:, 32, 32], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    )


def test_colors_of_classes_and_their_pictures():
    labels = np.array([[[0, 1], [15, data.images.UNLABELED]]])
    colors = plots.segmentation_colors(labels)
    assert colors.dtype == np.uint8
    assert colors[0].tolist() == [
        [[0, 0, 0], [128, 0, 0]], [[192, 128, 128], [224, 224, 192]]
    ]  # fmt: skip
    own = plots.segmentation_colors(labels[:, :1], [[1, 2, 3], [4, 5, 6]])
    assert own.tolist() == [[[[1, 2, 3], [4, 5, 6]]]]
    with pytest.raises(ValueError, match="no color for index 255: the palette has 2"):
        plots.segmentation_colors(labels, [[1, 2, 3], [4, 5, 6]])
    figure = plots.segmentations(colors, labels, labels, ["background", "aeroplane"])
    assert len(figure.axes) == 3
