"""Color images in their original files: CIFAR-10's binary batches, and one folder a class."""

import pathlib
import warnings
from typing import Any

import numpy as np

from jaxdl.data._archives import from_anywhere
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import DAMAGE, check_file, read_bytes

CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none that starts a program
_MOST_PIXELS = 89_478_485  # where Pillow begins to warn: 256 MiB of them in three bytes each
_RECORD = 1 + 3 * 32 * 32  # a label, then 1,024 bytes each of red, green and blue


@from_anywhere
def read_cifar10(folder: pathlib.Path) -> dict[str, Dataset]:
    """Reads `data_batch_*.bin` and `test_batch.bin`: "image" `[N, 32, 32, 3]` uint8, "label" `[N]`.

    They may lie in `cifar-10-batches-bin` below the folder; fewer training batches will do.

    >>> gray_cat = np.array([3] + 3072 * [128], np.uint8)
    >>> for name in ("data_batch_1.bin", "test_batch.bin"):
    ...     gray_cat.tofile(name)
    >>> train = read_cifar10(".")["train"]
    >>> train["image"].shape, train["label"]
    ((1, 32, 32, 3), array([3], dtype=int32))

    Raises: DataError if there are none, or one is not whole records with labels 0 to 9.
    """
    inner = folder / "cifar-10-batches-bin"
    folder = inner if inner.is_dir() else folder
    train = sorted(folder.glob("data_batch_*.bin"))
    test = folder / "test_batch.bin"
    if not train or not test.is_file():
        raise DataError(f"{folder}: expected data_batch_1.bin ... and test_batch.bin")
    return {"train": _read_batches(train), "test": _read_batches([test])}


def _read_batches(paths: list[pathlib.Path]) -> Dataset:
    records = []
    for path in paths:
        data = np.frombuffer(read_bytes(path), np.uint8)
        if not len(data) or len(data) % _RECORD:
            raise DataError(f"{path}: expected records of {_RECORD} bytes, found {len(data)} bytes")
        records.append(data.reshape(-1, _RECORD))
        if records[-1][:, 0].max() > 9:
            raise DataError(f"{path}: expected labels 0 to 9, found {records[-1][:, 0].max()}")
    table = np.concatenate(records)
    images = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Dataset({"image": np.ascontiguousarray(images), "label": table[:, 0].astype(np.int32)})


@from_anywhere
def read_image_folders(folder: pathlib.Path, size: int = 224) -> dict[str, Dataset]:
    """Reads `{train,val}/CLASS/*.{jpg,png}`: "image" `[N, size, size, 3]` uint8, "label" `[N]`.

    The shorter side becomes `size * 8 / 7` pixels, as usual, and the center is cut out. Labels
    count the class folders of `train` in alphabetical order; `val` (or `test`) becomes "test".

    >>> from PIL import Image
    >>> for folder in ("train/ants", "train/bees", "val/ants", "val/bees"):
    ...     pathlib.Path("insects", folder).mkdir(parents=True)
    ...     Image.new("RGB", (40, 30)).save(f"insects/{folder}/1.png")
    >>> train = read_image_folders("insects", size=28)["train"]
    >>> train["image"].shape, train["label"]
    ((2, 28, 28, 3), array([0, 1], dtype=int32))

    Raises: DataError if folders are missing, classes differ, or an image cannot be read.
    """
    held_out = folder / "val" if (folder / "val").is_dir() else folder / "test"
    classes = _classes(folder / "train")
    if _classes(held_out) != classes:
        raise DataError(f"{held_out}: expected the classes {classes}, found {_classes(held_out)}")
    return {
        "train": _read_classes(folder / "train", classes, size),
        "test": _read_classes(held_out, classes, size),
    }


def _classes(folder: pathlib.Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected train/CLASS/... and val/CLASS/...")
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _read_classes(folder: pathlib.Path, classes: list[str], size: int) -> Dataset:
    images, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                images.append(_read_image(path, size))
                labels.append(label)
    if not images:
        raise DataError(f"{folder}: no .jpg or .png in the class folders {classes}")
    return Dataset({"image": np.stack(images), "label": np.asarray(labels, np.int32)})


def open_image(path: str | pathlib.Path, mode: str | None = "RGB") -> Any:
    """The image of a file as Pillow has it, in a mode of its own or (None) of the file.

    >>> from PIL import Image
    >>> Image.new("L", (2, 1), 200).save("gray.png")
    >>> np.asarray(open_image("gray.png")).shape, np.asarray(open_image("gray.png", None))
    ((1, 2, 3), array([[200, 200]], dtype=uint8))

    Raises: DataError if it is not there, is no image (JPEG, PNG, BMP, GIF, PPM, TIFF, WebP), or has
        more than 89 million pixels.
    """
    from PIL import Image

    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below
            file = Image.open(path, formats=_FORMATS)
        with file:
            if file.width * file.height > _MOST_PIXELS:
                raise ValueError(f"{file.width}x{file.height} are more than {_MOST_PIXELS} pixels")
            return file.copy() if mode is None else file.convert(mode)
    except (Image.DecompressionBombError, SyntaxError, *DAMAGE) as error:
        reason = str(error).replace(f" {str(path)!r}", "")
        raise DataError(f"{path}: not an image that can be read ({reason})") from error


def _read_image(path: pathlib.Path, size: int) -> np.ndarray:
    from PIL import Image

    image = open_image(path)
    scale = size * 8 / 7 / min(image.size)
    width, height = (max(size, round(n * scale)) for n in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    # Only what is kept is enlarged: a strip of 60,000x1 pixels would not fit into memory.
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
