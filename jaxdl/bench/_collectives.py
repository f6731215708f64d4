"""What a compiled program sends between devices: kind, axis of the mesh, bytes, how often."""

import dataclasses
import math
import re
from typing import Any

import numpy as np

from jaxdl.bench._hlo import Instruction, Module, scope

_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)


@dataclasses.dataclass(frozen=True)
class Collective:
    """A communication of a compiled program.

    Attributes:
        kind: "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute".
        axis: axes of the mesh that it goes over, joined by "+"; "?" where it fits none.
        devices: that take part in one group.
        bytes: of the whole array that is reduced, gathered or exchanged, per call and device.
        dtype: of the largest array.
        times: calls in a step.
        scope: named scopes that it comes from.
        spread: how many hosts a group reaches.
    """

    kind: str
    axis: str
    devices: int
    bytes: float
    dtype: str
    times: float
    scope: str
    spread: int = 1

    @property
    def sent_bytes(self) -> float:
        """Bytes that a device sends in a step at least, by the best algorithm known.

        Reference: Patarasuk and Yuan 2009, Bandwidth optimal all-reduce, sec. 3.
        """
        share = 1.0 if "permute" in self.kind else (self.devices - 1) / max(self.devices, 1)
        return self.times * self.bytes * share * (2 if self.kind == "all-reduce" else 1)


def collectives(module: Module, sizes: dict[str, int], hosts: int) -> list[Collective]:
    """Every communication, equal ones added up; `sizes` are the axes of the mesh."""
    found: dict[tuple[Any, ...], Collective] = {}
    for scheduled, times, home in module.runs()[0]:
        for one, where in module.inside(scheduled, home):
            kind = one.opcode.removesuffix("-start")
            if kind not in _COLLECTIVES:
                continue
            known = module.shapes(where)
            arrays = [a for name in one.operands for a in known[name].arrays if name in known]
            arrays = arrays or one.arrays
            groups = _groups(one, math.prod(sizes.values()))
            axis, devices, spread = _axis(groups, sizes, hosts)
            size = sum(array.bytes for array in arrays) * (devices if kind == "all-gather" else 1)
            largest = max(arrays, key=lambda array: array.bytes)
            made = Collective(
                kind, axis, devices, size, largest.dtype, times, scope(one.op_name), spread
            )
            key = dataclasses.astuple(dataclasses.replace(made, times=0))
            more = found[key].times if key in found else 0
            found[key] = dataclasses.replace(made, times=times + more)
    # what stays on one device costs nothing
    return sorted(
        (one for one in found.values() if one.devices > 1), key=lambda one: -one.sent_bytes
    )


def _groups(one: Instruction, devices: int) -> list[list[int]]:
    """The groups of devices that communicate, whichever of XLA's notations is used."""
    if found := re.search(r"source_target_pairs=\{((?:\{\d+,\d+\},?)*)\}", one.rest):
        return [[int(n) for n in pair] for pair in re.findall(r"(\d+),(\d+)", found[1])]
    if found := re.search(r"replica_groups=\{((?:\{[\d,]*\},?)*)\}", one.rest):
        return [
            [int(n) for n in group.split(",")] for group in re.findall(r"\{([\d,]+)\}", found[1])
        ] or [list(range(devices))]
    iota = r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?"
    if found := re.search(iota, one.rest):
        return _reshaped(found[2], found[3]).reshape(_ints(found[1])).tolist()
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\]([^{]*)\{([^}]*)\}", one.rest):
        axes = [(name, int(size)) for name, size in re.findall(r"'([^']+)'=(\d+)", found[1])]
        order = re.search(r"\(\[([\d,]+)\](?:T\(([\d,]+)\))?\)", found[2])
        ids = _reshaped(order[1], order[2]) if order else np.arange(devices)
        return _along(ids.reshape([size for _, size in axes]), axes, found[3])
    return [list(range(devices))]


def _along(ids: np.ndarray, axes: list[tuple[str, int]], chosen: str) -> list[list[int]]:
    """Groups along the chosen axes, or parts of axes: `'axis_0':(2)4` is 4 after 2."""
    shape: list[int] = []
    inside: list[bool] = []
    parts = {n: (b, s) for n, b, s in re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", chosen)}
    for name, size in axes:
        if name not in parts:
            shape.append(size)
            inside.append(False)
        elif parts[name][1]:
            before, some = (int(n) for n in parts[name])
            shape += [before, some, size // before // some]
            inside += [False, True, False]
        else:
            shape.append(size)
            inside.append(True)
    kept = [n for n, one in enumerate(inside) if not one]
    moved = [n for n, one in enumerate(inside) if one]
    count = math.prod(shape[n] for n in moved)
    return ids.reshape(shape).transpose(kept + moved).reshape(-1, count).tolist()


def _reshaped(sizes: str, order: str | None) -> np.ndarray:
    ids = np.arange(math.prod(_ints(sizes))).reshape(_ints(sizes))
    return (ids.transpose(_ints(order)) if order else ids).reshape(-1)


def _ints(text: str) -> list[int]:
    return [int(n) for n in text.split(",")]


def _axis(groups: list[list[int]], sizes: dict[str, int], hosts: int) -> tuple[str, int, int]:
    """Axes of the mesh that groups go along, the devices of one, and the hosts it reaches."""
    shape = tuple(sizes.values())
    total = math.prod(shape)
    moving = [name for place, name in enumerate(sizes) if _differs(groups, shape, place)]
    devices = max(len(group) for group in groups)
    a_host = max(total // max(hosts, 1), 1)
    spread = max(len({device // a_host for device in group}) for group in groups)
    return "+".join(moving) or "?", devices, spread


def _differs(groups: list[list[int]], shape: tuple[int, ...], place: int) -> bool:
    for group in groups:
        if len({int(np.unravel_index(device, shape)[place]) for device in group}) > 1:
            return True
    return False
