"""Two programs side by side: the first result, in the order of execution, in which they differ."""

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxdl.inspect._places import Place, joined, lines_of_rules, path_name, place_of
from jaxdl.inspect._replay import bind, program_in


@dataclasses.dataclass(frozen=True)
class Difference:
    """The first tensor in which two programs differ; print it to read it.

    Attributes:
        name: of an argument that differs already; "" for a result of an operation.
        places: the operation, in each program.
        shape: of the tensor.
        size: greatest difference, in units of the greatest magnitude of the tensor.
        index: where that is, `values` what the two hold there.
        programs: the first operations that have no counterpart, in either program, if there are
            some before the difference.
    """

    name: str
    places: tuple[Place, Place] | None
    shape: tuple[int, ...]
    size: float
    index: tuple[int, ...]
    values: tuple[float, float]
    programs: tuple[Place | None, Place | None] | None = None

    def __str__(self) -> str:
        what = f"argument {self.name}" if self.places is None else str(self.places[0])
        lines = [f"{what} differs by {self.size:.3g} of its greatest magnitude"]
        where = f" at index {list(self.index)} of {list(self.shape)}" if self.shape else ""
        lines.append(f"  {self.values[0]:.9g} and {self.values[1]:.9g}{where}")
        if self.places is not None:
            first, second = self.places
            if second.line != first.line:
                lines.append(f"  in the other program {second}")
            if first.module:
                lines.append(f"  module {first.module}{' (backward)' if first.backward else ''}")
            lines += [f"  in {loop}" for loop in first.loops]
        if self.programs is not None:
            one, other = (place or "nothing" for place in self.programs)
            lines.append(
                f"  before it the programs part: {one} in the first, {other} in the second"
            )
        return "\n".join(lines)


def first_difference(
    first: Callable[..., Any],
    second: Callable[..., Any],
    args: Sequence[Any],
    other_args: Sequence[Any] | None = None,
    *,
    tolerance: float = 1e-5,
) -> Difference | None:
    """Runs two programs operation by operation and finds the first result that differs.

    Programs that are not the same are aligned by the names and shapes of their operations; what has
    no counterpart runs and is not compared. Inside `jit`, `checkpoint`, custom derivatives and
    `scan` it goes on to the operation and the iteration.

    >>> double, more = (lambda x: jnp.sin(x * 2.0) + 1.0), (lambda x: jnp.sin(x * 2.5) + 1.0)
    >>> found = first_difference(double, more, [jnp.array([1.0, 4.0])])
    >>> found.places[0].operation, found.index, found.values, found.size
    ('mul', (1,), (8.0, 10.0), 0.2)

    Args:
        first, second: pure functions of arrays, two training steps say.
        args: of both, or of the first alone.
        other_args: of the second.
        tolerance: greatest difference, of the greatest magnitude in a tensor, that counts as none.
    Returns: the difference, or None.
    """
    other_args = args if other_args is None else other_args
    named = [
        {path_name(path): jnp.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(list(some))}
        for some in (args, other_args)
    ]
    for name, leaf in named[0].items():
        found = differs(leaf, named[1][name], tolerance) if name in named[1] else None
        if found is not None:
            return Difference(name, None, *found)
    with lines_of_rules():
        one, two = jax.make_jaxpr(first)(*args), jax.make_jaxpr(second)(*other_args)
    walk = _Walk(tolerance)
    return walk.run(one, list(named[0].values()), two, list(named[1].values()))


def differs(
    one: Any, two: Any, tolerance: float
) -> tuple[tuple[int, ...], float, tuple[int, ...], tuple[float, float]] | None:
    """Shape, size, index and values of a difference beyond the tolerance, if there is one."""
    a, b = _numbers(one), _numbers(two)
    if a.shape != b.shape or not a.size:
        return None
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(a - b))
    gap = np.where(np.isnan(gap), np.inf, gap)
    finite = np.concatenate([a[np.isfinite(a)], b[np.isfinite(b)]])
    scale = float(np.max(np.abs(finite), initial=0.0))
    place = np.unravel_index(int(np.argmax(gap)), gap.shape)
    size = float(gap[place]) / scale if scale else float(gap[place])
    if not size > tolerance:
        return None
    index = tuple(int(i) for i in place)
    return a.shape, size, index, (float(a[place]), float(b[place]))


def _numbers(array: Any) -> np.ndarray:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    return np.real(np.asarray(array)).astype(np.float64)


@dataclasses.dataclass
class _Walk:
    tolerance: float
    outputs: tuple[list[Any], list[Any]] = dataclasses.field(default_factory=lambda: ([], []))

    def run(
        self,
        one: core.ClosedJaxpr,
        args: list[Any],
        two: core.ClosedJaxpr,
        others: list[Any],
        scopes: tuple[str, str] = ("", ""),
        loops: tuple[str, ...] = (),
    ) -> Difference | None:
        """The first difference in two programs; without one `outputs` are their results."""
        sides = _Side(one, args, scopes[0], loops), _Side(two, others, scopes[1], loops)
        parted: tuple[Place | None, Place | None] | None = None
        for kind, a0, a1, b0, b1 in _aligned(one.jaxpr, two.jaxpr):
            if kind != "equal":
                ones = [sides[0].take() for _ in range(a1 - a0)]
                twos = [sides[1].take() for _ in range(b1 - b0)]
                places = sides[0].place(ones), sides[1].place(twos)
                parted = parted or places
                continue
            for _ in range(a1 - a0):
                found = self._pair(sides)
                if found is not None:
                    return dataclasses.replace(found, programs=found.programs or parted)
        self.outputs = sides[0].results(), sides[1].results()
        return None

    def _pair(self, sides: "tuple[_Side, _Side]") -> Difference | None:
        (one, ins, outs), (two, others, others_outs) = sides[0].take(), sides[1].take()
        for a, b in zip(outs, others_outs, strict=True):
            found = differs(a, b, self.tolerance)
            if found is None:
                continue
            inner = self._enter(sides, one, ins, two, others)
            places = sides[0].place([(one, ins, outs)]), sides[1].place([(two, others, outs)])
            return inner or Difference("", places, *found)  # type: ignore[arg-type]
        return None

    def _enter(
        self, sides: "tuple[_Side, _Side]", one: Any, ins: list, two: Any, others: list
    ) -> Difference | None:
        programs = program_in(one), program_in(two)
        scopes = joined(sides[0].scope, one), joined(sides[1].scope, two)
        if programs[0] is not None and programs[1] is not None:
            return self.run(programs[0], ins, programs[1], others, scopes, sides[0].loops)
        if one.primitive.name == "scan" and _alike(one, two):
            return self._scan(sides, one, ins, two, others, scopes)
        return None

    def _scan(
        self, sides: "tuple[_Side, _Side]", one: Any, ins: list, two: Any, others: list, scopes: Any
    ) -> Difference | None:
        params = one.params
        consts, carries = params["num_consts"], params["num_consts"] + params["num_carry"]
        length = params["length"]
        carry, other = ins[consts:carries], others[consts:carries]
        for step in range(length)[::-1] if params["reverse"] else range(length):
            place = place_of(one)
            loop = (*sides[0].loops, f"iteration {step} of {length} of the scan at {place.line}")
            rows, other_rows = ([x[step] for x in some[carries:]] for some in (ins, others))
            found = self.run(
                params["jaxpr"], [*ins[:consts], *carry, *rows],
                two.params["jaxpr"], [*others[:consts], *other, *other_rows], scopes, loop,
            )  # fmt: skip
            if found is not None:
                return found
            carry, other = (some[: params["num_carry"]] for some in self.outputs)
        return None


def _alike(one: Any, two: Any) -> bool:
    names = ("num_consts", "num_carry", "length", "reverse")
    return all(one.params[name] == two.params[name] for name in names)


class _Side:
    """One program, taken an equation at a time."""

    def __init__(
        self, closed: core.ClosedJaxpr, args: list[Any], scope: str, loops: tuple[str, ...]
    ) -> None:
        jaxpr = closed.jaxpr
        self.scope, self.loops = scope, loops
        self._jaxpr, self._equations = jaxpr, iter(jaxpr.eqns)
        self._known = dict(
            zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args], strict=True)
        )

    def _read(self, variable: Any) -> Any:
        if isinstance(variable, core.Literal):
            return jnp.asarray(variable.val, variable.aval.dtype)  # type: ignore[attr-defined]
        return self._known[variable]

    def take(self) -> tuple[Any, list[Any], list[Any]]:
        """The next equation, what it reads and what it gives."""
        equation = next(self._equations)
        ins = [self._read(variable) for variable in equation.invars]
        outs = list(bind(equation, ins))
        self._known.update(zip(equation.outvars, outs, strict=True))
        return equation, ins, outs

    def place(self, taken: Sequence[tuple[Any, list, list]]) -> Place | None:
        """Where the first of them stands."""
        return place_of(taken[0][0], self.scope, self.loops) if taken else None

    def results(self) -> list[Any]:
        return [self._read(variable) for variable in self._jaxpr.outvars]


def _aligned(one: core.Jaxpr, two: core.Jaxpr) -> list[Any]:
    """Runs of equations that are alike, and those that are not: opcodes of difflib."""
    names = [[_signature(equation) for equation in jaxpr.eqns] for jaxpr in (one, two)]
    if names[0] == names[1]:
        return [("equal", 0, len(names[0]), 0, len(names[1]))]
    return difflib.SequenceMatcher(None, names[0], names[1], autojunk=False).get_opcodes()


def _signature(equation: Any) -> tuple[str, tuple[Any, ...]]:
    shapes = (getattr(v.aval, "shape", None) for v in equation.outvars)
    return equation.primitive.name, tuple(shapes)
