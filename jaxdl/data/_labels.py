"""Labels looked at on the host before the first step, where a wrong one can still be named."""

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.data._dataset import DataError


def check_labels(
    labels: ArrayLike,
    num_classes: int,
    *,
    what: str = "labels",
    ignore: int | None = None,
    where: ArrayLike | None = None,
) -> None:
    """Raises where a label is none of the classes; on a device it would give NaN or a clipped row.

    >>> check_labels([0, 2, 1], 3)
    >>> check_labels([0, 7, 1, 9], 3, what="train")
    Traceback (most recent call last):
        ...
    jaxdl.data._dataset.DataError: train: expected labels from 0 to 2 (3 classes), found 7 in row 1
    and 1 more outside

    Args:
        labels: integers `[N]` or `[N, ...]` (pixels, tokens).
        num_classes: K.
        what: whose labels, for the message.
        ignore: a label that stands for none, such as 255 or -1.
        where: booleans, which of the labels count; all by default.
    Raises: DataError naming the first wrong label, its row and K; ValueError for labels that are no
        integers.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub":
        raise ValueError(f"{what}: labels must be integers, got {labels.dtype}")
    wrong = (labels < 0) | (labels >= num_classes)
    if ignore is not None:
        wrong &= labels != ignore
    if where is not None:
        wrong &= np.asarray(where)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        more = f" and {int(wrong.sum()) - 1} more outside" if wrong.sum() > 1 else ""
        raise DataError(
            f"{what}: expected labels from 0 to {num_classes - 1} ({num_classes} classes), found "
            f"{labels[place]} in row {place[0]}{more}"
        )


def majority_share(train_labels: ArrayLike, test_labels: ArrayLike) -> float:
    """Accuracy on test labels of always answering the most frequent training label.

    >>> majority_share([1, 1, 0], [1, 0, 1, 1])
    0.75
    """
    values, counts = np.unique(np.asarray(train_labels), return_counts=True)
    return float(np.mean(np.asarray(test_labels) == values[np.argmax(counts)]))
