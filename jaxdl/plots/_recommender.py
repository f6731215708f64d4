"""Figures of recommenders."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import add_panel


def by_popularity(
    counts: ArrayLike,
    values: Mapping[str, ArrayLike],
    name: str,
    *,
    groups: int = 8,
    after: Callable[[Any], Any] = np.asarray,
) -> Any:
    """Draws the mean of a number over test examples, from those of rare items to popular ones.

    >>> figure = by_popularity([1, 1, 9, 9], {"mf": [0.5, 1.5, 0.2, 0.4]}, "error", groups=2)
    >>> figure.axes[0].lines[0].get_xdata(), figure.axes[0].lines[0].get_ydata()
    (array([1., 9.]), array([1. , 0.3]))

    Args:
        counts: how often the item of each example is in the training set, `[N]`.
        values: by model, a number for each example `[N]`.
        name: what the number is.
        groups: of about as many examples each; equal counts stay together.
        after: applied to each mean, such as `np.sqrt` for a root mean square.
    """
    from matplotlib.figure import Figure

    counts = np.asarray(counts)
    edges = np.unique(np.quantile(counts, np.linspace(0, 1, groups + 1)[1:-1]))
    group = np.unique(np.digitize(counts, edges), return_inverse=True)[1]
    size = np.bincount(group)
    along = np.bincount(group, counts) / size
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = add_panel(figure)
    for label, value in values.items():
        axes.plot(
            along, after(np.bincount(group, np.asarray(value)) / size), "o-", ms=3, label=label
        )
    axes.set_xscale("symlog")
    axes.set_xlabel("ratings of the item in the training set (mean of a group)")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
