"""What a compiled program holds and moves, from its schedule.

The compiler gives one figure, the peak; which arrays make it is read from the schedule: a result
lives from the line that makes it to the last that uses it, a result of the size of an operand that
ends there takes its place, and donated arguments are written in place.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from jaxdl.bench._hlo import FREE, Array, Instruction, Module, scope

_NO_TRAFFIC = FREE | {"while", "conditional", "call"}
_SLICES = {"dynamic-slice", "slice", "gather"}
_VIEWS = {"bitcast", "reshape", "copy", "convert", "transpose"}


@dataclasses.dataclass(frozen=True)
class Held:
    """An array that lies in memory when most is in use."""

    bytes: float
    dtype: str
    dims: tuple[int, ...]
    scope: str
    for_backward: bool


@dataclasses.dataclass
class _Buffer:
    array: Array
    op_name: str
    bytes: float
    first: int
    last: int
    for_backward: bool = False


def held_at_peak(module: Module) -> list[Held]:
    """The arrays beside the arguments that are in memory when most is in use, largest first."""
    found = _peak(module, module.entry, module.aliased)[1]
    return sorted(
        (
            Held(b.bytes, b.array.dtype, b.array.dims, scope(b.op_name), b.for_backward)
            for b in found
            if b.bytes
        ),
        key=lambda held: -held.bytes,
    )


def _peak(module: Module, name: str, in_place: set[int]) -> tuple[float, list[_Buffer]]:
    """Most bytes in use while a computation runs, without its parameters, and what they are."""
    lines = module.computations.get(name, [])
    buffers, inner = _lifetimes(module, lines, in_place)
    starting: dict[int, list[_Buffer]] = {}
    for buffer in buffers:
        starting.setdefault(buffer.first, []).append(buffer)
    most, best, live = 0.0, 0, 0.0
    ending: dict[int, float] = {}
    for place in range(len(lines)):
        for buffer in starting.get(place, ()):
            live += buffer.bytes
            ending[buffer.last] = ending.get(buffer.last, 0.0) + buffer.bytes
        if live + inner.get(place, (0.0, []))[0] > most:
            most, best = live + inner.get(place, (0.0, []))[0], place
        live -= ending.pop(place, 0.0)
    at_peak = [buffer for buffer in buffers if buffer.first <= best <= buffer.last]
    return most, at_peak + inner.get(best, (0.0, []))[1]


def _lifetimes(
    module: Module, lines: list[Instruction], in_place: set[int]
) -> tuple[list[_Buffer], dict[int, tuple[float, list[_Buffer]]]]:
    buffers: list[_Buffer] = []
    values: dict[str, Any] = {}  # of each line: a buffer, None (no memory of ours), or a list
    inner: dict[int, tuple[float, list[_Buffer]]] = {}
    for place, one in enumerate(lines):
        operands = [values.get(name) for name in one.operands]
        backward = "transpose(" in one.op_name
        for buffer in _flat(operands):
            buffer.last = place
            if backward and "transpose(" not in buffer.op_name and "jvp(" in buffer.op_name:
                buffer.for_backward = True
        if one.opcode in ("tuple", "opt-barrier") or one.opcode.endswith("-start"):
            values[one.name] = operands if len(operands) != 1 else operands[0]
            if one.opcode == "tuple":
                values[one.name] = operands
        elif one.opcode == "get-tuple-element":
            found = re.search(r"index=(\d+)", one.rest)
            value = operands[0] if operands else None
            index = int(found[1]) if found else 0
            inside = isinstance(value, list) and index < len(value)
            values[one.name] = value[index] if inside else value  # type: ignore[index]
        elif one.opcode in ("parameter", "constant"):
            values[one.name] = None
        elif one.opcode in ("bitcast", "while"):
            values[one.name] = operands[0] if operands else None
            bodies = one.called("body") if one.opcode == "while" else []
            if bodies:
                inner[place] = max(
                    (_peak(module, body, set()) for body in bodies), key=lambda peak: peak[0]
                )
        else:
            name = module.origin(one) or next((b.op_name for b in _flat(operands)), "")
            values[one.name] = _made(one, name, place, operands, buffers)
    root = next((one for one in reversed(lines) if one.root), None)
    if root is not None:
        outputs = values.get(root.name)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        for index, output in enumerate(outputs):
            for buffer in _flat([output]):
                buffer.last = len(lines)
                if index in in_place:
                    buffer.bytes = 0.0
    return buffers, inner


def _made(
    one: Instruction, name: str, place: int, operands: list[Any], buffers: list[_Buffer]
) -> Any:
    """Buffers of a result; they take the place of operands that end here where sizes agree."""
    free = [b for b in _flat(operands) if b.last == place and b.bytes]
    made: list[Any] = []
    for array in one.arrays:
        if array.near:
            made.append(None)
            continue
        taken = next((b for b in free if b.bytes == array.bytes), None)
        if taken is not None:
            free.remove(taken)
            taken.last = place - 1  # its memory is the new buffer's from here on
        buffer = _Buffer(array, name, array.bytes, place, place)
        buffers.append(buffer)
        made.append(buffer)
    return made[0] if len(made) == 1 else made


def _flat(values: Any) -> Iterator[_Buffer]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        elif value is not None:
            yield value


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes that a program moves between a device and its memory, per step.

    Attributes:
        least: what no cache can spare: arguments that are read and results that are written, or
            of every kernel's operands and results the part that exceeds the last-level cache.
        most: every kernel's operands and results.
    """

    least: float
    most: float


def traffic(module: Module, cache_bytes: float) -> Traffic:
    """What a step moves; rows that are gathered or replaced count, not the tables they lie in."""
    most = beyond = 0.0
    for one, times, home in module.runs()[0]:
        if one.opcode in _NO_TRAFFIC or one.opcode.endswith("-done"):
            continue
        sizes = list(_moved(module, one, module.shapes(home)))
        most += times * sum(sizes)
        beyond += times * sum(max(0.0, size - cache_bytes) for size in sizes)
    return Traffic(min(most, max(beyond, _outside(module))), most)


def _moved(module: Module, one: Instruction, known: dict[str, Instruction]) -> Iterator[float]:
    """Bytes read of each operand, then bytes written of each result."""
    for place in range(len(one.operands)):
        yield _read(module, one, place, known)
    yield from _written(module, one, known)


def _read(module: Module, one: Instruction, place: int, known: dict[str, Instruction]) -> float:
    operand = known.get(one.operands[place])
    if operand is None or operand.opcode == "constant":
        return 0.0
    whole = operand.far_bytes
    if one.opcode in _SLICES and place == 0:
        return min(whole, sum(array.bytes for array in one.arrays))
    if one.opcode in ("dynamic-update-slice", "scatter") and place == 0:
        return 0.0
    if one.opcode == "fusion":
        return min([whole, *(_through(module, callee, place) for callee in one.called("calls"))])
    return whole


def _through(module: Module, callee: str, place: int) -> float:
    """Bytes that a fusion reads of its parameter: all of it, unless only slices are used."""
    lines = module.computations.get(callee, [])
    names = {
        line.name
        for line in lines
        if line.opcode == "parameter" and re.match(rf"\({place}\)", line.rest)
    }
    total = 0.0
    for line in lines:
        used = [n for n, name in enumerate(line.operands) if name in names]
        if not used:
            continue
        if line.opcode == "bitcast":
            names.add(line.name)
        elif line.opcode in _SLICES and used == [0]:
            total += sum(array.bytes for array in line.arrays)
        elif line.opcode in ("dynamic-update-slice", "scatter") and used == [0]:
            continue
        else:
            return float("inf")
    return total


def _written(module: Module, one: Instruction, known: dict[str, Instruction]) -> Iterator[float]:
    arrays = [array for array in one.arrays if not array.near]
    update = _update_bytes(one, known)
    if one.opcode == "fusion":
        for callee in one.called("calls"):
            inside = module.shapes(callee)
            for line in inside.values():
                update = update if update is not None else _update_bytes(line, inside)
    for array in arrays:
        yield array.bytes if update is None else min(array.bytes, update)


def _update_bytes(one: Instruction, known: dict[str, Instruction]) -> float | None:
    """Bytes that replace part of an array in place, or None for anything else."""
    place = {"dynamic-update-slice": 1, "scatter": 2}.get(one.opcode)
    if place is None or len(one.operands) <= place or one.operands[place] not in known:
        return None
    return sum(array.bytes for array in known[one.operands[place]].arrays)


def _outside(module: Module) -> float:
    """Bytes of the arguments that are read, and of the results that are written."""
    lines = module.computations.get(module.entry, [])
    known = module.shapes(module.entry)
    read: dict[str, float] = {}
    for one in lines:
        if one.opcode in FREE:
            continue
        for place, name in enumerate(one.operands):
            if name in known and known[name].opcode == "parameter":
                more = (
                    known[name].far_bytes
                    if one.opcode == "while"
                    else _read(module, one, place, known)
                )
                read[name] = min(known[name].far_bytes, read.get(name, 0.0) + more)
    total = sum(read.values())
    root = next((one for one in reversed(lines) if one.root), None)
    for name in root.operands if root is not None and root.opcode == "tuple" else ():
        if name in known and known[name].opcode not in FREE:
            total += sum(_written(module, known[name], known))
    return total
