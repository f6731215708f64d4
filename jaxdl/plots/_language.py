"""Figures of text and of recurrent networks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import add_panel


def rank_frequency(counts: Sequence[ArrayLike], labels: Sequence[str] = ()) -> Any:
    """Draws counts against their rank, both logarithmic (Zipf's law is a straight line).

    >>> figure = rank_frequency([[3, 10, 5], [1, 2]])
    >>> [(line.get_label(), line.get_ydata().tolist()) for line in figure.axes[0].lines]
    [('1-gram', [10, 5, 3]), ('2-gram', [2, 1])]

    Args:
        counts: for each curve the counts of its n-grams, in any order.
        labels: of the curves; "1-gram", "2-gram", ... by default.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = add_panel(figure)
    labels = labels or [f"{n}-gram" for n in range(1, len(counts) + 1)]
    for some, label in zip(counts, labels, strict=True):
        ordered = np.sort(np.asarray(some))[::-1]
        axes.loglog(np.arange(1, len(ordered) + 1), ordered, label=label)
    axes.set_xlabel("rank")
    axes.set_ylabel("count")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def gradient_by_distance(norms: Mapping[str, ArrayLike]) -> Any:
    """Draws how much of a gradient is left after so many steps back, on a logarithmic scale.

    >>> figure = gradient_by_distance({"rnn": [1.0, 0.1, 0.01], "lstm": [1.0, 0.9, 0.8]})
    >>> [line.get_label() for line in figure.axes[0].lines], figure.axes[0].get_yscale()
    (['rnn', 'lstm'], 'log')

    Args:
        norms: by label, the norm at distance 0, 1, 2, ... from the last step.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = add_panel(figure)
    for label, values in norms.items():
        axes.semilogy(np.asarray(values), label=label)
    axes.set_xlabel("steps back in time")
    axes.set_ylabel("norm of the gradient")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
