"""The IDX format of MNIST and its kin: a magic number, big-endian sizes, unsigned bytes.

Reference: http://yann.lecun.com/exdb/mnist, "file formats for the MNIST database".
"""

import math
import pathlib
import struct

import numpy as np

from jaxdl.data._archives import from_anywhere
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import check_file, most_unpacked, opened

_MOST_AXES = 8
FILES = {
    "train": ("train-images", "train-labels"),
    "test": ("t10k-images", "t10k-labels"),
}


def read_idx(path: str | pathlib.Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, gzipped or not.

    >>> _ = pathlib.Path("a.idx").write_bytes(bytes.fromhex("00000802 00000001 00000003 070809"))
    >>> read_idx("a.idx")
    array([[7, 8, 9]], dtype=uint8)

    Raises: DataError that names the file, what was expected and what was found.
    """
    most = most_unpacked(check_file(path))
    with opened(path) as file:
        start = file.read(4)
        if len(start) < 4:
            raise DataError(
                f"{path}: expected an IDX header of at least 4 bytes, found {len(start)}"
            )
        zero, kind, rank = struct.unpack(">HBB", start)
        if zero != 0 or kind != 8 or not 0 < rank <= _MOST_AXES:
            raise DataError(
                f"{path}: expected the magic number 0x0000080R of IDX unsigned bytes, "
                f"found 0x{start.hex()}"
            )
        sizes = file.read(4 * rank)
        if len(sizes) < 4 * rank:
            found = 4 + len(sizes)
            raise DataError(
                f"{path}: expected an IDX header of {4 + 4 * rank} bytes, found {found}"
            )
        shape = struct.unpack(f">{rank}I", sizes)
        size = math.prod(shape)
        if size > most:
            raise DataError(f"{path}: the header {shape} promises {size} bytes of data, not there")
        data = file.read(size)
        surplus = bool(file.read(1))
    if len(data) != size or surplus:
        found_text = f"more than {size}" if surplus else f"{len(data)}"
        raise DataError(
            f"{path}: the header {shape} promises {size} bytes of data, found {found_text}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


@from_anywhere
def read_mnist(folder: pathlib.Path) -> dict[str, Dataset]:
    """Reads MNIST's four files: "image" `[N, 28, 28, 1]` uint8, "label" `[N]` int32.

    >>> image = bytes.fromhex("00000803 00000001 00000002 00000002 00408000")  # one of 2x2
    >>> for name in ("train", "t10k"):
    ...     _ = pathlib.Path(f"{name}-images-idx3-ubyte").write_bytes(image)
    ...     label = pathlib.Path(f"{name}-labels-idx1-ubyte")
    ...     _ = label.write_bytes(bytes.fromhex("00000801 00000001 05"))
    >>> test = read_mnist(".")["test"]
    >>> test["image"].shape, test["label"]
    ((1, 2, 2, 1), array([5], dtype=int32))

    Raises: DataError if a file is missing or damaged, or labels are more or fewer than images.
    """
    return {
        split: pair_idx(_find(folder, images, 3), _find(folder, labels, 1))
        for split, (images, labels) in FILES.items()
    }


def pair_idx(image_file: pathlib.Path, label_file: pathlib.Path) -> Dataset:
    """Joins an image and a label file, with the checks that either alone cannot make."""
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim != 3:
        raise DataError(f"{image_file}: expected images of rank 3, found the shape {images.shape}")
    if labels.ndim != 1:
        raise DataError(f"{label_file}: expected labels of rank 1, found the shape {labels.shape}")
    if len(images) != len(labels):
        raise DataError(
            f"{label_file}: expected {len(images)} labels, as {image_file.name} has, "
            f"found {len(labels)}"
        )
    return Dataset({"image": images[..., None], "label": labels.astype(np.int32)})


def _find(folder: pathlib.Path, stem: str, rank: int) -> pathlib.Path:
    # Both spellings are in circulation, packed and unpacked.
    names = [f"{stem}{mark}idx{rank}-ubyte{end}" for mark in "-." for end in (".gz", "")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: expected {names[0]} (or without .gz), found no such file")
