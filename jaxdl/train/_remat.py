"""Recomputation that saves memory in any network: the forward pass cut where it is narrowest.

`jax.checkpoint` around a whole objective saves nothing: the backward pass recomputes every
activation first and then holds them all. Cut into segments, only what crosses the cuts is kept and
one segment at a time is recomputed (Chen et al. 2016, arXiv:1604.06174).
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend import core


def rematerialized(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose backward pass keeps about the square root of its activations.

    The jaxpr is cut into about `sqrt(n)` pieces of like memory, each cut where the fewest bytes
    are alive nearby, and each piece is computed again when its gradient is.
    """

    def cut(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        values = _run(closed, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), values)

    return cut


def _run(closed: Any, args: list) -> list:
    """Evaluates the pieces one after the other, each under `jax.checkpoint`."""
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known |= dict(zip(jaxpr.invars, args, strict=True))
    cuts = _cuts(jaxpr)
    needed_after = _needed_after(jaxpr, cuts)
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        equations = jaxpr.eqns[start:stop]
        made = dict.fromkeys(var for eqn in equations for var in eqn.outvars)
        read = [v for eqn in equations for v in eqn.invars if not isinstance(v, core.Literal)]
        inputs = list(dict.fromkeys(v for v in read if v not in made))
        outputs = [v for v in made if v in needed_after[number]]
        piece = core.Jaxpr((), inputs, outputs, equations, jaxpr.effects)
        whole = core.jaxpr_as_fun(core.ClosedJaxpr(piece, ()))
        # The last piece's activations are used at once; computing them again would be for nothing.
        run = whole if stop == len(jaxpr.eqns) else jax.checkpoint(whole)
        known |= dict(zip(outputs, run(*[known[v] for v in inputs]), strict=True))
    return [v.val if isinstance(v, core.Literal) else known[v] for v in jaxpr.outvars]


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
    """Numbers of the equations before which to cut, 0 and the number of equations included."""
    count = len(jaxpr.eqns)
    made_bytes = np.array([sum(map(_bytes, eqn.outvars)) for eqn in jaxpr.eqns], float)
    alive = _alive_bytes(jaxpr)
    pieces = max(2, round(math.sqrt(np.count_nonzero(made_bytes > made_bytes.max() / 64))))
    position = np.cumsum(made_bytes) / max(made_bytes.sum(), 1)
    cuts = {0, count}
    for number in range(1, pieces):
        low, high = ((number + shift) / pieces for shift in (-0.35, 0.35))
        near = np.flatnonzero((position > low) & (position <= high)) + 1
        near = near[near < count]
        if len(near):
            cuts.add(int(near[np.argmin(alive[near])]))
    return sorted(cuts)


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
