"""Classes and colors of segmentations: PASCAL VOC and CamVid."""

import numpy as np

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)


VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant"),
    *("sheep", "sofa", "train", "tv monitor"),
)


UNLABELED = 255  # of a segmentation: a pixel without a class, which losses and metrics ignore


def voc_palette(num_colors: int = 256) -> np.ndarray:
    """The colors `[K, 3]` uint8 of VOC's class indices.

    Bits 0, 1, 2 of the index are the highest bits of red, green, blue, bits 3, 4, 5 the next, ...

    >>> voc_palette(3)
    array([[  0,   0,   0],
           [128,   0,   0],
           [  0, 128,   0]], dtype=uint8)

    Raises: ValueError if `num_colors` is not in 1..256.
    """
    if not 1 <= num_colors <= 256:
        raise ValueError(f"num_colors must lie in 1..256, got {num_colors}")
    index = np.arange(num_colors)[:, None]
    color = np.zeros((num_colors, 3), np.int64)
    for place in range(8):
        color |= ((index >> (3 * place + np.arange(3))) & 1) << (7 - place)
    return color.astype(np.uint8)
