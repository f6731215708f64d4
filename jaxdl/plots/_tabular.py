"""Figures of tables and of classical learners."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import add_panel


def boxes(columns: Mapping[str, ArrayLike], *, whisker: float = 1.5) -> Any:
    """Draws a box plot a column, each in its own units; points beyond the whiskers are outliers.

    >>> figure = boxes({"age": [22.0, np.nan, 38.0], "fare": [7.25, 71.28, 8.05]})
    >>> [axes.get_title() for axes in figure.axes]
    ['age', 'fare']

    Args:
        columns: numbers `[N]` by name; NaN is left out.
        whisker: reach of the whiskers in interquartile ranges.
    """
    from matplotlib.figure import Figure

    wide = min(len(columns), 6)
    tall = -(-len(columns) // wide)
    figure = Figure(figsize=(1.6 * wide, 2.4 * tall), layout="constrained")
    for number, (name, column) in enumerate(columns.items()):
        axes = add_panel(figure, tall, wide, number + 1)
        column = np.asarray(column, np.float64)
        axes.boxplot(column[~np.isnan(column)], whis=whisker, widths=0.6, flierprops={"ms": 3})
        axes.set_title(name, size=9)
        axes.set_xticks([])
        axes.tick_params(labelsize=7)
    return figure


def coefficient_paths(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]], feature_names: Sequence[str] = ()
) -> Any:
    """Draws every coefficient against the penalty, one panel a method.

    >>> path = [0.1, 1.0], [[2.0, -1.0], [1.0, -0.5]]  # two penalties, two features
    >>> figure = coefficient_paths({"ridge": path}, ["age", "fare"])
    >>> [line.get_label() for line in figure.axes[0].lines[:2]]
    ['age', 'fare']

    Args: panels: title to (penalties `[P]`, coefficients `[P, D]`).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    for number, (title, (penalties, coefficients)) in enumerate(panels.items()):
        axes = add_panel(figure, 1, len(panels), number + 1)
        for feature, path in enumerate(np.asarray(coefficients).T):
            name = feature_names[feature] if feature < len(feature_names) else None
            axes.semilogx(np.asarray(penalties), path, label=name)
        axes.axhline(0, color="black", lw=0.5)
        axes.set_title(title)
        axes.set_xlabel("penalty")
        axes.grid(alpha=0.3)
        if number == 0:
            axes.set_ylabel("coefficient")
            if feature_names:
                axes.legend(frameon=False, fontsize=7, ncols=2)
    return figure


def score_curves(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    x: str = "training examples",
    y: str = "error",
    baseline: float | None = None,
    log: bool = False,
) -> Any:
    """Draws training and validation scores, mean and range over folds, one panel a model.

    >>> panel = [10, 20], [[0.1, 0.2], [0.3, 0.2]], [[0.9, 0.5], [0.7, 0.5]]  # two folds
    >>> figure = score_curves({"ridge": panel})
    >>> [(line.get_label(), line.get_ydata().tolist()) for line in figure.axes[0].lines]
    [('training', [0.2, 0.2]), ('validation', [0.8, 0.5])]

    Args:
        panels: title to (positions `[S]`, training scores `[F, S]`, validation scores `[F, S]`).
        x, y: labels of the axes.
        baseline: a level to hope for, dashed.
        log: of the horizontal axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * len(panels), 3.6), layout="constrained")
    for number, (title, (positions, *scores)) in enumerate(panels.items()):
        axes = add_panel(figure, 1, len(panels), number + 1)
        for name, score in zip(("training", "validation"), scores, strict=True):
            score = np.atleast_2d(np.asarray(score))
            axes.plot(positions, score.mean(0), marker=".", label=name)
            axes.fill_between(positions, score.min(0), score.max(0), alpha=0.2)
        if baseline is not None:
            axes.axhline(baseline, color="black", ls="--", lw=0.8, label="baseline")
        axes.set_title(title)
        axes.set_xlabel(x)
        axes.grid(alpha=0.3)
        if log:
            axes.set_xscale("log")
        if number == 0:
            axes.set_ylabel(y)
            axes.legend(frameon=False)
    return figure


def regions(
    panels: Mapping[str, tuple[Callable[[np.ndarray], ArrayLike], ArrayLike, ArrayLike]],
) -> Any:
    """Draws where a classifier of two features decides for which class, one panel a classifier.

    >>> points, labels = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1])
    >>> figure = regions({"x > 1/2": (lambda x: x[:, 0] > 0.5, points, labels)})
    >>> [axes.get_title() for axes in figure.axes]
    ['x > 1/2']

    Args: panels: title to (classify, points `[N, 2]`, labels `[N]`), `classify` giving the class
        `[M]` of points `[M, 2]`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.8 * len(panels), 3.6), layout="constrained")
    for number, (title, (classify, points, labels)) in enumerate(panels.items()):
        axes = add_panel(figure, 1, len(panels), number + 1)
        points, labels = np.asarray(points), np.asarray(labels)
        margin = 0.15 * np.ptp(points, axis=0)
        (x0, y0), (x1, y1) = points.min(0) - margin, points.max(0) + margin
        grid = np.stack(np.meshgrid(np.linspace(x0, x1, 150), np.linspace(y0, y1, 150)), -1)
        decided = np.asarray(classify(grid.reshape(-1, 2))).reshape(150, 150)
        top = max(int(labels.max()), 1)
        axes.contourf(grid[..., 0], grid[..., 1], decided, cmap="coolwarm", alpha=0.3, vmax=top)
        axes.scatter(
            points[:, 0], points[:, 1], c=labels, cmap="coolwarm", s=14, edgecolors="black", lw=0.4
        )
        axes.set_title(title)
    return figure


def predicted(targets: ArrayLike, predictions: ArrayLike, *, unit: str = "") -> Any:
    """Draws predictions `[N]` against targets `[N]`, with the line on which they agree.

    >>> figure = predicted([1.0, 3.0], [1.5, 2.0], unit="m")
    >>> figure.axes[0].get_xlabel(), figure.axes[0].lines[0].get_xdata()
    ('target m', array([1., 3.]))
    """
    from matplotlib.figure import Figure

    targets, predictions = np.asarray(targets), np.asarray(predictions)
    figure = Figure(figsize=(4, 3.8), layout="constrained")
    axes = add_panel(figure)
    axes.scatter(targets, predictions, s=10, alpha=0.6)
    ends = [min(targets.min(), predictions.min()), max(targets.max(), predictions.max())]
    axes.plot(ends, ends, color="black", lw=0.8)
    axes.set_xlabel(f"target {unit}".strip())
    axes.set_ylabel(f"prediction {unit}".strip())
    axes.grid(alpha=0.3)
    return figure
