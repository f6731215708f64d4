"""Images side by side: kernels, feature maps, examples, the steps of a method."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def tiles(images: ArrayLike, *, signed: bool = False) -> Any:
    """Draws images `[N, H, W]` or `[N, H, W, 3]` in a square of rows and columns.

    >>> figure = tiles(np.zeros((5, 8, 8)))
    >>> len(figure.axes), sum(bool(axes.images) for axes in figure.axes)  # two rows of three
    (6, 5)

    Args:
        images: gray ones each between its own extremes; colors in 0..1 or uint8.
        signed: blue below zero, white at zero, red above, on one scale for all.
    Raises: ValueError if there are no images, or they are of another rank.
    """
    from matplotlib.figure import Figure

    images = np.asarray(images)
    if images.ndim not in (3, 4) or not len(images):
        raise ValueError(f"tiles needs images [N, H, W] or [N, H, W, 3], got {images.shape}")
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(0.9 * columns, 0.9 * rows), layout="constrained")
    most = float(np.abs(images).max()) or 1.0
    style = {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if signed else {"cmap": "gray"}
    for number in range(rows * columns):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set_axis_off()
        if number < len(images):
            axes.imshow(images[number], interpolation="nearest", **style)
    return figure


def gallery(images: Mapping[str, ArrayLike], *, columns: int = 4) -> Any:
    """Draws images `[H, W]`, `[H, W, 1]` or `[H, W, 3]` in rows, each under its name.

    Gray ones run between their own extremes; colors are uint8, or floats in 0..1 (else clipped).

    >>> figure = gallery({"input": np.zeros((8, 8)), "edges": np.ones((8, 8))}, columns=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['input', 'edges']

    Raises: ValueError if there are no images.
    """
    from matplotlib.figure import Figure

    if not images:
        raise ValueError("gallery needs at least one image")
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(3 * columns, 2.6 * rows), layout="constrained")
    for number in range(rows * columns):
        figure.add_subplot(rows, columns, number + 1).set_axis_off()
    for axes, (name, image) in zip(figure.axes, images.items(), strict=False):
        image = np.squeeze(np.asarray(image))
        if image.dtype != np.uint8 and image.ndim == 3:
            image = np.clip(image, 0, 1)
        axes.imshow(image, cmap="gray", interpolation="nearest")
        axes.set_title(name, fontsize=9)
    return figure
