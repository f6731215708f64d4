"""Boxes drawn over images, and the precision and recall of a detector."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import PALETTE, add_panel


def framed(
    images: ArrayLike,
    boxes: Sequence[ArrayLike] | np.ndarray,
    texts: Sequence[Sequence[str]] | None = None,
    *,
    truth: Sequence[ArrayLike] | np.ndarray | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
) -> Any:
    """Draws boxes over images.

    >>> images, boxes = np.zeros((2, 32, 32)), [[[0.1, 0.1, 0.5, 0.6]], np.zeros((0, 4))]
    >>> figure = framed(images, boxes, [["cat 0.93"], []], titles=["one", "none"])
    >>> [(axes.get_title(), [text.get_text() for text in axes.texts]) for axes in figure.axes]
    [('one', ['cat 0.93']), ('none', [])]

    Args:
        images: `[N, H, W]` or `[N, H, W, C]`, gray or color, uint8 or floats in 0..1.
        boxes: N arrays `[M, 4]`, x1, y1, x2, y2 as shares of width and height; those without area
            (padding) are left out.
        texts: what is written at each box of each image; boxes of one text have one color.
        truth: N arrays of boxes drawn beneath, white and dashed.
        titles: of the images.
        columns: images in a row.
    Raises: ValueError unless there is one entry for every image.
    """
    from matplotlib.figure import Figure

    images = np.asarray(images)
    given = (images, boxes, *(part for part in (texts, truth, titles) if part is not None))
    lengths = {len(part) for part in given}
    if len(lengths) != 1 or images.ndim not in (3, 4):
        raise ValueError(f"framed needs images [N, H, W, C] and N of all else, got {lengths}")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    height = 3.0 * images.shape[1] / images.shape[2] + (0.1 if titles is None else 0.3)
    figure = Figure(figsize=(3 * columns, height * rows), layout="constrained")
    kinds = sorted({text.split()[0] for line in texts or () for text in line if text})
    for n, image in enumerate(images):
        axes = add_panel(figure, rows, columns, n + 1)
        axes.set_axis_off()
        axes.imshow(np.squeeze(image), cmap="gray", extent=(0, 1, 1, 0), aspect="auto")
        for box in () if truth is None else np.asarray(truth[n]):
            _frame(axes, box, color="white", linestyle=(0, (2, 2)), linewidth=1)
        for m, box in enumerate(np.asarray(boxes[n])):
            text = "" if texts is None else texts[n][m]
            color = PALETTE[(kinds.index(text.split()[0]) if text else m) % len(PALETTE)]
            _frame(axes, box, color=color, text=text, linewidth=1.4)
        if titles is not None:
            axes.set_title(titles[n], fontsize=9)
    return figure


def detected(
    images: ArrayLike,
    found: Any,
    class_names: Sequence[str],
    *,
    truth: Sequence[ArrayLike] | np.ndarray | None = None,
) -> Any:
    """Draws `ops.Detections` of N images, each with its class and score; else as `framed`.

    >>> from jaxdl import ops
    >>> boxes, scores = np.array([[[0.1, 0.1, 0.5, 0.6]]]), np.array([[0.93]])
    >>> found = ops.Detections(boxes, scores, np.array([[1]]), np.array([[True]]))
    >>> figure = detected(np.zeros((1, 32, 32)), found, ["dog", "cat"])
    >>> figure.axes[0].texts[0].get_text()
    'cat 0.93'
    """
    classes, scores = np.asarray(found.classes), np.asarray(found.scores)
    texts = [
        [f"{class_names[k]} {score:.2f}" for k, score in zip(*row, strict=True)]
        for row in zip(classes, scores, strict=True)
    ]
    return framed(images, np.asarray(found.boxes), texts, truth=truth)


def precision_recall(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, scores: Mapping[str, float] | None = None
) -> Any:
    """Draws precision against recall, one line a class.

    >>> figure = precision_recall({"cat": ([0.5, 1.0], [1.0, 0.7])}, scores={"cat": 0.85})
    >>> figure.legends[0].get_texts()[0].get_text()
    'cat  0.850'

    Args:
        curves: by class, recall and precision along the detections by falling score.
        scores: what the legend gives behind a class, its average precision say.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = add_panel(figure)
    for name, (recall, precision) in curves.items():
        label = name if scores is None else f"{name}  {scores[name]:.3f}"
        recall, precision = np.asarray(recall), np.asarray(precision)
        axes.step(recall, precision, where="post", label=label, linewidth=1.3)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


def _frame(axes: Any, box: np.ndarray, *, text: str = "", **style: Any) -> None:
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return
    axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], **style)
    if text:
        label = {"facecolor": style["color"], "edgecolor": "none", "pad": 0.8}
        inside = y1 < 0.08  # above the box it would leave the image
        axes.text(
            x1, y1, text, color="white", size=6.5, va="top" if inside else "bottom", bbox=label,
            clip_on=True,
        )  # fmt: skip
