"""Figures of word associations."""

from collections.abc import Sequence
from typing import Any

from jaxdl.plots._style import PALETTE, add_panel


def associations(pairs: Sequence[Any]) -> Any:
    """Draws `information.Association`s as bars of PMI, the strongest at the top.

    >>> from jaxdl import information
    >>> pairs = [information.Association("new", "york", 12, 7.5)]
    >>> [label.get_text() for label in associations(pairs).axes[0].get_yticklabels()]
    ['new york']
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 1 + 0.24 * len(pairs)), layout="constrained")
    axes = add_panel(figure)
    names = [f"{pair.first} {pair.second}" for pair in pairs]
    axes.barh(range(len(pairs)), [pair.pmi for pair in pairs], color=PALETTE[0])
    axes.set_yticks(range(len(pairs)), names)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("pointwise mutual information, bits")
    for place, pair in enumerate(pairs):
        axes.text(pair.pmi, place, f" {pair.times}", va="center", size=7)
    return figure
