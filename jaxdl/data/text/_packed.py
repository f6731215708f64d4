"""Several texts in a row: no place is wasted on padding, and none sees another."""

import bisect
from collections.abc import Iterable, Sequence

import numpy as np

from jaxdl.data._dataset import Dataset


def packed(
    texts: Iterable[Sequence[int] | np.ndarray], num_steps: int, *, pad_id: int = 0
) -> Dataset:
    """Lays texts side by side into rows, for modules that take "segments" (`models.Transformer`).

    Each goes into the row that it fills best, in the order they come; one that is longer than a
    row is cut, and the last token of a piece is the first of the next, so that nothing goes
    unpredicted.

    >>> split = packed([[1, 2, 3], [4, 5, 6, 7], [8, 9]], num_steps=4)
    >>> split["tokens"].tolist(), split["segments"].tolist()
    ([[1, 2, 0, 0], [4, 5, 6, 8]], [[1, 1, 0, 0], [1, 1, 1, 2]])
    >>> split["targets"].tolist(), split["valid"].tolist()[0]
    ([[2, 3, 0, 0], [5, 6, 7, 9]], [True, True, False, False])

    Args:
        texts: ids of each; one of fewer than two tokens has nothing to predict and is left out.
        num_steps: T.
    Returns: columns "tokens", "targets", "valid" and "segments" `[N, T]`; segments of a row count
        from 1, and 0 is padding.
    Raises: ValueError if no text has two tokens, or for `num_steps` below 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    pieces = []
    for text in texts:
        ids = np.asarray(text, np.int32)
        pieces += [ids[at : at + num_steps + 1] for at in range(0, len(ids) - 1, num_steps)]
    if not pieces:
        raise ValueError("no text has two tokens, one to read and one to predict")
    rows: list[list[np.ndarray]] = []
    unfilled: list[tuple[int, int]] = []  # room and row, in order
    for piece in pieces:
        length = len(piece) - 1
        best = bisect.bisect_left(unfilled, (length, 0))
        if best < len(unfilled):
            room, at = unfilled.pop(best)
        else:
            room, at = num_steps, len(rows)
            rows.append([])
        rows[at].append(piece)
        if room > length:
            bisect.insort(unfilled, (room - length, at))
    shape = (len(rows), num_steps)
    tokens, targets = np.full(shape, pad_id, np.int32), np.full(shape, pad_id, np.int32)
    segments = np.zeros(shape, np.int32)
    for i, row in enumerate(rows):
        start = 0
        for number, piece in enumerate(row, 1):
            stop = start + len(piece) - 1
            tokens[i, start:stop], targets[i, start:stop] = piece[:-1], piece[1:]
            segments[i, start:stop] = number
            start = stop
    columns = {"tokens": tokens, "targets": targets, "valid": segments > 0, "segments": segments}
    return Dataset(columns)
