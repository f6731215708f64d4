"""Detection sets in the layout of PASCAL VOC: JPEGImages, Annotations, ImageSets/Main."""

import pathlib
import xml.etree.ElementTree
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxdl.data._archives import from_anywhere
from jaxdl.data._dataset import DataError, Dataset, DatasetDict, DatasetInfo
from jaxdl.data._files import read_bytes, read_text
from jaxdl.data._numbers import number
from jaxdl.data.readers._photos import open_image

_MOST_XML = 16 * 2**20  # bytes of an annotation


class _Objects(NamedTuple):
    """What an annotation file says, padding left out."""

    boxes: np.ndarray  # [M, 4]
    names: list[str]
    difficult: list[bool]
    degenerate: int
    clipped: int


@from_anywhere
def read_voc(
    folder: pathlib.Path,
    size: Sequence[int] = (240, 320),
    class_names: Sequence[str] | None = None,
) -> DatasetDict:
    """Reads images with their boxes.

    A pixel of VOC is a whole number from 1 and a box includes its last one: the box in shares of
    width and height is `(xmin - 1) / W, (ymin - 1) / H, xmax / W, ymax / H`.

    >>> from PIL import Image
    >>> for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
    ...     pathlib.Path("voc", folder).mkdir(parents=True)
    >>> Image.new("RGB", (20, 10)).save("voc/JPEGImages/a.jpg")
    >>> box = "<xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10</ymax>"
    >>> cat = f"<annotation><object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"
    >>> _ = pathlib.Path("voc/Annotations/a.xml").write_text(cat)
    >>> for name in ("train", "val"):
    ...     _ = pathlib.Path(f"voc/ImageSets/Main/{name}.txt").write_text("a")
    >>> read_voc("voc")["test"]["boxes"]  # the left half
    array([[[0. , 0. , 0.5, 1. ]]], dtype=float32)

    Args:
        folder: with the three folders, with one folder that has them, or their archive. They may be
            called `images` and `annotations`, images be JPEG or PNG, and the lists be missing.
        size: height and width that every image is stretched to; shares stay what they are.
        class_names: names of the classes 0, 1, ...; None takes those of the training images in
            alphabetical order.
    Returns: splits "train" and "test" from `trainval.txt` and `test.txt`, or from `train.txt` and
        `val.txt` where there is no `test.txt`, or (without `ImageSets/Main`) with a fifth of the
        images for testing, drawn once and for all; columns
        image       uint8 `[N, H, W, 3]`
        boxes       float32 `[N, M, 4]`, M the most objects in an image, 0 on padding
        classes     int32 `[N, M]`, -1 on padding
        difficult   bool `[N, M]`, as marked
        degenerate  int32 `[N]`, how many boxes without width or height were left out
        clipped     int32 `[N]`, how many boxes reached out of the image and were cut at its border
        Images without objects are kept.
    Raises: DataError naming the file where one is missing, is damaged, lacks a field, is of another
        size than its image, or has a class that is not among `class_names`.
    """
    if min(size) < 1:
        raise ValueError(f"size must be positive, got {tuple(size)}")
    folder = _with_annotations(folder)
    image_folder, annotations = _of_any(folder, IMAGES), _of_any(folder, ANNOTATIONS)
    stems = _splits(folder, annotations)
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    objects: dict[str, list[_Objects]] = {"train": [], "test": []}
    for split, names in stems.items():
        for name in names:  # one by one: originals of all at once would not fit
            image = open_image(_picture(image_folder, name))
            path = annotations / f"{name}.xml"
            objects[split].append(_read_objects(path, image.size))
            images[split].append(np.asarray(image.resize((size[1], size[0]))))
    if class_names is None:
        class_names = sorted({name for one in objects["train"] for name in one.names})
    most = max(1, *(len(one.names) for split in objects.values() for one in split))
    columns = {}
    for split, names in stems.items():
        paths = [annotations / f"{name}.xml" for name in names]
        columns[split] = Dataset(
            {"image": np.stack(images[split]), **_table(objects[split], paths, class_names, most)}
        )
    info = DatasetInfo(name="voc", source=str(folder), class_names=tuple(class_names))
    return DatasetDict(columns, info)


IMAGES = ("JPEGImages", "images", "Images")
ANNOTATIONS = ("Annotations", "annotations")


def _with_annotations(folder: pathlib.Path) -> pathlib.Path:
    inner = {path.parent for name in ANNOTATIONS for path in folder.glob(f"*/{name}")}
    if not any((folder / name).is_dir() for name in ANNOTATIONS) and len(inner) == 1:
        return inner.pop()
    return folder


def _of_any(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise DataError(
        f"{folder}: expected JPEGImages (or images) and Annotations (or annotations), no {names[0]}"
    )


def _picture(folder: pathlib.Path, name: str) -> pathlib.Path:
    for ending in (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG"):
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    return folder / f"{name}.jpg"  # which `open_image` will miss by name


def _splits(folder: pathlib.Path, annotations: pathlib.Path) -> dict[str, list[str]]:
    """Names of the images; without lists a fifth of them, drawn once, is for testing."""
    lists = folder / "ImageSets" / "Main"
    if not lists.is_dir():
        stems = sorted(path.stem for path in annotations.glob("*.xml"))
        if len(stems) < 2:
            raise DataError(f"{annotations}: expected two files .xml at least, found {len(stems)}")
        order = np.random.default_rng(0).permutation(len(stems))
        held = set(order[: max(1, len(stems) // 5)].tolist())
        return {
            "train": [stem for i, stem in enumerate(stems) if i not in held],
            "test": [stem for i, stem in enumerate(stems) if i in held],
        }
    held_out = "test" if (lists / "test.txt").is_file() else "val"
    training = "trainval" if held_out == "test" and (lists / "trainval.txt").is_file() else "train"
    names = {"train": training, "test": held_out}
    return {split: read_stems(lists / f"{name}.txt") for split, name in names.items()}


def read_stems(path: pathlib.Path) -> list[str]:
    """Names of images, the first word of each line."""
    if not path.exists():
        raise DataError(f"{path}: no such file; expected the names of the images, one a line")
    stems = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
    if not stems:
        raise DataError(f"{path}: expected the names of images, found none")
    for stem in stems:
        if pathlib.PurePath(stem).is_absolute() or ".." in stem.split("/"):
            raise DataError(f"{path}: {stem!r} would lie outside the folder of images")
    return stems


def _read_objects(path: pathlib.Path, size: tuple[int, int]) -> _Objects:
    """The objects of a file, for an image of width and height `size`."""
    try:
        root = xml.etree.ElementTree.fromstring(read_bytes(path, _MOST_XML))
    except DataError:
        raise
    except (xml.etree.ElementTree.ParseError, LookupError, ValueError) as error:  # an encoding
        raise DataError(f"{path}: not XML that can be read ({error})") from error
    if root.find("size") is not None:
        stated = tuple(int(_number(path, root, f"size/{side}")) for side in ("width", "height"))
        if 0 not in stated and stated != size:  # some tools write 0 for what they do not know
            raise DataError(f"{path}: says {stated} pixels, its image has {size}")
    boxes, names, difficult, degenerate, clipped = [], [], [], 0, 0
    for one in root.iter("object"):
        corners = ("xmin", "ymin", "xmax", "ymax")
        box = np.array([_number(path, one, f"bndbox/{corner}") for corner in corners])
        name = _text(path, one, "name")
        cut = np.clip(box, 0, [*size, *size])
        clipped += bool((cut != box).any())
        if (cut[2:] <= cut[:2]).any():
            degenerate += 1
            continue
        boxes.append(np.maximum(cut - [1, 1, 0, 0], 0) / [*size, *size])
        names.append(name)
        marked = one.find("difficult")
        difficult.append(marked is not None and (marked.text or "").strip() == "1")
    return _Objects(np.array(boxes).reshape(-1, 4), names, difficult, degenerate, clipped)


def _text(path: pathlib.Path, element: xml.etree.ElementTree.Element, field: str) -> str:
    found = element.find(field)
    if found is None or not (found.text or "").strip():
        raise DataError(f"{path}: an <{element.tag}> has no {field}")
    return (found.text or "").strip()


def _number(path: pathlib.Path, element: xml.etree.ElementTree.Element, field: str) -> float:
    text = _text(path, element, field)
    try:
        value = number(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(f"{path}: {field} is {text!r}, expected a number")
    return value


def _table(
    objects: Sequence[_Objects], paths: Sequence[pathlib.Path], names: Sequence[str], most: int
) -> dict[str, np.ndarray]:
    """The columns of a split, padded to `most` objects."""
    N = len(objects)
    columns: dict[str, np.ndarray] = {
        "boxes": np.zeros((N, most, 4), np.float32),
        "classes": np.full((N, most), -1, np.int32),
        "difficult": np.zeros((N, most), bool),
        "degenerate": np.array([one.degenerate for one in objects], np.int32),
        "clipped": np.array([one.clipped for one in objects], np.int32),
    }
    index = {name: k for k, name in enumerate(names)}
    for n, (one, path) in enumerate(zip(objects, paths, strict=True)):
        unknown = [name for name in one.names if name not in index]
        if unknown:
            raise DataError(f"{path}: the class {unknown[0]!r} is not among {', '.join(names)}")
        count = len(one.names)
        columns["boxes"][n, :count] = one.boxes
        columns["classes"][n, :count] = [index[name] for name in one.names]
        columns["difficult"][n, :count] = one.difficult
    return columns
