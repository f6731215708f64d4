"""Pictures of a class for every pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl import data


def segmentation_colors(labels: ArrayLike, palette: ArrayLike | None = None) -> np.ndarray:
    """The color picture `[..., H, W, 3]` uint8 of class indices `[..., H, W]`.

    >>> segmentation_colors([[0, 15]])  # VOC's background and person
    array([[[  0,   0,   0],
            [192, 128, 128]]], dtype=uint8)

    Args:
        labels: integers; without a palette 0 to 255, where 255 is VOC's cream for void.
        palette: colors `[K, 3]` uint8; `data.images.voc_palette()` by default.
    Raises: ValueError for an index that has no color.
    """
    labels = np.asarray(labels)
    palette = data.images.voc_palette() if palette is None else np.asarray(palette, np.uint8)
    if labels.size and (labels.min() < 0 or labels.max() >= len(palette)):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"no color for index {wrong}: the palette has {len(palette)}")
    return palette[labels]


def segmentations(
    images: ArrayLike,
    truth: ArrayLike,
    predicted: ArrayLike,
    class_names: Sequence[str] = (),
) -> Any:
    """Draws images, their classes and the predicted ones side by side, an example a row.

    >>> images, truth = np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8), int)
    >>> figure = segmentations(images, truth, truth, ["background", "person"])
    >>> len(figure.axes), [text.get_text() for text in figure.legends[0].get_texts()]
    (6, ['background'])

    Args:
        images: `[N, H, W, 3]`, uint8 or in 0..1.
        truth, predicted: classes `[N, H, W]`; 255 is void.
        class_names: for a legend of the classes that occur.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    images, truth, predicted = np.asarray(images), np.asarray(truth), np.asarray(predicted)
    height, width = truth.shape[1:]
    figure = Figure(figsize=(9, 3 * len(images) * height / width + 0.6), layout="constrained")
    columns = {
        "image": images,
        "truth": segmentation_colors(truth),
        "predicted": segmentation_colors(predicted),
    }
    grid = figure.subplots(len(images), 3, squeeze=False)
    for column, (title, pictures) in enumerate(columns.items()):
        grid[0, column].set_title(title)
        for row, picture in enumerate(pictures):
            grid[row, column].imshow(picture, interpolation="nearest")
            grid[row, column].set_axis_off()
    present = [k for k in np.union1d(truth, predicted) if k < len(class_names)]
    colors = segmentation_colors(np.arange(256)) / 255
    handles = [Patch(facecolor=colors[k], label=class_names[k]) for k in present]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
    return figure
