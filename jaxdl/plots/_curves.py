"""Figures of training and of a classifier's mistakes.

Every function returns a `matplotlib.figure.Figure` of its own, with no global state behind it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import PALETTE, add_panel


def curves(history: Sequence[Mapping[str, float]], *, x: str = "epoch") -> Any:
    """Draws every number of a run against the epoch, training and test of a kind in one panel.

    >>> history = [{"epoch": 1, "train/loss": 0.9, "test/loss": 1.0, "test/accuracy": 0.5}]
    >>> [(axes.get_title(), len(axes.lines)) for axes in curves(history).axes]
    [('loss', 2), ('accuracy', 1)]

    Args:
        history: rows as `fit` returns them; names "train/loss" and "test/loss" share a panel.
        x: the name that counts along the axis.
    """
    from matplotlib.figure import Figure

    names = [name for name in (history[-1] if history else {}) if name not in (x, "step")]
    kinds = list(dict.fromkeys(_kind(name) for name in names if not name.startswith("time/")))
    columns = min(4, max(1, len(kinds)))
    rows = -(-max(1, len(kinds)) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.4 * rows), layout="constrained")
    for number, kind in enumerate(kinds):
        axes = add_panel(figure, rows, columns, number + 1)
        for name in names:
            if _kind(name) != kind or name.startswith("time/"):
                continue
            there = [row for row in history if name in row]
            label = name.split("/", 1)[0] if "/" in name else name
            axes.plot([r[x] for r in there], [r[name] for r in there], marker=".", label=label)
        axes.set_xlabel(x)
        axes.set_title(kind)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def compare(
    groups: Mapping[str, Sequence[Sequence[Mapping[str, float]]]], *, x: str = "epoch"
) -> Any:
    """Draws several runs against each other, one panel per number.

    >>> seeds = [[{"epoch": 1, "loss": 0.8}], [{"epoch": 1, "loss": 1.0}]]
    >>> figure = compare({"adam": seeds, "sgd": [[{"epoch": 1, "loss": 1.5}]]})
    >>> [(line.get_label(), line.get_ydata().tolist()) for line in figure.axes[0].lines]
    [('adam', [0.9]), ('sgd', [1.5])]

    Args:
        groups: by label, the histories of runs that differ in the seed alone. Their mean is drawn,
            and a band from the least to the greatest of them.
        x: the name that counts along the axis.

    Returns: a Matplotlib figure; the labels stand below the panels, each once, in lines that fit.
    """
    from matplotlib.figure import Figure

    histories = [history for runs in groups.values() for history in runs if history]
    names = list(dict.fromkeys(name for history in histories for name in history[-1]))
    names = [
        name for name in names if name not in (x, "step", "epoch") and not name.startswith("time/")
    ]
    columns = min(3, max(1, len(names)))
    rows = -(-max(1, len(names)) // columns)
    wide = 4.5 * columns
    labels = {label: textwrap.fill(label, int(11 * wide)) for label in groups}  # letters of 1/12 in
    in_a_row = max(1, int(11 * wide) // (max(map(len, labels.values()), default=1) + 8))
    lines = sum(text.count("\n") + 1 for text in labels.values()) / in_a_row
    figure = Figure(figsize=(wide, 3.2 * rows + 0.22 * lines + 0.2), layout="constrained")
    handles: dict[str, Any] = {}
    for number, name in enumerate(names):
        axes = add_panel(figure, rows, columns, number + 1)
        for place, (label, runs) in enumerate(groups.items()):
            series = [[row[name] for row in run if name in row] for run in runs]
            series = [values for values in series if values]
            length = min(map(len, series), default=0)
            if not length:
                continue
            values = np.array([s[:length] for s in series])
            facts = next(run for run in runs if any(name in row for row in run))
            along = [row[x] for row in facts if name in row][:length]
            style: dict[str, Any] = {
                "color": PALETTE[place % len(PALETTE)],
                "linestyle": _STYLES[place // len(PALETTE) % len(_STYLES)],
            }
            marker = "." if length == 1 else None  # a line of one point is not seen
            (line,) = axes.plot(along, values.mean(axis=0), label=label, marker=marker, **style)
            handles.setdefault(label, line)
            if len(values) > 1:
                low, high = values.min(axis=0), values.max(axis=0)
                axes.fill_between(along, low, high, color=line.get_color(), alpha=0.2)
        axes.set_xlabel(x)
        axes.set_title(name)
        axes.grid(alpha=0.3)
    if handles:
        figure.legend(
            list(handles.values()),
            [labels[label] for label in handles],
            loc="outside lower center",
            ncols=in_a_row,
            frameon=False,
        )
    return figure


_STYLES = ("-", "--", ":", "-.")


def forecasts(truth: ArrayLike, predicted: Mapping[str, ArrayLike], *, columns: int = 3) -> Any:
    """Draws what was foretold of a series over what came, one panel a forecast.

    >>> figure = forecasts([0.0, 1.0, 0.0], {"GRU": [0.1, 0.9, 0.2]})
    >>> [line.get_label() for line in figure.axes[0].lines], figure.axes[0].get_title()
    (['truth', 'forecast'], 'GRU')

    Args:
        truth: `[T]`.
        predicted: by name, `[T]` each; values far out are cut off by the panel.
        columns: panels side by side.
    Raises: ValueError for less than one column.
    """
    from matplotlib.figure import Figure

    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    truth = np.asarray(truth)
    columns = min(columns, max(1, len(predicted)))
    lines = -(-max(1, len(predicted)) // columns)
    figure = Figure(figsize=(4.2 * min(columns, 3.5), 2.0 * lines + 0.4), layout="constrained")
    reach = 1.5 * max(float(np.abs(truth).max()), 1e-6)
    first = None
    for number, (name, values) in enumerate(predicted.items()):
        axes = first = figure.add_subplot(lines, columns, number + 1, sharex=first, sharey=first)
        axes.plot(truth, color="0.6", label="truth")
        axes.plot(np.asarray(values), color="C0", lw=1.2, label="forecast")
        axes.set_ylim(-reach, reach)
        axes.set_title(name, size=10)
        axes.grid(alpha=0.3)
        axes.label_outer()
        if number == 0:
            axes.legend(frameon=False, fontsize=8)
    figure.supxlabel("steps after what was read")
    return figure


def confusion(counts: ArrayLike, class_names: Sequence[str] = ()) -> Any:
    """Draws a confusion matrix `[K, K]`: rows the true class, shade its share of the row.

    >>> figure = confusion([[8, 2], [0, 5]], ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]  # zeros are left out
    ['8', '2', '5']
    """
    from matplotlib.figure import Figure

    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = list(class_names) or [str(k) for k in range(len(counts))]
    size = 1.5 + 0.45 * len(counts)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = add_panel(figure)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(
            column,
            row,
            f"{counts[row, column]:.0f}",
            ha="center",
            va="center",
            color=color,
            size=7,
        )
    return figure


def _kind(name: str) -> str:
    return name.split("/", 1)[-1]
