"""Figures of plans: memory by kind against what there is, and the roofline's three times."""

import math
from collections.abc import Mapping
from typing import Any

from jaxdl.plots._style import add_panels


def plans(plans: Mapping[str, Any]) -> Any:
    """Draws memory a device by kind, and least times of computing, memory and links.

    >>> import jax
    >>> from jaxdl import bench
    >>> made = bench.plan(lambda x: x @ x, jax.ShapeDtypeStruct((8, 8), "float32"), target="cpu",
    ...                   cache=False)
    >>> figure = plans({"cpu": made})
    >>> [axes.get_ylabel() for axes in figure.axes]  # no published peaks of this CPU
    ['bytes a device']

    Args:
        plans: by label, `bench.Plan`s. The capacity of a device is a dashed line where it is near;
            least times are drawn where peaks are published.
    """
    from matplotlib.figure import Figure

    labels = list(plans)
    timed = any(not math.isnan(plan.compute_seconds) for plan in plans.values())
    figure = Figure(figsize=(10 if timed else 5.5, 4), layout="constrained")
    panels = add_panels(figure, 1, 2 if timed else 1, squeeze=False)[0]
    _draw_memory(panels[0], plans, labels)
    if timed:
        times = panels[1]
        for shift, name in enumerate(("compute", "memory", "link")):
            seconds = [getattr(plan, f"{name}_seconds") for plan in plans.values()]
            at = [place + 0.27 * (shift - 1) for place in range(len(labels))]
            times.bar(at, [0.0 if math.isnan(s) else 1e3 * s for s in seconds], 0.25, label=name)
        times.set_xticks(range(len(labels)), labels)
        times.set(ylabel="ms a step, at least")
        times.legend(frameon=False, fontsize=8)
    return figure


def _draw_memory(axes: Any, plans: Mapping[str, Any], labels: list[str]) -> None:
    """Bars of memory by kind, in the unit that suits the largest."""
    largest = max(plan.peak_bytes for plan in plans.values())
    unit, scale = next(
        (name, size)
        for name, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("bytes", 1))
        if largest >= size or size == 1
    )
    base = [0.0] * len(labels)
    for kind in dict.fromkeys(kind for plan in plans.values() for kind in plan.memory):
        sizes = [plan.memory.get(kind, 0.0) / scale for plan in plans.values()]
        axes.bar(labels, sizes, bottom=base, label=kind)
        base = [low + size for low, size in zip(base, sizes, strict=True)]
    for place, plan in enumerate(plans.values()):
        if plan.capacity_bytes < 4 * largest:
            capacity = plan.capacity_bytes / scale
            axes.hlines(capacity, place - 0.45, place + 0.45, color="black", linestyle="--")
    axes.set(ylabel=f"{unit} a device")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def plan_scaling(both: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draws memory, communication and the bound against the number of devices.

    >>> import jax
    >>> from jaxdl import bench
    >>> w, x = (jax.ShapeDtypeStruct((8, 8), "float32") for _ in range(2))
    >>> step = lambda w, x: x @ w
    >>> both = bench.scaling_on_paper(step, w, x, targets=["cpu"], cache=False)
    >>> [axes.get_ylabel() for axes in plan_scaling(both).axes]
    ['GiB a device', 'MB sent a device', 'ms a step, at least']

    Args:
        both: of `bench.scaling_on_paper`: "weak" and "strong", by target.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    measures = {
        "GiB a device": lambda plan: plan.peak_bytes / 2**30,
        "MB sent a device": lambda plan: plan.sent_bytes / 1e6,
        "ms a step, at least": lambda plan: 1e3 * plan.seconds,
    }
    for axes, (label, measure) in zip(add_panels(figure, 1, 3), measures.items(), strict=True):
        for kind, plans in both.items():
            devices = [plan.devices for plan in plans.values()]
            axes.plot(devices, [measure(p) for p in plans.values()], marker="o", label=kind)
        axes.set(xscale="log", xlabel="devices", ylabel=label)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    return figure
