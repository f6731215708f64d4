"""One style for all figures: colors that readers tell apart who do not see red from green.

The colors are those of Okabe & Ito, Color universal design, 2008, without black and yellow, in the
order of their contrast with white; where they run out, lines are dashed.
"""

from typing import Any

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")


def add_panel(figure: Any, *args: Any, **kwargs: Any) -> Any:
    """`figure.add_subplot(...)` whose lines, points and bars take the colors in turn."""
    return _in_turn(figure.add_subplot(*args, **kwargs))


def add_panels(figure: Any, *args: Any, **kwargs: Any) -> Any:
    """`figure.subplots(...)`, all of whose axes are as those of `add_panel`."""
    axes = figure.subplots(*args, **kwargs)
    for one in figure.axes:
        _in_turn(one)
    return axes


def _in_turn(axes: Any) -> Any:
    from cycler import cycler

    axes.set_prop_cycle(cycler(linestyle=("-", "--")) * cycler(color=PALETTE))
    return axes
