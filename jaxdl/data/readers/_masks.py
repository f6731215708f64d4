"""Images with a class for every pixel: palette files of PASCAL VOC, and the folders of CamVid."""

import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxdl.data._archives import from_anywhere
from jaxdl.data._dataset import DataError, Dataset, DatasetDict, DatasetInfo
from jaxdl.data.images._palettes import CAMVID, UNLABELED, VOC, voc_palette
from jaxdl.data.readers._photos import open_image
from jaxdl.data.readers._voc import read_stems


def read_palette_mask(path: str | pathlib.Path) -> np.ndarray:
    """Reads class indices `[H, W]` uint8 from a palette or gray PNG, or from VOC's colors.

    >>> from PIL import Image
    >>> Image.new("RGB", (2, 1), (0, 128, 0)).save("bicycle.png")
    >>> read_palette_mask("bicycle.png")
    array([[2, 2]], dtype=uint8)

    Raises: DataError if it is no image, or has a color that is not in VOC's palette.
    """
    image = open_image(path, None)
    if image.mode in ("P", "L"):
        return np.asarray(image)
    colors = np.asarray(image.convert("RGB")).astype(np.int64)
    index = _index_of_color()[colors @ [1 << 16, 1 << 8, 1]]
    if (index < 0).any():
        wrong = tuple(colors[index < 0][0].tolist())
        raise DataError(f"{path}: the color {wrong} is not in the palette of VOC")
    return index.astype(np.uint8)


@functools.cache
def _index_of_color() -> np.ndarray:
    table = np.full(1 << 24, -1, np.int16)
    table[voc_palette().astype(np.int64) @ [1 << 16, 1 << 8, 1]] = np.arange(256)
    return table


@from_anywhere
def read_camvid(folder: pathlib.Path, size: Sequence[int] | None = None) -> DatasetDict:
    """Reads `{train,val}/X.png` with classes in `{train,val}annot/X.png`, 0 to 10 and 11 for void.

    >>> from PIL import Image
    >>> for name in ("train", "val"):
    ...     for folder, mode in ((name, "RGB"), (f"{name}annot", "L")):
    ...         pathlib.Path("camvid", folder).mkdir(parents=True)
    ...         Image.new(mode, (3, 1), 8).save(f"camvid/{folder}/1.png")
    >>> train = read_camvid("camvid")["train"]
    >>> train["image"].shape, train["segmentation"]  # class 8 is "car"
    ((1, 1, 3, 3), array([[[8, 8, 8]]], dtype=uint8))

    Args:
        folder: of the four (or with `test` and `testannot` six) folders.
        size: height and width to bring images (smoothed) and classes (nearest) to; None keeps them.
    Returns: splits "train", "test" (from `val`) and, where there is one, "held_out" (from `test`):
        "image" uint8 `[N, H, W, 3]` and "segmentation" uint8 `[N, H, W]`, void as 255.
    Raises: DataError if a file is missing, is no image, differs in size, or has other classes.
    """
    folders = {"train": "train", "test": "val", "held_out": "test"}
    if not (folder / "test").is_dir():
        del folders["held_out"]
    splits = {}
    for split, name in folders.items():
        paths = sorted((folder / name).glob("*.png"))
        if not paths:
            raise DataError(f"{folder / name}: expected images .png, found none")
        pairs = [_read_pair(path, folder / f"{name}annot" / path.name, size) for path in paths]
        shapes = {image.shape for image, _ in pairs}
        if len(shapes) > 1:
            raise DataError(f"{folder / name}: images of several sizes {sorted(shapes)}: give size")
        images, classes = zip(*pairs, strict=True)
        splits[split] = Dataset({"image": np.stack(images), "segmentation": np.stack(classes)})
    return DatasetDict(splits, DatasetInfo(name="camvid", source=str(folder), class_names=CAMVID))


def _read_pair(
    image_path: pathlib.Path, mask_path: pathlib.Path, size: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    image, mask = open_image(image_path), open_image(mask_path, None)
    if image.size != mask.size:
        raise DataError(f"{mask_path}: {mask.size} pixels for an image of {image.size}")
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        mask = mask.resize((size[1], size[0]), Image.Resampling.NEAREST)
    classes = np.asarray(mask)
    if classes.ndim != 2 or classes.max() > len(CAMVID):
        raise DataError(f"{mask_path}: expected classes 0 to {len(CAMVID)}, found others")
    return np.asarray(image), np.where(classes == len(CAMVID), UNLABELED, classes).astype(np.uint8)


@from_anywhere
def read_voc_masks(folder: pathlib.Path, size: Sequence[int] = (320, 320)) -> DatasetDict:
    """Reads `JPEGImages/X.jpg` with classes in `SegmentationClass/X.png`, 0 background to 20.

    >>> from PIL import Image
    >>> for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
    ...     pathlib.Path("masks", folder).mkdir(parents=True)
    >>> Image.new("RGB", (4, 2)).save("masks/JPEGImages/a.jpg")
    >>> Image.new("L", (4, 2), 15).save("masks/SegmentationClass/a.png")  # 15 is "person"
    >>> for name in ("train", "val"):
    ...     _ = pathlib.Path(f"masks/ImageSets/Segmentation/{name}.txt").write_text("a")
    >>> read_voc_masks("masks", size=(2, 2))["test"]["segmentation"]
    array([[[ 15,  15],
            [255, 255]]], dtype=uint8)

    Args:
        folder: VOC's, with `ImageSets/Segmentation/{train,val}.txt` that list the names.
        size: height and width; an image that is larger is shrunk to fit, with its aspect, and what
            is left at the bottom and right is void (nothing is cut off or dropped).
    Returns: splits "train" and "test" (from `val`): "image" uint8 `[N, H, W, 3]`, 0 where there is
        none, and "segmentation" uint8 `[N, H, W]`, void as 255.
    Raises: DataError if a file is missing, is no image, differs in size, or has other classes.
    """
    splits = {}
    for split, name in (("train", "train"), ("test", "val")):
        path = folder / "ImageSets" / "Segmentation" / f"{name}.txt"
        stems = read_stems(path)
        pairs = [_read_voc_pair(folder, stem, size) for stem in stems]
        images, classes = zip(*pairs, strict=True)
        splits[split] = Dataset({"image": np.stack(images), "segmentation": np.stack(classes)})
    return DatasetDict(splits, DatasetInfo(name="voc_masks", source=str(folder), class_names=VOC))


def _read_voc_pair(
    folder: pathlib.Path, stem: str, size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    image = open_image(folder / "JPEGImages" / f"{stem}.jpg")
    path = folder / "SegmentationClass" / f"{stem}.png"
    classes = read_palette_mask(path)
    if classes.shape != image.size[::-1]:
        raise DataError(f"{path}: {classes.shape[::-1]} pixels for an image of {image.size}")
    if ((classes >= len(VOC)) & (classes != UNLABELED)).any():
        raise DataError(f"{path}: expected classes 0 to {len(VOC) - 1} and 255, found others")
    share = min(1.0, size[0] / image.height, size[1] / image.width)
    fitted = (max(1, int(image.width * share)), max(1, int(image.height * share)))
    mask = Image.fromarray(classes).resize(fitted, Image.Resampling.NEAREST)
    pixels, labels = np.zeros((*size, 3), np.uint8), np.full(tuple(size), UNLABELED, np.uint8)
    shrunk = image.resize(fitted, Image.Resampling.BILINEAR)
    pixels[: fitted[1], : fitted[0]] = np.asarray(shrunk)
    labels[: fitted[1], : fitted[0]] = np.asarray(mask)
    return pixels, labels
