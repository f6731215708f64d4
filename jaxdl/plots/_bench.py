"""Figures of benchmarks: rooflines, and cost against size."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxdl.plots._style import add_panels


def roofline(
    points: Mapping[str, tuple[float, float]],
    peak_flops: float,
    peak_bytes: float,
) -> Any:
    """Draws programs under the roof that a device's peaks make.

    >>> figure = roofline({"dot": (50.0, 8e11), "copy": (0.1, 9e9)}, 1e12, 1e11)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['100 GB/s', '1,000 GFLOP/s', 'dot', 'copy']

    Args:
        points: by name, operations per byte and operations per second.
        peak_flops: operations per second at best.
        peak_bytes: bytes per second at best.

    Reference: Williams et al. 2009, Roofline, doi:10.1145/1498765.1498785.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = add_panels(figure)
    ridge = peak_flops / peak_bytes
    intensities = [x for x, _ in points.values()] or [ridge]
    low, high = min([*intensities, ridge]) / 3, max([*intensities, ridge]) * 3
    roof = [min(peak_flops, low * peak_bytes), peak_flops, peak_flops]
    axes.plot([low, ridge, high], roof, color="black", linewidth=1.5)
    axes.annotate(f"{peak_bytes / 1e9:,.0f} GB/s", (low * 1.2, low * peak_bytes * 1.6))
    top = f"{peak_flops / 1e9:,.0f} GFLOP/s"
    axes.annotate(top, (high, peak_flops * 1.1), horizontalalignment="right")
    for name, (intensity, rate) in points.items():
        axes.plot(intensity, rate, "o")
        near: Any = {"textcoords": "offset points", "xytext": (5, -3), "fontsize": 8}
        axes.annotate(name, (intensity, rate), **near)
    axes.set(
        xscale="log", yscale="log", xlabel="operations per byte", ylabel="operations per second"
    )
    axes.grid(alpha=0.3)
    return figure


def growth(costs: Mapping[str, Mapping[str, Sequence[float]]]) -> Any:
    """Draws time and memory against size, with the line that grows in proportion.

    >>> cost = {"size": [8, 16, 32], "seconds": [0.1, 0.2, 0.5], "bytes": [100, 200, 400]}
    >>> figure = growth({"batch": cost})
    >>> figure.axes[0].lines[0].get_xdata(), figure.axes[0].lines[0].get_ydata()
    (array([1., 2., 4.]), array([1., 2., 5.]))

    Args:
        costs: by the axis that grows: "size", "seconds" and "bytes", each a number per point.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, cost in zip(add_panels(figure, 1, 2), ("seconds", "bytes"), strict=True):
        most = 1.0
        for name, columns in costs.items():
            factors = [size / columns["size"][0] for size in columns["size"]]
            grown = [value / columns[cost][0] for value in columns[cost]]
            axes.plot(factors, grown, marker="o", label=name)
            most = max(most, *factors)
        axes.plot([1, most], [1, most], linestyle=":", color="black", label="in proportion")
        axes.set(xscale="log", yscale="log", xlabel="times the size", ylabel=f"times the {cost}")
        axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
