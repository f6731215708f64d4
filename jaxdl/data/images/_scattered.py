"""Digits scattered over photographs: an embedded set for detection and for segmentation.

    splits = data.load("scattered_digits")                  # 4,000 and 500 images of 128x128
    split = data.images.scatter_digits(100, split="test", size=(64, 96), seed=1)

Image i is a function of `(seed, split, i)` alone. Handwritten digits of scikit-learn in many sizes
and colors lie over crops of its two photographs, the smaller above the larger. The test split has
the held-out digits of the "digits" data set, and the right quarter of each photograph, which the
training split never shows.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from jaxdl.data._builders import DIGITS, Builder
from jaxdl.data._dataset import Dataset
from jaxdl.data.images._palettes import UNLABELED

_INK, _EDGE = 128, 64  # of 255: a pixel is ink from the first, and of no class between the two
_SPLITS = ("train", "test")


def scatter_digits(
    num_examples: int,
    *,
    split: Literal["train", "test"] = "train",
    size: Sequence[int] = (128, 128),
    seed: int = 0,
    start: int = 0,
    max_objects: int = 8,
    scale: tuple[float, float] = (0.2, 0.5),
    max_iou: float = 0.25,
) -> Dataset:
    """Draws images `start .. start + num_examples` of an endless set.

    >>> split = scatter_digits(2, size=(32, 48), max_objects=3)
    >>> split["image"].shape, split["boxes"].shape, split["segmentation"].shape
    ((2, 32, 48, 3), (2, 3, 4), (2, 32, 48))

    Args:
        num_examples: N.
        split: whose digits and photographs.
        size: height and width of an image.
        seed: of the whole set.
        start: the first image.
        max_objects: M; an image gets 1 to M digits, fewer where there is no room.
        scale: the side of a digit's tile, uniform between these shares of the shorter side.
        max_iou: two boxes overlap by at most this.
    Returns: columns
        image         uint8 `[N, H, W, 3]`
        boxes         float32 `[N, M, 4]`, x1, y1, x2, y2 as shares of width and height, around
                      the ink, also where another digit covers it; 0 on padding
        classes       int32 `[N, M]`, the digit, -1 on padding
        segmentation  uint8 `[N, H, W]`, 0 background, digit + 1 on ink, 255 where ink fades out
    Raises: ValueError for an option out of range.
    """
    if num_examples < 1 or start < 0 or max_objects < 1 or split not in _SPLITS:
        raise ValueError(
            "need num_examples and max_objects >= 1, start >= 0 and split 'train' or 'test', got "
            f"{num_examples}, {max_objects}, {start} and {split!r}"
        )
    if min(size) < 32 or not 0.05 <= scale[0] <= scale[1] <= 0.9 or not 0 <= max_iou <= 1:
        raise ValueError(
            "need sides of at least 32, scale rising within 0.05..0.9 and max_iou in 0..1, got "
            f"{tuple(size)}, {scale} and {max_iou}"
        )
    H, W = size
    columns: dict[str, np.ndarray] = {
        "image": np.zeros((num_examples, H, W, 3), np.uint8),
        "boxes": np.zeros((num_examples, max_objects, 4), np.float32),
        "classes": np.full((num_examples, max_objects), -1, np.int32),
        "segmentation": np.zeros((num_examples, H, W), np.uint8),
    }
    for n in range(num_examples):
        rng = np.random.default_rng((seed, _SPLITS.index(split), start + n))
        image, labels = columns["image"][n], columns["segmentation"][n]
        image[:] = _background(rng, split, H, W)
        sides = rng.uniform(*scale, size=rng.integers(1, max_objects + 1)) * min(H, W)
        placed: list[np.ndarray] = []
        for side in sorted(sides, reverse=True):
            found = _place(rng, split, side, (H, W), placed, max_iou)
            if found is not None:
                tile, digit, top, left, box = found
                _paint(rng, tile, digit, image[top:, left:], labels[top:, left:])
                columns["boxes"][n, len(placed)] = box / [W, H, W, H]
                columns["classes"][n, len(placed)] = digit
                placed.append(box)
    return Dataset(columns)


@functools.cache
def _sources(split: str) -> tuple[Dataset, list[Any]]:
    """Digits, and the photographs' part, of a split."""
    import sklearn.datasets
    from PIL import Image

    photos = []
    for pixels in sklearn.datasets.load_sample_images().images:
        cut = pixels.shape[1] * 3 // 4
        photos.append(Image.fromarray(pixels[:, :cut] if split == "train" else pixels[:, cut:]))
    return DIGITS.make_splits(None)[split], photos


def _background(rng: np.random.Generator, split: str, H: int, W: int) -> np.ndarray:
    """A random part of a photograph, of the image's shape, shrunk or enlarged to it."""
    from PIL import Image

    _, photos = _sources(split)
    photo = photos[rng.integers(len(photos))]
    largest = min(photo.width / W, photo.height / H)
    zoom = largest * rng.uniform(0.3, 1.0)
    left, top = rng.uniform(0, 1, 2) * [photo.width - zoom * W, photo.height - zoom * H]
    part = (left, top, left + zoom * W, top + zoom * H)
    return np.asarray(photo.resize((W, H), Image.Resampling.BILINEAR, part))


def _place(
    rng: np.random.Generator, split: str, side: float, size: tuple, placed: list, max_iou: float
) -> tuple[np.ndarray, int, int, int, np.ndarray] | None:
    """A digit's tile, its class, corner and box in pixels; None where twenty places were taken."""
    from PIL import Image

    digits, _ = _sources(split)
    row = rng.integers(len(digits))
    shape = (max(8, round(side * rng.uniform(0.8, 1.1))), max(8, round(side)))  # width, height
    glyph = Image.fromarray(np.pad(digits["image"][row, :, :, 0], 1))  # they fill their 8x8
    tile = np.asarray(glyph.resize(shape, Image.Resampling.BICUBIC))
    rows, columns = (np.flatnonzero((tile >= _INK).any(axis)) for axis in (1, 0))
    extent = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    for _ in range(20):
        top, left = (
            rng.integers(0, room - n + 1) for room, n in zip(size, tile.shape, strict=True)
        )
        box = extent + [left, top, left, top]
        if all(_iou(box, other) <= max_iou for other in placed):
            return tile, int(digits["label"][row]), top, left, box
    return None


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    both = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
    return width * height / (both - width * height)


def _paint(
    rng: np.random.Generator, tile: np.ndarray, digit: int, image: np.ndarray, labels: np.ndarray
) -> None:
    """Lays a digit over the corner of image and labels, light on dark ground or dark on light."""
    h, w = tile.shape
    image, labels = image[:h, :w], labels[:h, :w]
    color = rng.uniform(0, 80, 3) if image.mean() > 120 else rng.uniform(175, 255, 3)
    ink = np.clip((tile[..., None] - float(_EDGE)) / (255 - 2 * _EDGE), 0, 1)
    image[:] = np.rint(image * (1 - ink) + color * ink)
    labels[:] = np.where(tile >= _INK, digit + 1, np.where(tile >= _EDGE, UNLABELED, labels))


def _scattered(downloads: Any) -> dict[str, Dataset]:
    return {
        "train": scatter_digits(4000, split="train"),
        "test": scatter_digits(500, split="test"),
    }


SCATTERED_DIGITS = Builder(
    name="scattered_digits",
    features={
        "image": ((128, 128, 3), np.uint8),
        "boxes": ((8, 4), np.float32),
        "classes": ((8,), np.int32),
        "segmentation": ((128, 128), np.uint8),
    },
    make_splits=_scattered,
    class_names=tuple("0123456789"),
)
