"""Recomputation that saves memory in any network: the forward pass cut where it is narrowest.

`jax.checkpoint` around a whole objective saves nothing: the backward pass recomputes every
activation first and then holds them all. Cut into segments, only what crosses the cuts is kept and
one segment at a time is recomputed (Chen et al. 2016, arXiv:1604.06174). It shows in programs for
GPUs and TPUs; XLA's compiler for CPUs gives every activation its own memory either way.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

Kept = str | Sequence[str] | Callable[..., Any]
POLICIES = ("dots_saveable", "dots_with_no_batch_dims_saveable", "nothing_saveable")
_MOST_PLACES = 200
_FUSED = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "select_n",
        "convert_element_type",
        "broadcast_in_dim",
        "reshape",
        "transpose",
        "squeeze",
        "expand_dims",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and",
        "or",
        "not",
        "sign",
        "stop_gradient",
        "copy",
        "pad",
        "slice",
        "rev",
        "name",
    ]
)


def rematerialized(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose backward pass keeps about the square root of its activations.

    The jaxpr is cut where few bytes are alive, and each piece is computed again when its gradient
    is; of a loop over blocks that have names, each turn.
    """

    def cut(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        values = _run(closed, jax.tree.leaves(args), _cuts(closed.jaxpr), None)
        return jax.tree.unflatten(jax.tree.structure(shape), values)

    return cut


def keeping(function: Callable[..., Any], kept: Kept) -> Callable[..., Any]:
    """`function`, whose backward pass keeps what is named, or what a policy says.

    Where "block" is kept, each block is computed again by itself, and so is each turn of a loop
    over blocks: all at once they would be held together. The statistics of batch norm are kept as
    well: they are small, and devices would have to exchange them again.

    Args:
        function: of pytrees of arrays.
        kept: names given by `jax.ad_checkpoint.checkpoint_name`, a policy such as those of
            `jax.checkpoint_policies`, or the name of one of `POLICIES`.
    """
    if isinstance(kept, str) and kept in POLICIES:
        kept = getattr(jax.checkpoint_policies, kept)
    names = () if callable(kept) else (kept,) if isinstance(kept, str) else tuple(kept)
    of_names = jax.checkpoint_policies.save_only_these_names(*names, "batch_statistics")
    policy = kept if callable(kept) else of_names

    def checked(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        there = set(_names(closed.jaxpr))
        for name in names:
            if name not in there:
                known = ", ".join(sorted(there)) or "no names"
                raise ValueError(
                    f"remat={name!r} names no block, the objective has {known}; "
                    f"policies are {', '.join(POLICIES)}"
                )
        cuts = _cuts_at(closed.jaxpr, "block") if "block" in names else [0, len(closed.jaxpr.eqns)]
        values = _run(closed, jax.tree.leaves(args), cuts, policy)
        return jax.tree.unflatten(jax.tree.structure(shape), values)

    return checked


def _names(jaxpr: Any) -> Iterator[str]:
    """Names in a program and in those that it calls."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "name":
            yield eqn.params["name"]
        for inner in core.jaxprs_in_params(eqn.params):
            yield from _names(inner)


def _is_stack(eqn: Any) -> bool:
    """Whether an equation is a loop over blocks that have names."""
    return eqn.primitive.name == "scan" and any(_names(eqn.params["jaxpr"].jaxpr))


def _cuts_at(jaxpr: Any, name: str) -> list[int]:
    """Numbers of the equations before which to cut: after each of a name."""
    named = [
        number + 1
        for number, eqn in enumerate(jaxpr.eqns)
        if eqn.primitive.name == "name" and eqn.params["name"] == name
    ]
    return [0, *named, len(jaxpr.eqns)]


def _run(closed: Any, args: list, cuts: list[int], policy: Callable[..., Any] | None) -> list:
    """Evaluates the pieces one after the other, each under `jax.checkpoint`."""
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known |= dict(zip(jaxpr.invars, args, strict=True))
    stacks = [number for number, eqn in enumerate(jaxpr.eqns) if _is_stack(eqn)]
    cuts = sorted({*cuts, *stacks, *(number + 1 for number in stacks)})
    needed_after = _needed_after(jaxpr, cuts)
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        equations = jaxpr.eqns[start:stop]
        made = dict.fromkeys(var for eqn in equations for var in eqn.outvars)
        read = [v for eqn in equations for v in eqn.invars if not isinstance(v, core.Literal)]
        inputs = list(dict.fromkeys(v for v in read if v not in made))
        outputs = [v for v in made if v in needed_after[number]]
        names = jaxpr.debug_info.with_unknown_names()
        piece = core.Jaxpr((), inputs, outputs, equations, jaxpr.effects, names)
        whole = core.jaxpr_as_fun(core.ClosedJaxpr(piece, ()))
        # The last piece's activations are used at once; computing them again would be for nothing.
        last = stop == len(jaxpr.eqns) and len(cuts) > 2
        run = whole if last else jax.checkpoint(whole, policy=policy)
        if start in stacks:
            run = _turn_by_turn(jaxpr.eqns[start], inputs, outputs, policy)
        known |= dict(zip(outputs, run(*[known[v] for v in inputs]), strict=True))
    return [v.val if isinstance(v, core.Literal) else known[v] for v in jaxpr.outvars]


def _turn_by_turn(
    eqn: Any, inputs: list, outputs: list, policy: Callable[..., Any] | None
) -> Callable[..., list]:
    """A loop whose turns are computed again one by one."""
    params = eqn.params
    body = core.jaxpr_as_fun(params["jaxpr"])
    turn = jax.checkpoint(body, policy=policy, prevent_cse=False)
    first, carried = params["num_consts"], params["num_consts"] + params["num_carry"]

    def run(*args: Any) -> list:
        there = dict(zip(inputs, args, strict=True))
        values = [v.val if isinstance(v, core.Literal) else there[v] for v in eqn.invars]

        def step(carry: list, x: list) -> tuple[list, list]:
            made = turn(*values[:first], *carry, *x)
            return made[: params["num_carry"]], made[params["num_carry"] :]

        carry, stacked = jax.lax.scan(
            step, values[first:carried], values[carried:], params["length"], params["reverse"]
        )
        made = dict(zip(eqn.outvars, [*carry, *stacked], strict=True))
        return [made[v] for v in outputs]

    return run


def _needed_after(jaxpr: Any, cuts: list[int]) -> list[set]:
    """For each piece, the variables that a later one or the result reads."""
    needed = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    after = []
    for start, stop in reversed(list(itertools.pairwise(cuts))):
        after.append(set(needed))
        for eqn in jaxpr.eqns[start:stop]:
            needed |= {v for v in eqn.invars if not isinstance(v, core.Literal)}
    return after[::-1]


def _cuts(jaxpr: Any) -> list[int]:
    """Numbers of the equations before which to cut, 0 and the number of equations included.

    Of all ways to cut at narrow places the one with the least of what is kept: the bytes alive at
    all cuts, and what the largest piece holds while its gradient is computed.
    """
    count = len(jaxpr.eqns)
    alive = _alive_bytes(jaxpr)
    held = np.concatenate([[0.0], np.cumsum([_held_bytes(eqn) for eqn in jaxpr.eqns])])
    narrow = [
        place
        for place in range(1, count)
        if alive[place] == alive[max(1, place - 8) : place + 9].min()
    ]
    widths = {held[place]: place for place in reversed(narrow)}  # no pieces that hold nothing
    places = [0, *sorted(p for h, p in widths.items() if 0 < h < held[-1]), count]
    if len(places) > _MOST_PLACES:  # a long network: every n-th
        places = [places[i] for i in np.linspace(0, len(places) - 1, _MOST_PLACES).astype(int)]
    least, best = math.inf, [0, count]
    for limit in np.geomspace(held[-1] / 64 + 1, held[-1] + 1, 24):
        saved, cuts = _cheapest(places, alive, held, limit)
        if saved + limit < least:
            least, best = saved + limit, cuts
    return best


def _cheapest(
    places: list[int], alive: np.ndarray, held: np.ndarray, limit: float
) -> tuple[float, list[int]]:
    """The cuts with the fewest bytes alive among those whose pieces hold at most `limit`."""
    cost = [0.0] + [math.inf] * (len(places) - 1)
    before = [0] * len(places)
    for end in range(1, len(places)):
        for start in range(end - 1, -1, -1):
            if held[places[end]] - held[places[start]] > limit:
                break
            kept = cost[start] + (alive[places[start]] if start else 0.0)
            if kept < cost[end]:
                cost[end], before[end] = kept, start
    cuts, place = [places[-1]], len(places) - 1
    while place and cost[-1] < math.inf:
        place = before[place]
        cuts.append(places[place])
    return cost[-1], cuts[::-1]


def _held_bytes(eqn: Any) -> int:
    """What an equation leaves for the backward pass; the cheap ones are fused into others."""
    return 0 if eqn.primitive.name in _FUSED else sum(map(_bytes, eqn.outvars))


def _alive_bytes(jaxpr: Any) -> np.ndarray:
    """Bytes made before each equation and read from it on: what a cut there has to keep."""
    made: dict[Any, int] = {}
    change = np.zeros(len(jaxpr.eqns) + 2)
    last: dict[Any, int] = {}
    for index, eqn in enumerate(jaxpr.eqns):
        for var in eqn.invars:
            if not isinstance(var, core.Literal) and var in made:
                last[var] = index
        made.update(dict.fromkeys(eqn.outvars, index))
    for var in jaxpr.outvars:
        if not isinstance(var, core.Literal) and var in made:
            last[var] = len(jaxpr.eqns)
    for var, end in last.items():
        change[made[var] + 1] += _bytes(var)
        change[end + 1] -= _bytes(var)
    return np.cumsum(change)


def _bytes(var: Any) -> int:
    aval = var.aval
    return int(np.prod(aval.shape)) * np.dtype(aval.dtype).itemsize if _is_array(aval) else 0


def _is_array(aval: Any) -> bool:
    return hasattr(aval, "shape") and isinstance(getattr(aval, "dtype", None), np.dtype)
