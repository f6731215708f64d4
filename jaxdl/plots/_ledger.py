"""Where parameters, operations and memory go."""

from typing import Any


def ledger(entries: Any) -> Any:
    """Draws parameters, operations and kept activations of every module, side by side.

    >>> from jaxdl import inspect
    >>> entry = inspect.Entry("head", 8, 32, 60.0, 120.0, 100)
    >>> figure = ledger(inspect.Ledger((entry,)))
    >>> [axes.get_title() for axes in figure.axes]
    ['parameters', 'GFLOP', 'kept MB']

    Args:
        entries: of `inspect.ledger`.
    """
    from matplotlib.figure import Figure

    rows = entries.entries[::-1]
    names = [entry.path or "(outside)" for entry in rows]
    figure = Figure(figsize=(11, 1.5 + 0.22 * len(rows)), layout="constrained")
    first, second, third = figure.subplots(1, 3, sharey=True)
    first.barh(names, [entry.parameters for entry in rows])
    forward = [entry.forward / 1e9 for entry in rows]
    second.barh(names, forward, label="forward")
    second.barh(names, [entry.backward / 1e9 for entry in rows], left=forward, label="backward")
    second.legend(frameon=False)
    third.barh(names, [entry.kept / 1e6 for entry in rows])
    for axes, title in zip((first, second, third), ("parameters", "GFLOP", "kept MB"), strict=True):
        axes.set_title(title)
        axes.tick_params(labelsize=8)
    return figure
