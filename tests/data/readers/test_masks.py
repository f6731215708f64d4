"""Segmentation folders in VOC's layout: sizes, void, classes nobody knows."""

import numpy as np
import pytest
from PIL import Image

from jaxdl import data


@pytest.fixture
def folder(tmp_path):
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in ("JPEGImages", "SegmentationClass"):
        (tmp_path / name).mkdir()
    images = (("train", "a", (30, 20)), ("train", "b", (8, 12)), ("val", "c", (5, 5)))
    for split, stem, size in images:
        with (lists / f"{split}.txt").open("a") as names:
            names.write(f"{stem}\n")
        pixels = np.full((*size[::-1], 3), 200, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "JPEGImages" / f"{stem}.jpg")
        classes = np.zeros(size[::-1], np.uint8)
        classes[1:3, 1:4], classes[0] = 15, 255
        write_mask(tmp_path, stem, classes)
    return tmp_path


def write_mask(folder, stem, classes):
    mask = Image.fromarray(classes).convert("P")
    mask.putdata(classes.ravel().tolist())
    mask.putpalette(data.images.voc_palette().ravel().tolist())
    mask.save(folder / "SegmentationClass" / f"{stem}.png")


def test_images_of_every_size_are_kept_and_padded_with_void(folder):
    """T24: a large one is shrunk to fit, a small one lies in the corner."""
    splits = data.readers.read_voc_masks(folder, (12, 15))
    train, test = splits["train"], splits["test"]
    assert train["image"].shape == (2, 12, 15, 3)
    assert test["segmentation"].shape == (1, 12, 15)
    large, small = train["segmentation"]
    assert (large[10:] == 255).all()  # 30x20 became 15x10
    assert (large[3:10] == 0).all()
    assert (small[:, 8:] == 255).all()
    assert (small[1:3, 1:4] == 15).all()
    assert (small[3:, :8] == 0).all()
    assert not train["image"][1][:, 8:].any()
    assert splits.info.class_names[15] == "person"


def test_damage_is_named(folder):
    write_mask(folder, "b", np.full((12, 8), 21, np.uint8))
    with pytest.raises(data.DataError, match=r"b\.png: expected classes 0 to 20 and 255"):
        data.readers.read_voc_masks(folder)
    write_mask(folder, "b", np.zeros((12, 9), np.uint8))
    with pytest.raises(data.DataError, match=r"b\.png: \(9, 12\) pixels for an image of \(8, 12\)"):
        data.readers.read_voc_masks(folder)
    (folder / "ImageSets" / "Segmentation" / "train.txt").unlink()
    with pytest.raises(
        data.DataError, match=r"train\.txt: no such file; expected the names.*had from http"
    ):
        data.load("voc_masks", folder)
