"""Figures of probabilities: whether they come true as often as they say."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import PALETTE, add_panel

_Z = 1.959964  # a normal variable is within so many deviations 95 times of a hundred


def reliability(panels: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]) -> Any:
    """Draws the accuracy of predictions against their confidence, one panel a model.

    On the diagonal a model is right as often as it says; below it, it is too sure. Points are bins,
    in an area that grows with their share of the examples, with 95 % intervals (Wilson 1927).

    >>> panel = [0.7, 0.95, 0.0], [0.5, 0.9, 0.0], [10, 90, 0]  # the last bin is empty
    >>> figure = reliability({"network": panel})
    >>> figure.axes[0].collections[-1].get_offsets().tolist()
    [[0.7, 0.5], [0.95, 0.9]]

    Args:
        panels: title to mean confidence, accuracy and number of examples of each bin, `[M]` as
            `metrics.CalibrationError.reliability` gives them; bins of none are left out.
    Reference: DeGroot & Fienberg, The comparison and evaluation of forecasters, 1983.
    """
    from matplotlib.figure import Figure

    count = max(1, len(panels))
    figure = Figure(figsize=(3.8 * count, 3.8), layout="constrained")
    for number, (title, panel) in enumerate(panels.items()):
        axes = add_panel(figure, 1, count, number + 1)
        confidence, accuracy, weight = (np.asarray(values, float) for values in panel)
        some = weight > 0
        confidence, accuracy, weight = confidence[some], accuracy[some], weight[some]
        center = (accuracy + _Z**2 / (2 * weight)) / (1 + _Z**2 / weight)
        variance = accuracy * (1 - accuracy) / weight + _Z**2 / (4 * weight**2)
        half = _Z * np.sqrt(variance) / (1 + _Z**2 / weight)
        axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
        axes.vlines(confidence, center - half, center + half, color=PALETTE[0], lw=1.2, ls="-")
        area = 12 + 240 * weight / max(weight.sum(), 1)
        axes.scatter(confidence, accuracy, s=area, color=PALETTE[0], alpha=0.7, zorder=3)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_aspect("equal")
        axes.set_xlabel("confidence")
        axes.set_title(title, size=10)
        axes.grid(alpha=0.3)
        if number == 0:
            axes.set_ylabel("accuracy")
    return figure
