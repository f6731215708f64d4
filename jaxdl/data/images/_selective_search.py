"""Proposals for detectors by OpenCV's selective search, on the host."""

import numpy as np


def selective_search(
    images: np.ndarray, num_proposals: int = 200, *, quality: bool = False, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Proposals by OpenCV's selective search, on the host; the first ones are the largest groups.

    >>> images = np.zeros((1, 64, 64, 3), np.uint8)
    >>> images[:, 16:48, 16:48] = 255
    >>> boxes, mask = selective_search(images, num_proposals=20)
    >>> boxes.shape, bool(np.any(np.all(np.abs(boxes - [0.25, 0.25, 0.75, 0.75]) < 0.1, axis=-1)))
    ((1, 20, 4), True)

    Args:
        images: uint8 `[B, H, W, 3]`.
        num_proposals: R; most images have several hundred.
        quality: several times as many from more color spaces, and several times as slow.
        seed: of OpenCV's generator, which shuffles the order.
    Returns: boxes float32 `[B, R, 4]` in shares of the image, 0 on padding, and the mask `[B, R]`.
    Raises: ImportError that says how to get OpenCV's extra modules; ValueError for other images.
    Reference: Uijlings et al. 2013, Selective search for object recognition.
    """
    try:
        import cv2

        create = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "selective search needs OpenCV's extra modules: pip install 'jaxdl[proposals]'"
        ) from error
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"need images uint8 [B, H, W, 3], got {images.dtype} {images.shape}")
    H, W = images.shape[1:3]
    boxes = np.zeros((len(images), num_proposals, 4), np.float32)
    mask = np.zeros((len(images), num_proposals), bool)
    cv2.setRNGSeed(seed)
    for n, image in enumerate(images):
        search = create()
        search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
        search.switchToSelectiveSearchQuality() if quality else search.switchToSelectiveSearchFast()
        found = np.asarray(search.process()).reshape(-1, 4)[:num_proposals]  # x, y, w, h
        corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=-1)
        boxes[n, : len(found)] = corners / [W, H, W, H]
        mask[n, : len(found)] = True
    return boxes, mask
