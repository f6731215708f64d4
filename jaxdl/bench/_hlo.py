"""Compiled programs as XLA prints them: what runs, how often, over which devices.

The text is what every backend gives. A loop's body is counted as often as it runs: by the trip
count that the compiler wrote down, or by the constant that its condition compares with.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

BYTES = {
    "pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2,
    "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16,
}  # fmt: skip
_ARRAY = re.compile(r"\b([a-z][a-z0-9]*)\[([\d,<=\s]*)\](?:\{([^{}]*)\})?")
_ADDED = (
    r"(?:jit|pjit)\(.*\)|while|body|cond|closed_call|checkpoint|rematted_computation|shard_map|"
    r"branch_\d+_fun|"
)
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "opt-barrier"}
FREE |= {"after-all", "partition-id", "replica-id", "iota"}


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a type: `bytes` with the padding of its tiles, `near` if it is on the chip."""

    dtype: str
    dims: tuple[int, ...]
    bytes: float
    near: bool


@dataclasses.dataclass
class Instruction:
    """One line: `name = type opcode(operands), attributes`."""

    name: str
    arrays: list[Array]
    opcode: str
    operands: list[str]
    rest: str
    root: bool

    @property
    def op_name(self) -> str:
        """Where it was traced: "jit(step)/jvp(Dense_0)/dot_general"."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""

    def called(self, *keys: str) -> list[str]:
        """Names of the computations under `calls=`, `body=` and so on."""
        names = []
        for key in keys:
            for one, many in re.findall(rf"\b{key}=(?:%?([\w.\-]+)|\{{([^}}]*)\}})", self.rest):
                names += [name.strip().lstrip("%") for name in (one or many).split(",")]
        return names

    @property
    def far_bytes(self) -> float:
        """Bytes of the result in the device's memory."""
        return sum(array.bytes for array in self.arrays if not array.near)


@dataclasses.dataclass
class Module:
    """A compiled program, read."""

    computations: dict[str, list[Instruction]]
    entry: str
    aliased: set[int]  # results that are written over donated arguments

    @classmethod
    def parse(cls, text: str) -> "Module":
        computations: dict[str, list[Instruction]] = {}
        entry, current = "", None
        for line in text.splitlines():
            if current is None:
                header = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$", line)
                if header:
                    current = computations.setdefault(header[2], [])
                    entry = header[2] if header[1] else entry
            elif line.startswith("}"):
                current = None
            elif (instruction := _instruction(line)) is not None:
                current.append(instruction)
        aliases = re.search(r"input_output_alias=\{(.*?) \}", text.split("\n", 1)[0])
        outputs = re.findall(r"\{(\d*)\}: \(", aliases[1]) if aliases else []
        return cls(computations, entry, {int(n or 0) for n in outputs})

    def runs(self) -> tuple[list[tuple[Instruction, float, str]], int]:
        """Every instruction that is scheduled, with its count and computation; unknown loops."""
        found: list[tuple[Instruction, float, str]] = []
        unknown = 0

        def visit(name: str, times: float) -> None:
            nonlocal unknown
            for one in self.computations.get(name, ()):
                found.append((one, times, name))
                if one.opcode == "while":
                    trips = self.trips(one)
                    unknown += trips is None
                    for body in one.called("body"):
                        visit(body, times * (1 if trips is None else trips))
                elif one.opcode == "conditional":
                    keys = ("branch_computations", "true_computation", "false_computation")
                    for branch in one.called(*keys):
                        visit(branch, times)
                elif one.opcode in ("call", "async-start"):
                    for callee in one.called("to_apply", "calls"):
                        visit(callee, times)

        visit(self.entry, 1.0)
        return found, unknown

    def trips(self, loop: Instruction) -> int | None:
        """How often a loop's body runs, where that is known before it runs."""
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest)
        if known:
            return int(known[1])
        limits, less = set(), False
        for name in self._reached(loop.called("condition")):
            for one in self.computations.get(name, ()):
                if one.opcode == "constant" and one.arrays and one.arrays[0].dtype == "s32":
                    limits |= {int(n) for n in re.findall(r"^\((-?\d+)\)", one.rest)}
                less |= one.opcode == "compare" and "direction=LT" in one.rest
        return limits.pop() if less and len(limits) == 1 else None

    def _reached(self, names: list[str]) -> Iterator[str]:
        for name in names:
            yield name
            for one in self.computations.get(name, ()):
                yield from self._reached(one.called("calls", "to_apply"))

    def shapes(self, name: str) -> dict[str, Instruction]:
        """The instructions of a computation, by name."""
        return {one.name: one for one in self.computations.get(name, ())}

    def origin(self, one: Instruction) -> str:
        """Where an instruction was traced; of a fusion without a name its last part with one."""
        names = [one.op_name]
        for callee in one.called("calls") if not one.op_name else ():
            names += [inner.op_name for inner in self.computations.get(callee, ())]
        return next((name for name in reversed(names) if name), "")

    def inside(self, one: Instruction, home: str) -> Iterator[tuple[Instruction, str]]:
        """An instruction, and if it is a fusion what it fuses."""
        yield one, home
        if one.opcode == "fusion":
            for callee in one.called("calls"):
                for inner in self.computations.get(callee, ()):
                    yield from self.inside(inner, callee)


def _instruction(line: str) -> Instruction | None:
    found = re.match(r"\s+(ROOT )?%?([\w.\-]+) = ", line)
    if found is None:
        return None
    start = found.end()
    end = _closing(line, start) if line[start] == "(" else line.index(" ", start)
    kind, rest = line[start:end], line[end:].lstrip()
    opcode = re.match(r"[\w\-]+", rest)
    if opcode is None:
        return None
    after = rest[opcode.end() :]
    stop = _closing(after, 0)
    operands = re.findall(r"%([\w.\-]+)", after[:stop])
    tail = after if opcode[0] in ("constant", "parameter") else after[stop:]
    return Instruction(found[2], _arrays(kind), opcode[0], operands, tail, bool(found[1]))


def _closing(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return len(text)


def _arrays(kind: str) -> list[Array]:
    found = []
    for dtype, dims, layout in _ARRAY.findall(kind):
        if dtype in BYTES:
            shape = tuple(int(n) for n in re.findall(r"\d+", dims))
            near = re.search(r"S\([1-9]\d*\)", layout) is not None
            elements = math.prod(_padded(shape, layout))
            found.append(Array(dtype, shape, elements * BYTES[dtype], near))
    return found


def _padded(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """Sizes after padding to the first tile, as TPUs store them: `1,0:T(8,128)`."""
    order, _, tiles = layout.partition(":")
    tile = re.match(r"T\(([\d,]+)\)", tiles)
    if tile is None or not shape or not order:
        return shape
    sizes = [shape[int(axis)] for axis in order.split(",")]  # the fastest first
    for place, unit in enumerate(reversed([int(n) for n in tile[1].split(",")])):
        if place < len(sizes):
            sizes[place] = -(-sizes[place] // unit) * unit
    return tuple(sizes)


def scope(op_name: str) -> str:
    """The named scopes of an operation, without what the transformations add.

    >>> scope("jit(step)/transpose(jvp(ResNet))/block1/conv/conv_general_dilated")
    'ResNet/block1/conv'
    """
    parts = op_name.split("/")[:-1]
    kept = []
    for part in parts:
        inner = part
        while found := re.fullmatch(r"(?:transpose|jvp|vmap|remat\w*)\((.*)\)", inner):
            inner = found[1]
        skip = re.fullmatch(_ADDED, inner)
        if not skip:
            kept.append(inner)
    return "/".join(kept)
