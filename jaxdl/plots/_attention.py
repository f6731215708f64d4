"""Attention maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def attention_maps(
    weights: Sequence[ArrayLike],
    sources: Sequence[Sequence[str]],
    targets: Sequence[Sequence[str]],
    *,
    columns: int = 2,
) -> Any:
    """Draws what each target token looked at, one map a pair; white is 0 and black is 1.

    >>> weights, source, target = np.eye(2), ["le", "chat"], ["the", "cat"]
    >>> figure = attention_maps([weights], [source], [target])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['the', 'cat']

    Args:
        weights: for each pair `[T, S]` or more; what lies beyond its tokens is left out.
        sources, targets: tokens of each pair, S and T of them.
        columns: maps side by side.
    """
    from matplotlib.figure import Figure

    rows = -(-len(weights) // columns)
    size = 0.6 + 0.16 * max(len(some) for some in (*sources, *targets))
    figure = Figure(figsize=(columns * (1 + size), rows * (1 + size)), layout="constrained")
    for i, (weight, source, target) in enumerate(zip(weights, sources, targets, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        shown = np.asarray(weight, np.float32)[: len(target), : len(source)]
        axes.imshow(shown, cmap="Greys", vmin=0, vmax=1)
        upright = max(map(len, source), default=0) <= 1
        axes.set_xticks(range(len(source)), source, rotation=0 if upright else 90, fontsize=8)
        axes.set_yticks(range(len(target)), target, fontsize=8)
        axes.xaxis.tick_top()
    return figure
