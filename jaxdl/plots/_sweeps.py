"""Figures of sweeps: a number over two hyperparameters, and many trainings side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import PALETTE, add_panel


def heat_maps(
    panels: Mapping[str, ArrayLike],
    *,
    rows: Sequence[Any],
    columns: Sequence[Any],
    row_label: str = "",
    column_label: str = "",
    title: str = "",
    form: str = ".3g",
    better: str = "high",
) -> Any:
    """Draws matrices `[R, C]` on one scale of colors, a number in every cell.

    The colors span the middle eight tenths of the numbers, so that one outlier leaves the rest
    apart.

    >>> figure = heat_maps({"accuracy": [[0.5, np.nan]]}, rows=["sgd"], columns=[0.1, 1.0])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.5', '']

    Args:
        panels: by title; NaN and infinite cells are gray, the latter with the sign for infinity.
        rows, columns: their names, at the edges.
        form: of the numbers, as in `format`.
        better: "high" or "low" numbers are the bright ones.
    Raises: ValueError for a panel of another shape.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    arrays = {name: np.asarray(values, float) for name, values in panels.items()}
    for name, values in arrays.items():
        if values.shape != (len(rows), len(columns)):
            raise ValueError(f"panel {name!r} needs {len(rows), len(columns)}, got {values.shape}")
    finite = np.concatenate([v[np.isfinite(v)] for v in arrays.values()] or [np.zeros(0)])
    low, high = np.quantile(finite, [0.1, 0.9]) if len(finite) else (0.0, 1.0)
    colors = colormaps["viridis" if better == "high" else "viridis_r"].with_extremes(bad="0.85")
    size = (1.2 + 0.72 * len(columns) * len(arrays), 1.5 + 0.5 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    for number, (name, values) in enumerate(arrays.items()):
        axes = add_panel(figure, 1, len(arrays), number + 1)
        shown = np.ma.masked_invalid(values)
        image = axes.imshow(shown, cmap=colors, vmin=low, vmax=high, aspect="auto")
        axes.set_xticks(range(len(columns)), [f"{c}" for c in columns])
        axes.set_yticks(range(len(rows)), [f"{r}" for r in rows])
        axes.set_title(name)
        axes.set_xlabel(column_label)
        if number == 0:
            axes.set_ylabel(row_label)
        for i, j in np.ndindex(values.shape):
            text = format(values[i, j], form) if np.isfinite(values[i, j]) else ""
            text = "∞" if np.isinf(values[i, j]) else text
            bright = np.isfinite(values[i, j]) and _lightness(image, values[i, j].item()) > 0.5
            color = "black" if bright or not np.isfinite(values[i, j]) else "white"
            axes.text(j, i, text, ha="center", va="center", color=color, size=8)
    figure.suptitle(title)
    return figure


def side_by_side(
    groups: Mapping[str, Sequence[Sequence[Mapping[str, float]]]],
    name: str,
    *,
    x: str = "epoch",
    log: bool = False,
) -> Any:
    """Draws one panel per label with its runs and their mean, all other means in gray behind.

    >>> seeds = [[{"epoch": 1, "loss": 0.8}], [{"epoch": 1, "loss": 1.0}]]
    >>> figure = side_by_side({"adam": seeds, "sgd": seeds}, "loss")
    >>> [(axes.get_title(), axes.lines[-1].get_ydata().tolist()) for axes in figure.axes]
    [('adam', [0.9]), ('sgd', [0.9])]

    Args:
        groups: by label, histories of runs that differ in the seed alone, as for `compare`.
        name: the number to draw.
        x: the name that counts along the axis.
        log: a logarithmic scale for the numbers.
    """
    from matplotlib.figure import Figure

    count = max(1, len(groups))
    columns = count if count < 4 else next((c for c in (4, 3) if count % c == 0), 4)
    lines = -(-max(1, len(groups)) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.3 * lines), layout="constrained")
    along = {label: [row[x] for row in runs[0]] for label, runs in groups.items()}
    series = {
        label: np.array([[row.get(name, np.nan) for row in run] for run in runs])
        for label, runs in groups.items()
    }
    first = None
    for number, label in enumerate(groups):
        axes = first = add_panel(figure, lines, columns, number + 1, sharex=first, sharey=first)
        for other in groups:
            if other != label:
                axes.plot(along[other], series[other].mean(axis=0), color="0.85", lw=0.8, ls="-")
        axes.plot(along[label], series[label].T, color=PALETTE[0], lw=0.7, ls="-", alpha=0.4)
        axes.plot(along[label], series[label].mean(axis=0), color=PALETTE[0], lw=1.8, ls="-")
        axes.set_title(label, size=10)
        axes.grid(alpha=0.3)
        axes.label_outer()
        if number + columns >= count:  # nothing stands below it
            axes.tick_params(labelbottom=True)
    if first is not None and log:
        first.set_yscale("log")
    figure.supxlabel(x)
    figure.supylabel(name)
    return figure


def performance_profiles(
    ratios: Mapping[str, ArrayLike], *, most: float = 4.0, title: str = ""
) -> Any:
    """Draws, for each way, the share of problems that it solves within a multiple of the best cost.

    >>> figure = performance_profiles({"adam": [1.0, 3.0], "sgd": [2.0, np.inf]}, most=4)
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines]
    [[0.5, 1.0, 1.0], [0.0, 0.5, 0.5]]

    Args:
        ratios: by label, `[P]` as `train.performance_profile` has them; inf for a miss.
        most: where the axis ends. Those first in the legend have most below their curve.
    """
    from matplotlib.figure import Figure
    from matplotlib.transforms import ScaledTranslation

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = add_panel(figure, 1, 1, 1)
    arrays = {name: np.asarray(values, float) for name, values in ratios.items()}
    area = {name: -np.clip(most - v, 0, None).sum() for name, v in arrays.items()}
    for place, name in enumerate(sorted(arrays, key=lambda name: area[name])):
        values = arrays[name]
        steps = np.unique(np.append(values[(values > 1) & (values < most)], [1.0, most]))
        share = [np.mean(values <= step) for step in steps]
        (line,) = axes.step(steps, share, where="post", lw=1.8, label=name)
        lift = 0.014 * (len(arrays) / 2 - place)  # inches: curves that coincide are all seen
        apart = ScaledTranslation(0, lift, figure.dpi_scale_trans)
        line.set_transform(axes.transData + apart)
    axes.set_xscale("log", base=2)
    axes.set_xlim(1, most)
    axes.set_ylim(-0.05, 1.05)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times the least cost of any")
    axes.set_ylabel("share of problems")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _lightness(image: Any, value: float) -> float:
    """Of the color of a cell, so that its number can be read on it."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
