"""A program run equation by equation, each element that is not finite traced to where it arose.

Every array goes with a number per element, its origin: 0 where it is finite, or else the birth that
it comes from. What an operation does to origins is found by doing it again: with every element that
is not finite replaced (what is still not finite arose here) and with those of one origin left as
they are (what is not finite then comes from it). So no operation needs a rule of its own.

Programs inside equations are entered only where something arises in them that is not finite.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.sharding import PartitionSpec

from jaxdl.inspect._places import Place, joined, lines_of, place_of
from jaxdl.inspect._values import (
    Birth,
    Extent,
    Value,
    attributed,
    extent,
    is_floating,
    not_finite,
    origin_of,
    replaced,
    sliced,
    stack,
)

_MOST = 8  # origins of one equation that are told apart
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # parameters that hold the program of a call


@dataclasses.dataclass(frozen=True)
class _Around:
    """What surrounds a program: scopes, loops, and the devices of a `shard_map`."""

    scope: str = ""
    loops: tuple[str, ...] = ()
    mesh: Any = None
    axes: tuple[str, ...] = ()
    check_vma: bool = True

    def inside(self, equation: Any, loop: str = "") -> "_Around":
        loops = (*self.loops, loop) if loop else self.loops
        return dataclasses.replace(self, scope=joined(self.scope, equation), loops=loops)

    @property
    def lead(self) -> int:
        """Axes before an array's own: in a `shard_map` one that counts the devices."""
        return 0 if self.mesh is None else 1

    def call(
        self, function: Callable[..., Sequence[Any]], arrays: Sequence[Any], of: Any
    ) -> list[Any]:
        """`function(*arrays)`, on every device its own where there are several.

        `of` is the equation or program that the function runs.
        """
        if self.mesh is None:
            return list(function(*arrays))

        def local(*arrays: Any) -> tuple[Any, ...]:
            return tuple(x[None] for x in function(*(x[0] for x in arrays)))

        ins, outs = self.specs(of.invars), self.specs(of.outvars)
        return list(self.mapped(local, ins, outs)(*arrays))

    def mapped(self, function: Callable, in_specs: Any, out_specs: Any) -> Callable:
        options = {"mesh": self.mesh, "axis_names": set(self.axes), "check_vma": self.check_vma}
        return jax.jit(jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, **options))

    def specs(self, variables: Sequence[Any]) -> tuple[PartitionSpec, ...]:
        """How the first axis of each, that of the devices, is spread."""
        return tuple(PartitionSpec(self._varying(v.aval)) for v in variables)

    def _varying(self, aval: Any) -> tuple[str, ...]:
        """The axes along which the devices hold different values."""
        kept = getattr(aval, "mat", None)  # a set of axes called vma, in older JAX
        varying = kept.varying if kept is not None else getattr(aval, "vma", self.axes)
        varying = varying if self.check_vma else self.axes
        return tuple(axis for axis in self.axes if axis in varying)

    def literal(self, variable: core.Literal) -> Any:
        """A constant written into the program, one for each device that may have its own."""
        aval: Any = variable.aval
        array = jnp.asarray(variable.val, aval.dtype)
        if self.mesh is None:
            return array
        copies = math.prod(self.mesh.shape[axis] for axis in self._varying(aval))
        return jnp.broadcast_to(array, (copies, *array.shape))


class Replay:
    """Runs a program; `births` are then numbered from 1 in the order of execution.

    Args:
        watched: name that `jax.ad_checkpoint.checkpoint_name` gave to values which count as
            results, whatever becomes of them.
    """

    def __init__(self, watched: str | None = None) -> None:
        self.births: list[Birth] = []
        self.marked: list[Value] = []
        self._watched = watched

    def input(self, array: Any, name: str) -> Value:
        """An argument of the program."""
        if not is_floating(array) or not (bad := not_finite(array)).any():
            return Value(array)
        return Value(array, np.where(bad, self._born("input", name, None, (), array, bad), 0))

    def run(
        self, closed: core.ClosedJaxpr, inputs: Sequence[Value], around: _Around | None = None
    ) -> list[Value]:
        """The results of a program."""
        around = _Around() if around is None else around
        jaxpr = closed.jaxpr
        known: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
        for variable, array in zip(jaxpr.constvars, closed.consts, strict=True):
            known[variable] = self._constant(array)

        def read(variable: Any) -> Value:
            if isinstance(variable, core.Literal):
                return self._constant(around.literal(variable))
            return known[variable]

        done_with = _last_uses(jaxpr)
        for place, equation in enumerate(jaxpr.eqns):
            outputs = self._equation(equation, [read(v) for v in equation.invars], around)
            known.update(zip(equation.outvars, outputs, strict=True))
            for variable in done_with.get(place, ()):
                known.pop(variable, None)  # memory as in training, not that of every operation
        return [read(variable) for variable in jaxpr.outvars]

    def _constant(self, array: Any) -> Value:
        if not is_floating(array) or not (bad := not_finite(array)).any():
            return Value(array)
        return Value(array, np.where(bad, self._born("constant", "", None, (), array, bad), 0))

    def _equation(self, equation: Any, inputs: list[Value], around: _Around) -> list[Value]:
        name = equation.primitive.name
        if name == "name" and equation.params["name"] == self._watched:
            self.marked += inputs
        if name in ("sharding_constraint", "reshard"):
            return inputs  # where an array lies, not what it holds
        arrays = [value.array for value in inputs]
        outputs = around.call(lambda *xs: bind(equation, xs), arrays, equation)
        if not any(is_floating(x) and not_finite(x).any() for x in outputs):
            return [Value(x) for x in outputs]
        entered = None
        if not self._only_passes(equation, inputs, around):
            entered = self._enter(equation, inputs, around)
        return self._traced(equation, inputs, outputs, around) if entered is None else entered

    def _only_passes(self, equation: Any, inputs: list[Value], around: _Around) -> bool:
        """Whether all that is not finite comes from the inputs, so that there is no need to enter.

        What a constant among them does inside is to be seen, though.
        """
        numbers = _numbers(inputs)
        if not numbers or any(self.births[n - 1].kind == "constant" for n in numbers):
            return False
        arrays = [replaced(value, None) for value in inputs]
        outputs = around.call(lambda *xs: bind(equation, xs), arrays, equation)
        return not any(is_floating(x) and not_finite(x).any() for x in outputs)

    # Programs inside an equation.

    def _enter(self, equation: Any, inputs: list[Value], around: _Around) -> list[Value] | None:
        """The results by the program inside, or None where there is none to follow."""
        name, params = equation.primitive.name, equation.params
        if name == "scan":
            return self._scan(equation, inputs, around) if params["length"] else None
        if name == "while":
            return self._while(equation, inputs, around)
        if name == "cond":
            index = np.unique(np.asarray(inputs[0].array))
            if len(index) > 1:
                return None  # devices that take different branches
            return self.run(params["branches"][int(index[0])], inputs[1:], around.inside(equation))
        if name == "shard_map":
            return None if around.mesh is not None else self._shard_map(equation, inputs, around)
        program = program_in(equation)
        return None if program is None else self.run(program, inputs, around.inside(equation))

    def _scan(self, equation: Any, inputs: list[Value], around: _Around) -> list[Value]:
        params, lead = equation.params, around.lead
        length, carries = params["length"], params["num_consts"] + params["num_carry"]
        consts, carry, rows = (
            inputs[: params["num_consts"]],
            inputs[params["num_consts"] : carries],
            inputs[carries:],
        )
        order = range(length)[::-1] if params["reverse"] else range(length)
        body = _Body(params["jaxpr"])
        stacked: dict[int, list[Value]] = {}
        for step in order:
            text = f"iteration {step} of {length} of the {_loop(equation)}"
            at_step = [sliced(value, step, lead) for value in rows]
            outputs = body.run(self, [*consts, *carry, *at_step], around.inside(equation, text))
            carry, stacked[step] = outputs[: params["num_carry"]], outputs[params["num_carry"] :]
        columns = zip(*(stacked[step] for step in range(length)), strict=True)
        return [*carry, *(stack(list(column), lead) for column in columns)]

    def _while(self, equation: Any, inputs: list[Value], around: _Around) -> list[Value] | None:
        params = equation.params
        first, second = params["cond_nconsts"], params["body_nconsts"]
        test_consts, body_consts = inputs[:first], inputs[first : first + second]
        carry = inputs[first + second :]
        test, body = _jitted(params["cond_jaxpr"]), _Body(params["body_jaxpr"])
        step = 0
        while True:
            goes_on = around.call(
                test, [value.array for value in (*test_consts, *carry)], params["cond_jaxpr"].jaxpr
            )
            answers = np.unique(np.asarray(goes_on[0]))
            if len(answers) > 1:
                return None  # devices that take different numbers of steps
            if not answers[0]:
                return carry
            text = f"iteration {step} of the {_loop(equation)}"
            carry = body.run(self, [*body_consts, *carry], around.inside(equation, text))
            step += 1

    def _shard_map(self, equation: Any, inputs: list[Value], around: _Around) -> list[Value]:
        """Device by device: every array gets a first axis that counts them."""
        params = equation.params
        axes = tuple(a for a in params["mesh"].axis_names if a in params["newly_manual_axes"])
        inside = dataclasses.replace(
            around.inside(equation), mesh=params["mesh"], axes=axes, check_vma=params["check_vma"]
        )
        jaxpr = params["jaxpr"]

        def moved(values: Sequence[Value], function: Callable, ins: Any, outs: Any) -> list[Value]:
            program = inside.mapped(function, ins, outs)
            arrays = program(*(value.array for value in values))
            origins = [np.asarray(o) for o in program(*(origin_of(value) for value in values))]
            pairs = zip(arrays, origins, strict=True)
            return [Value(x, o if o.any() else None) for x, o in pairs]

        add = lambda *xs: tuple(x[None] for x in xs)  # noqa: E731
        drop = lambda *xs: tuple(x[0] for x in xs)  # noqa: E731
        split = moved(inputs, add, params["in_specs"], inside.specs(jaxpr.invars))
        outputs = self.run(core.ClosedJaxpr(jaxpr, ()), split, inside)
        return moved(outputs, drop, inside.specs(jaxpr.outvars), params["out_specs"])

    # Origins.

    def _traced(
        self, equation: Any, inputs: list[Value], outputs: list[Any], around: _Around
    ) -> list[Value]:
        """The results of an operation with the origins of what is not finite in them."""

        def without(keep: int | None) -> list[Any]:
            arrays = [replaced(value, keep) for value in inputs]
            return around.call(lambda *xs: bind(equation, xs), arrays, equation)

        numbers = _numbers(inputs)[:_MOST]
        repaired = without(None) if numbers else outputs
        alone = {number: without(number) for number in numbers}
        place = place_of(equation, around.scope, around.loops)
        extents = tuple(extent(value.array) for value in inputs)
        results = []
        for i, array in enumerate(outputs):
            if not is_floating(array) or not (bad := not_finite(array)).any():
                results.append(Value(array))
                continue
            nan = np.isnan(np.asarray(array))
            mine = bad & not_finite(repaired[i])
            kept = {number: np.asarray(alone[number][i]) for number in numbers}
            origin = attributed(bad & ~mine, nan, kept)
            constants = [n for n in numbers if self.births[n - 1].kind == "constant"]
            mine |= np.isin(origin, constants) & nan  # infinities meant to be there gave a NaN
            for number in np.unique(origin[bad & ~mine]):
                self._passed(int(number), place, bool(nan[origin == number].any()), inputs)
            if mine.any():
                number = self._born("equation", "", place, extents, array, mine, around.lead)
                origin = np.where(mine, number, origin)
            results.append(Value(array, origin))
        return results

    def _passed(self, number: int, place: Place, gives_nan: bool, inputs: list[Value]) -> None:
        """Remembers an operation that hands on what arose elsewhere."""
        birth = self.births[number - 1]
        if birth.place is None:
            birth.place = place
        if gives_nan and birth.became_nan is None and birth.value == birth.value:
            held = [np.asarray(v.array)[v.origin == number] for v in inputs if v.origin is not None]
            if not any(np.isnan(some).any() for some in held):
                birth.became_nan = place

    def _born(
        self,
        kind: str,
        name: str,
        place: Place | None,
        inputs: tuple[Extent, ...],
        array: Any,
        bad: np.ndarray,
        lead: int = 0,
    ) -> int:
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        if lead and place is not None:
            place = dataclasses.replace(
                place, loops=(*place.loops, f"device {index[0]} of the mesh")
            )
        value = float(np.real(np.asarray(array)[index]))
        self.births.append(Birth(kind, name, place, inputs, extent(array), index[lead:], value))
        return len(self.births)


def _numbers(values: Sequence[Value]) -> list[int]:
    """The origins in arrays, in order."""
    found = {int(o) for v in values if v.origin is not None for o in np.unique(v.origin)}
    return sorted(found - {0})


class _Body:
    """The program of a loop: compiled, and followed only where its results are not finite."""

    def __init__(self, closed: core.ClosedJaxpr) -> None:
        self._closed, self._compiled = closed, _jitted(closed)

    def run(self, replay: Replay, inputs: list[Value], around: _Around) -> list[Value]:
        outputs = around.call(self._compiled, [value.array for value in inputs], self._closed.jaxpr)
        if not any(is_floating(x) and not_finite(x).any() for x in outputs):
            return [Value(x) for x in outputs]
        return replay.run(self._closed, inputs, around)


def program_in(equation: Any) -> core.ClosedJaxpr | None:
    """The program that an equation calls once, if it is a call."""
    if equation.primitive.name in ("scan", "while", "cond", "shard_map"):
        return None
    for program in (equation.params[key] for key in _CALLS if key in equation.params):
        if isinstance(program, core.Jaxpr):
            program = core.ClosedJaxpr(program, ())
        if isinstance(program, core.ClosedJaxpr) and _fits(program.jaxpr, equation):
            return program
    return None


def bind(equation: Any, arrays: Sequence[Any]) -> Sequence[Any]:
    """The results of one equation."""
    found = equation.primitive.get_bind_params(equation.params)
    functions, params = found if isinstance(found, tuple) else ((), found)  # older JAX has a pair
    with equation.ctx.manager:
        outputs = equation.primitive.bind(*functions, *arrays, **params)
    return outputs if equation.primitive.multiple_results else [outputs]


def _last_uses(jaxpr: core.Jaxpr) -> dict[int, list[Any]]:
    """The variables that no equation reads after the one of that number."""
    last = {}
    for place, equation in enumerate(jaxpr.eqns):
        for variable in (*equation.invars, *equation.outvars):
            if not isinstance(variable, core.Literal):
                last[variable] = place
    results = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    found: dict[int, list[Any]] = {}
    for variable, place in last.items():
        if variable not in results:
            found.setdefault(place, []).append(variable)
    return found


def _jitted(closed: core.ClosedJaxpr) -> Callable[..., list[Any]]:
    return jax.jit(core.jaxpr_as_fun(closed))


def _fits(jaxpr: core.Jaxpr, equation: Any) -> bool:
    shapes = [v.aval.shape for v in jaxpr.invars if hasattr(v.aval, "shape")]
    given = [v.aval.shape for v in equation.invars if hasattr(v.aval, "shape")]
    return shapes == given and len(jaxpr.outvars) == len(equation.outvars)


def _loop(equation: Any) -> str:
    own, library = lines_of(equation)
    return f"{equation.primitive.name} at {own or library}"
