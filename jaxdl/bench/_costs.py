"""What a compiled step costs on a target: operations, bytes, communication, and least seconds."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jaxdl._flops import Product
from jaxdl.bench._collectives import Collective, collectives
from jaxdl.bench._hlo import Module
from jaxdl.bench._kernels import computed, kernels, number_format
from jaxdl.bench._memory import traffic
from jaxdl.bench._targets import Target


def costs(
    module: Module, machine: Target, mesh: dict[str, int], found: list[Product]
) -> dict[str, Any]:
    """Operations, bytes and communication, and the least seconds for each."""
    kind, devices = machine.chip.kind, machine.num_devices
    by_format: dict[str, float] = {}
    silent: dict[str, tuple[int, float]] = {}
    total = sum(product.flops for product in found)
    for product in found:
        name = number_format(product.dtype, product.precision, kind)
        by_format[name] = by_format.get(name, 0.0) + product.flops / devices
        if product.dtype == "float32" and name != "float32":
            number, share = silent.get(name, (0, 0.0))
            silent[name] = (number + 1, share + product.flops / max(total, 1.0))
    compiled = bool(module.computations)
    moved = traffic(module, machine.chip.cache_bytes)
    sent = collectives(module, mesh, machine.hosts)
    rates = machine.flops
    compute = sum(
        (n / _rate(rates, name) for name, n in by_format.items()), 0.0 if rates else math.nan
    )
    memory = moved.least / machine.memory_rate if compiled else math.nan
    links = sum((_link_seconds(one, machine) for one in sent), 0.0) if compiled else math.nan
    if not rates:
        links = math.nan  # nothing is published
    most = moved.most / machine.memory_rate if compiled else math.nan
    lower = max((t for t in (compute, memory, links) if not math.isnan(t)), default=math.nan)
    peak = rates.get("bfloat16", math.nan)
    return {
        "flops": total / devices,
        "flops_by_format": by_format,
        "executed_flops": sum(c.flops for c in computed(module, kind)) if compiled else math.nan,
        "silent": silent,
        "bytes_least": moved.least if compiled else math.nan,
        "bytes_most": moved.most if compiled else math.nan,
        "collectives": sent,
        "kernels": kernels(module),
        "unknown_loops": module.runs()[1],
        "compute_seconds": compute,
        "memory_seconds": memory,
        "link_seconds": links,
        "serial_seconds": compute + most + links,
        "mfu": total / devices / (lower * peak) if lower else math.nan,
    }


def _rate(rates: Mapping[str, float], name: str) -> float:
    """Peak of a number format; of one byte twice that of bfloat16, which none exceeds but B200."""
    if name.startswith(("float8", "int8", "uint8")):
        return 2 * rates.get("bfloat16", math.nan)
    return rates.get(name, rates.get("float32", math.nan))


def _link_seconds(one: Collective, machine: Target) -> float:
    """Least seconds of a communication: inside a host, or of what each device sends to others."""
    seconds = one.sent_bytes / machine.chip.interconnect * machine.chip.cores
    if one.spread == 1 or not machine.chip.network:
        return seconds
    # the devices of a host share what leaves it: each sends its part of the array
    a_host = max(one.devices // one.spread, 1)
    outside = dataclasses.replace(one, devices=one.spread, bytes=one.bytes / a_host)
    return max(seconds, outside.sent_bytes / machine.chip.network)
