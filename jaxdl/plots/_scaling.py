"""Figures of speed against the number of devices."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxdl.plots._style import add_panels


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
