"""Figures of speed against the number of devices."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from jaxdl.plots._style import add_panel, add_panels


def scaling(devices: Sequence[int], rates: Mapping[str, Sequence[float]]) -> Any:
    """Draws examples per second and efficiency against the number of devices.

    >>> figure = scaling([1, 2, 4], {"strong": [100.0, 190.0, 320.0]})
    >>> figure.axes[1].lines[0].get_ydata()  # examples per second and device, against one
    array([1.  , 0.95, 0.8 ])

    Args:
        devices: how many, the first one being 1.
        rates: by kind of scaling, examples per second at each of them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    speed, efficiency = add_panels(figure, 1, 2)
    for kind, rate in rates.items():
        (line,) = speed.plot(devices, rate, marker="o", label=kind)
        ideal = [rate[0] * n for n in devices]
        speed.plot(devices, ideal, linestyle=":", color=line.get_color(), label=f"{kind}, ideal")
        shares = [r / i for r, i in zip(rate, ideal, strict=True)]
        efficiency.plot(devices, shares, marker="o", label=kind)
    speed.set(xlabel="devices", ylabel="examples per second", xscale="log", yscale="log")
    efficiency.set(xlabel="devices", ylabel="rate per device against one", xscale="log")
    efficiency.set_ylim(0, 1.1)
    for axes in (speed, efficiency):
        axes.set_xticks(devices, [str(n) for n in devices])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def power_law(
    compute: ArrayLike, losses: Mapping[str, ArrayLike], line: ArrayLike, *, label: str = ""
) -> Any:
    """Draws the loss of each size against compute, and the law of the best of them.

    >>> figure = power_law([1e9, 1e10], {"small": [3.0, 2.5], "large": [3.5, 2.0]}, [3.0, 2.0])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['small', 'large', 'best of all']

    Args:
        compute: operations `[P]`.
        losses: by name, nats a token `[P]`; what is not finite is left out.
        line: `[P]`, the law.
        label: of the line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = add_panel(figure)
    for name, loss in losses.items():
        axes.plot(compute, loss, marker=".", label=name)
    axes.plot(compute, line, color="black", linestyle="--", label=label or "best of all")
    axes.set(xlabel="operations of products", ylabel="validation loss (nats)")
    axes.set(xscale="log", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:.2g}")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    return figure
