"""Figures of plans: memory by kind against what there is, and the roofline's three times."""

import math
from collections.abc import Mapping
from typing import Any


def plans(plans: Mapping[str, Any]) -> Any:
    """Draws memory a device by kind, and least times of computing, memory and links.

    >>> import jax
    >>> from jaxdl import bench
    >>> made = bench.plan(lambda x: x @ x, jax.ShapeDtypeStruct((8, 8), "float32"), target="cpu",
    ...                   cache=False)
    >>> figure = plans({"cpu": made})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['GiB a device', 'ms a step, at least']

    Args:
        plans: by label, `bench.Plan`s.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    memory, times = figure.subplots(1, 2)
    labels = list(plans)
    kinds = list(dict.fromkeys(kind for plan in plans.values() for kind in plan.memory))
    base = [0.0] * len(labels)
    for kind in kinds:
        sizes = [plan.memory.get(kind, 0.0) / 2**30 for plan in plans.values()]
        memory.bar(labels, sizes, bottom=base, label=kind)
        base = [low + size for low, size in zip(base, sizes, strict=True)]
    for place, plan in enumerate(plans.values()):
        capacity = plan.capacity_bytes / 2**30
        memory.hlines(capacity, place - 0.45, place + 0.45, color="black", linestyle="--")
    memory.set(ylabel="GiB a device", yscale="log" if _far_apart(plans) else "linear")
    memory.legend(frameon=False, fontsize=8)
    for shift, name in enumerate(("compute", "memory", "link")):
        seconds = [getattr(plan, f"{name}_seconds") for plan in plans.values()]
        at = [place + 0.27 * (shift - 1) for place in range(len(labels))]
        times.bar(at, [0.0 if math.isnan(s) else 1e3 * s for s in seconds], 0.25, label=name)
    times.set_xticks(range(len(labels)), labels)
    times.set(ylabel="ms a step, at least")
    times.legend(frameon=False, fontsize=8)
    return figure


def _far_apart(plans: Mapping[str, Any]) -> bool:
    return any(plan.peak_bytes < plan.capacity_bytes / 50 for plan in plans.values())


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
    for axes, (label, measure) in zip(figure.subplots(1, 3), measures.items(), strict=True):
        for kind, plans in both.items():
            devices = [plan.devices for plan in plans.values()]
            axes.plot(devices, [measure(p) for p in plans.values()], marker="o", label=kind)
        axes.set(xscale="log", xlabel="devices", ylabel=label)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    return figure
