"""Every reader takes a folder, a folder below, an archive, or a folder that holds one."""

import inspect
import pathlib
import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxdl import data
from jaxdl.data import _archives


def idx(folder):
    image = bytes.fromhex("00000803 00000001 00000002 00000002 00408000")
    for name in ("train", "t10k"):
        (folder / f"{name}-images-idx3-ubyte").write_bytes(image)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(bytes.fromhex("00000801 00000001 05"))


def cifar(folder):
    for name in ("data_batch_1.bin", "test_batch.bin"):
        np.array([3] + 3072 * [128], np.uint8).tofile(folder / name)


def classes(folder):
    for name in ("train/ants", "train/bees", "val/ants", "val/bees"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(folder / name / "1.png")


def camvid(folder):
    for name in ("train", "val"):
        for part, mode in ((name, "RGB"), (f"{name}annot", "L")):
            (folder / part).mkdir()
            Image.new(mode, (3, 1), 8).save(folder / part / "1.png")


def masks(folder):
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (4, 2)).save(folder / "JPEGImages" / "a.jpg")
    Image.new("L", (4, 2), 15).save(folder / "SegmentationClass" / "a.png")
    for name in ("train", "val"):
        (folder / f"ImageSets/Segmentation/{name}.txt").write_text("a")


def voc(folder, images="JPEGImages", annotations="Annotations", ending="jpg", lists=True):
    for name in (images, annotations):
        (folder / name).mkdir()
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10</ymax>"
    cat = f"<annotation><object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>"
    for stem in "abcdefghij":
        Image.new("RGB", (20, 10)).save(folder / images / f"{stem}.{ending}")
        (folder / annotations / f"{stem}.xml").write_text(cat)
    if lists:
        (folder / "ImageSets/Main").mkdir(parents=True)
        (folder / "ImageSets/Main/train.txt").write_text("a\nb\n")
        (folder / "ImageSets/Main/val.txt").write_text("c\n")


def reviews(folder):
    for name in ("train/neg", "train/pos", "test/neg", "test/pos"):
        (folder / name).mkdir(parents=True)
        (folder / name / "0_5.txt").write_text(name)


def text(name, content):
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


ECG = "  1.0" + "  0.5" * 140 + "\n"
FACES = "long_hair,Male\n" + "1,0\n0,1\n" * 5
SETS = {
    "mnist": idx,
    "fashion_mnist": idx,
    "cifar10": cifar,
    "hymenoptera": classes,
    "camvid": camvid,
    "voc_masks": masks,
    "voc": voc,
    "imdb": reviews,
    "airfoil": text("airfoil_self_noise.dat", "800\t0\t0.3\t71\t0.002\t126\r\n" * 10),
    "face_attributes": text("gender_classification_v7.csv", FACES),
    "sms_spam": text("SMSSpamCollection", "ham\thi\nspam\twin\n" * 5),
    "house_prices": text("train.csv", "Id,Alley,Area,SalePrice\n" + "1,NA,5,100\n" * 5),
    "ecg5000": text("ECG5000_TRAIN.txt", ECG * 5),
    "text": text("a.txt", "one\n" * 9 + "two\n"),
    "ptb": lambda folder: [
        text(f"ptb.{part}.txt", f"a text to {part}\n" * 3)(folder)
        for part in ("train", "valid", "test")
    ],
    "tatoeba": text("fra.txt", "".join(f"Go {i}.\tVa {i} !\n" for i in range(10))),
    "movielens": text("u.data", "7\t50\t4\t881250949\n9\t50\t3\t881250950\n"),
}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDL_CACHE", str(tmp_path / "cache"))


def pack(folder: pathlib.Path, kind: str, target: pathlib.Path) -> pathlib.Path:
    """The folder, with a folder of its own around its files, as an archive."""
    archive = target / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, pathlib.Path("inner") / path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(folder, "inner")
    return archive


def lengths(splits):
    return {name: len(split) for name, split in splits.items()}


def test_every_source_of_files_is_here():
    assert set(SETS) == {name for name, source in data.SOURCES.items() if source.read}


def check_columns(name, splits):
    """What the table promises of a kind."""
    kind = data.SOURCES[name].kind
    assert set(splits) >= ({"ratings", "items"} if kind == "ratings" else {"train", "test"})
    for split in [splits["ratings"]] if kind == "ratings" else splits.values():
        assert set(split.columns) >= set(data.COLUMNS[kind])
        assert kind != "table" or len({"label", "target"} & set(split.columns)) == 1


EMBEDDED = [name for name, source in data.SOURCES.items() if source.embedded]


@pytest.mark.parametrize("name", [name for name in EMBEDDED if name != "scattered_digits"])
def test_every_embedded_source_has_the_columns_of_its_kind(name, monkeypatch):
    monkeypatch.delenv("JAXDL_CACHE")
    splits = data.load(name)
    check_columns(name, splits)
    sizes = re.match(r"([\d,]+)(?: \+ ([\d,]+))? ", data.SOURCES[name].size)
    if sizes is not None:  # of some length in each version of Python
        promised = sum(int(size.replace(",", "")) for size in sizes.groups() if size)
        assert sum(len(split) for key, split in splits.items() if key != "items") == promised


def test_the_table_says_what_each_is_and_where_to_get_it():
    for name, source in data.SOURCES.items():
        assert source.make or source.read, name
        assert all((source.about, source.size, source.where)), name
        assert source.kind in data.COLUMNS, name
        assert not source.limits or "limit" in inspect.signature(source.read).parameters, name


@pytest.mark.parametrize("name", SETS)
def test_every_source_takes_a_folder_and_its_archive(name, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    SETS[name](plain)
    splits = data.load(name, plain)
    check_columns(name, splits)
    want = lengths(splits)
    for kind in ("zip", "tar.gz"):
        holder = tmp_path / kind
        holder.mkdir()
        archive = pack(plain, kind, holder)
        assert lengths(data.load(name, archive)) == want
        assert lengths(data.load(name, holder)) == want
    below = tmp_path / "below" / "one"
    shutil.copytree(plain, below)
    assert lengths(data.load(name, below.parent)) == want


def test_what_is_no_archive_or_holds_nothing_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"nothing of the kind")
    with pytest.raises(data.DataError, match=r"a\.zip: expected a zip or tar archive"):
        data.load("mnist", tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr("readme", "no images")
    with pytest.raises(data.DataError, match="expected train-images"):
        data.load("mnist", tmp_path / "b.zip")
    with pytest.raises(data.DataError, match="no such folder or archive"):
        data.load("mnist", tmp_path / "nowhere.zip")


def test_an_archive_writes_nowhere_else_and_is_unpacked_once(tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as file:
        file.add(__file__, "../outside.py")
    with pytest.raises(data.DataError, match="expected a zip or tar archive"):
        _archives.unpacked(tmp_path / "evil.tar")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../../outside.txt", "x")
    folder = _archives.unpacked(tmp_path / "evil.zip")
    assert _archives.unpacked(tmp_path / "evil.zip") == folder
    written = [path for path in tmp_path.rglob("outside*") if folder not in path.parents]
    assert written == []


@pytest.mark.parametrize("ending", ["jpg", "png", "JPG"])
def test_boxes_in_images_and_annotations(ending, tmp_path):
    """Without lists a fifth of the images is held out, the same at every reading."""
    voc(tmp_path, "images", "annotations", ending.lower(), lists=False)
    if ending == "JPG":
        for path in (tmp_path / "images").iterdir():
            path.rename(path.with_suffix(".JPG"))
    splits = data.readers.read_voc(tmp_path)
    assert lengths(splits) == {"train": 8, "test": 2}
    np.testing.assert_array_equal(splits["test"]["boxes"][:, 0], [[0, 0, 0.5, 1]] * 2)
    assert splits.info.class_names == ("cat",)
    (tmp_path / "images").rename(tmp_path / "pictures")
    with pytest.raises(data.DataError, match=r"expected JPEGImages \(or images\)"):
        data.readers.read_voc(tmp_path)


def test_labels_out_of_range_are_named_with_the_number_of_classes():
    data.check_labels(np.array([[0, 255], [1, 2]]), 3, ignore=255)
    with pytest.raises(data.DataError, match=r"val: .* 0 to 2 \(3 classes\), found -1 in row 1"):
        data.check_labels(np.array([0, -1]), 3, what="val")
    with pytest.raises(data.DataError, match=r"found 255 in row 0$"):
        data.check_labels(np.array([[0, 255], [1, 2]]), 3)
    with pytest.raises(ValueError, match="labels must be integers, got float64"):
        data.check_labels([0.5], 3)
    assert data.majority_share([2, 2, 1], [2, 1, 2, 0]) == 0.5
