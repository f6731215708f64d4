"""Folders in the layout of PASCAL VOC and of CamVid, sound and damaged."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxdl import data

CAT, DOG = ("cat", 11, 1, 30, 20, 0), ("dog", 1, 6, 40, 25, 1)


def annotation(objects, size=(40, 25), drop=""):
    width, height = size
    lines = [f"<annotation><size><width>{width}</width><height>{height}</height></size>"]
    for name, *box, difficult in objects:
        corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        bndbox = "".join(f"<{k}>{v}</{k}>" for k, v in corners if k != drop)
        lines.append(f"<object><name>{name}</name><difficult>{difficult}</difficult>")
        lines.append(f"<bndbox>{bndbox}</bndbox></object>")
    return "\n".join(lines) + "</annotation>"


@pytest.fixture
def folder(tmp_path):
    """Four images of 40x25: two cats and a dog; nothing; a dog; damaged boxes."""
    objects = {
        "one": [CAT, DOG, CAT],
        "two": [],
        "three": [DOG],
        "four": [CAT, ("cat", 7, 7, 7, 7, 0), ("cat", -8, 6, 50, 20, 0), ("cat", 41, 1, 60, 9, 0)],
    }
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for name, some in objects.items():
        Image.new("RGB", (40, 25), (9, 99, 199)).save(tmp_path / f"set/JPEGImages/{name}.jpg")
        (tmp_path / f"set/Annotations/{name}.xml").write_text(annotation(some))
    (tmp_path / "set/ImageSets/Main/train.txt").write_text("one\ntwo\nfour\n")
    (tmp_path / "set/ImageSets/Main/val.txt").write_text("three\n")
    return tmp_path


def test_boxes_are_shares_from_the_edge_of_the_first_pixel_to_that_of_the_last(folder):
    splits = data.readers.read_voc(folder, size=(10, 20))
    train, test = splits["train"], splits["test"]
    assert splits.info.class_names == ("cat", "dog")
    assert train["image"].shape == (3, 10, 20, 3)
    np.testing.assert_array_equal(train["classes"][0], [0, 1, 0])
    np.testing.assert_allclose(train["boxes"][0, 0], [10 / 40, 0, 30 / 40, 20 / 25])
    np.testing.assert_allclose(train["boxes"][0, 1], [0, 5 / 25, 1, 1])
    np.testing.assert_array_equal(train["difficult"][0], [False, True, False])
    np.testing.assert_array_equal(test["classes"], [[1, -1, -1]])
    loaded = data.load("voc", folder)
    assert loaded.info.class_names == ("cat", "dog")
    np.testing.assert_array_equal(loaded["train"]["boxes"], train["boxes"])  # whatever the size


def test_boxes_without_area_are_left_out_and_boxes_outside_are_cut_and_both_are_counted(folder):
    train = data.readers.read_voc(folder, size=(10, 20))["train"]
    np.testing.assert_array_equal(train["degenerate"], [0, 0, 2])  # one lies wholly outside
    np.testing.assert_array_equal(train["clipped"], [0, 0, 2])
    np.testing.assert_array_equal(train["classes"][2], [0, 0, -1])
    np.testing.assert_allclose(train["boxes"][2, 1], [0, 5 / 25, 1, 20 / 25])


def test_images_without_objects_are_kept(folder):
    train = data.readers.read_voc(folder)["train"]
    assert (train["classes"][1] == -1).all()
    assert not train["boxes"][1].any()


def test_a_class_that_training_never_shows_is_an_error_that_names_the_file(folder):
    path = folder / "set/Annotations/three.xml"
    path.write_text(annotation([("owl", 1, 1, 5, 5, 0)]))
    with pytest.raises(data.DataError, match=r"three\.xml: the class 'owl'"):
        data.readers.read_voc(folder)
    with pytest.raises(data.DataError, match="'cat' is not among dog"):
        data.readers.read_voc(folder, class_names=["dog"])


@pytest.mark.parametrize(
    "text, message",
    [
        (annotation([DOG], drop="ymin"), "no bndbox/ymin"),
        (annotation([("", 1, 1, 5, 5, 0)]), "no name"),
        (annotation([("dog", "nan", 1, 5, 5, 0)]), "'nan', expected a number"),
        (annotation([DOG], size=(41, 25)), r"says \(41, 25\) pixels"),
        ("<annotation><object>", "not XML"),
    ],
)
def test_damaged_annotations_are_named(folder, text, message):
    (folder / "set/Annotations/three.xml").write_text(text)
    with pytest.raises(data.DataError, match=r"three\.xml: .*" + message):
        data.readers.read_voc(folder)


def test_missing_files_are_named(folder):
    (folder / "set/JPEGImages/three.jpg").write_text("no image")
    with pytest.raises(data.DataError, match=r"three\.jpg: not an image"):
        data.readers.read_voc(folder)
    (folder / "set/ImageSets/Main/train.txt").unlink()
    with pytest.raises(data.DataError, match=r"train\.txt: no such file"):
        data.readers.read_voc(folder)
    with pytest.raises(data.DataError, match="expected JPEGImages"):
        data.readers.read_voc(folder / "set" / "Annotations")


def test_palette_is_that_of_the_development_kit():
    want = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    np.testing.assert_array_equal(data.images.voc_palette(5), want)
    np.testing.assert_array_equal(
        data.images.voc_palette()[[20, 255]], [[0, 64, 128], [224, 224, 192]]
    )


def test_masks_of_palette_and_of_colors_are_the_same(tmp_path):
    classes = np.array([[0, 1, 20], [255, 15, 7]], np.uint8)
    image = Image.fromarray(classes, mode=None)
    image.putpalette(data.images.voc_palette().tobytes())
    image.save(tmp_path / "palette.png")
    image.convert("RGB").save(tmp_path / "colors.png")
    for name in ("palette.png", "colors.png"):
        np.testing.assert_array_equal(data.readers.read_palette_mask(tmp_path / name), classes)
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "other.png")
    with pytest.raises(data.DataError, match=r"other\.png: the color \(1, 2, 3\)"):
        data.readers.read_palette_mask(tmp_path / "other.png")


def test_camvid(tmp_path):
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}annot").mkdir()
        Image.new("RGB", (6, 4), (9, 99, 199)).save(tmp_path / name / "a.png")
        classes = np.full((4, 6), 11, np.uint8)
        classes[:2] = 3
        Image.fromarray(classes).save(tmp_path / f"{name}annot" / "a.png")
    splits = data.load("camvid", tmp_path)
    assert splits.info.class_names[3] == "road"
    want = np.repeat([3, 3, 255, 255], 6).reshape(4, 6)
    np.testing.assert_array_equal(splits["test"]["segmentation"][0], want)
    half = data.readers.read_camvid(tmp_path, size=(2, 3))["train"]
    np.testing.assert_array_equal(half["segmentation"][0], want[::2, ::2])
    assert half["image"].shape == (1, 2, 3, 3)
    Image.fromarray(np.full((4, 6), 12, np.uint8)).save(tmp_path / "valannot" / "a.png")
    with pytest.raises(data.DataError, match=r"a\.png: expected classes 0 to 11"):
        data.load("camvid", tmp_path)
    Image.new("L", (5, 4)).save(tmp_path / "trainannot" / "a.png")
    with pytest.raises(data.DataError, match=r"a\.png: \(5, 4\) pixels"):
        data.load("camvid", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif("JAXDL_DATA" not in os.environ, reason="JAXDL_DATA names no folder of data")
def test_original_folders():
    folder = pathlib.Path(os.environ["JAXDL_DATA"])
    cells = data.readers.read_voc(folder / "bccd", size=(30, 40))
    assert cells.info.class_names == ("Platelets", "RBC", "WBC")
    assert [len(cells[split]) for split in ("train", "test")] == [292, 72]
    counts = {
        name: sum(split[name].sum() for split in cells.values())
        for name in ("degenerate", "clipped")
    }
    assert counts == {"degenerate": 2, "clipped": 0}
    assert sum((split["classes"] >= 0).sum() for split in cells.values()) == 4888 - 2
    masks = sorted((folder / "voc-format-tiny" / "SegmentationClass").glob("*.png"))
    for path in masks:
        image = Image.open(path)
        colors = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(
            data.images.voc_palette()[data.readers.read_palette_mask(path)], colors
        )
    assert len(data.load("camvid", folder / "camvid")["test"]) == 20
