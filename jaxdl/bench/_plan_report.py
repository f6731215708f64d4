"""Plans as text."""

import math
from collections.abc import Mapping

from jaxdl.bench._plan import Plan

_GIB = 1 << 30


def describe(plan: Plan) -> str:
    """A plan as a page for the terminal.

    >>> import jax
    >>> from jaxdl.bench import plan
    >>> made = plan(lambda x: x @ x, jax.ShapeDtypeStruct((64, 64), "float32"), target="cpu",
    ...             cache=False)
    >>> describe(made).splitlines()[0].split(":")[:2]
    ['cpu', ' 1 device, fits']
    """
    shape = " x ".join(f"{name} {size}" for name, size in plan.mesh.items() if size > 1)
    count = f"{plan.devices} device{'s' * (plan.devices > 1)}" + (f" ({shape})" if shape else "")
    verdict = "fits" if plan.fits else "does NOT fit"
    lines = [
        f"{plan.target}: {count}, {verdict}: {_size(plan.peak_bytes)} of "
        f"{_size(plan.capacity_bytes)} a device"
    ]
    lines += [f"  {plan.message}"] if plan.message else []
    lines += ["", "memory a device"]
    lines += [f"  {_size(size):>12}  {kind}" for kind, size in _falling(plan.memory) if size]
    lines += ["", "largest arrays"]
    lines += [
        f"  {_size(one.bytes):>12}  {one.type} {one.kind}, {one.origin or '?'}"
        for one in plan.largest
    ]
    lines += ["", "products a device", f"  {_count(plan.flops):>12}"]
    lines += [
        f"  {flops / plan.flops:>12.1%}  in {name}"
        for name, flops in _falling(plan.flops_by_format)
        if plan.flops
    ]
    for name, (number, share) in plan.silent.items():
        lines.append(
            f"  {number} of them, {share:.0%}, are float32 in the program and run in {name}"
        )
    if plan.executed_flops > 1.02 * plan.flops:
        more = plan.executed_flops / plan.flops
        lines.append(f"  the compiled program computes {more:.2f} times that")
    if plan.unknown_loops:
        lines.append(f"  loops whose length is not known, counted once: {plan.unknown_loops}")
    if plan.collectives:
        lines += ["", f"communication a device: {_size(plan.sent_bytes)} sent"]
        lines += [
            f"  {_size(one.sent_bytes):>12}  {one.times:g} x {one.kind} over {one.axis} "
            f"({one.devices} devices, {one.dtype}), {one.scope or '?'}"
            for one in plan.collectives[:10]
        ]
    if plan.kernels:
        calls = ", ".join(f"{count:g} x {name}" for name, count in plan.kernels.items())
        lines += ["", f"kernels: {calls}"]
    return "\n".join([*lines, "", *_roofline(plan)])


def _roofline(plan: Plan) -> list[str]:
    cached = " (compiled before)" if plan.cached else ""
    spent = (
        f"traced in {plan.trace_seconds:.1f} s, compiled in {plan.compile_seconds:.1f} s{cached}"
    )
    if math.isnan(plan.seconds):
        return ["no published peaks: see bench.measure_peaks", spent]
    parts = (
        f"compute {_time(plan.compute_seconds)}, memory {_time(plan.memory_seconds)} "
        f"({_size(plan.bytes_least)} to {_size(plan.bytes_most)}), links {_time(plan.link_seconds)}"
    )
    return [
        f"no faster than {_time(plan.seconds)}, bound by {plan.bound}; one after the other at the "
        f"peaks {_time(plan.serial_seconds)}",
        f"  {parts}",
        f"  at most {plan.mfu:.1%} of the peak in bfloat16",
        spent,
    ]


def _falling(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: -item[1])


def _size(count: float) -> str:
    if math.isnan(count):
        return "?"
    for unit, size in (("GiB", _GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"


def _count(flops: float) -> str:
    for unit, size in (("TFLOP", 1e12), ("GFLOP", 1e9)):
        if flops >= size:
            return f"{flops / size:.2f} {unit}"
    return f"{flops / 1e6:.2f} MFLOP"


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return "?"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"
