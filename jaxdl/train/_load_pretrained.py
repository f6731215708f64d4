"""Transfer learning: somebody else's weights under a new head.

    params, report = train.load_pretrained(params, source, fresh=["head/*"])
    tx = optim.freeze_paths(optax.adam(1e-3), "conv*")  # freeze, or
    tx = optax.chain(optax.adam(1e-3), optim.scale_by_path({"head/*": 1.0, "*": 1e-3}))  # slow

Freezing parameters does not freeze batch statistics: evaluate the body with `train=False` for that.
"""

import fnmatch
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import optim
from jaxdl.models.weights import LoadReport


def load_pretrained(
    params: Any, source: Any, *, fresh: Sequence[str] = ()
) -> tuple[Any, LoadReport]:
    """Copies every leaf of `source` into the leaf of `params` of the same path and shape.

    >>> params = {"body": jnp.zeros(2), "head": jnp.zeros(3)}
    >>> params, report = load_pretrained(params, {"body": jnp.ones(2), "head": jnp.ones(10)})
    >>> print(params["body"], params["head"], report)
    [1. 1.] [0. 0. 0.] 1 arrays loaded; 1 reshaped: head

    Args:
        params: as initialized; batch statistics can be given likewise.
        source: another tree, or a flat dict from "/"-joined path to array (of NumPy or JAX).
        fresh: patterns of paths that stay as initialized even if the source has them, a new head;
            they count as missing.
    Returns: parameters in the dtypes of `params`, and what matched and what did not.
    Raises: ValueError if a pattern matches no path of `params`, or if nothing matches at all.
    """
    if isinstance(fresh, str):
        raise ValueError(f"fresh needs a list of patterns, got the string {fresh!r}")
    optim.path_mask(params, *fresh)  # raises for a pattern without a path
    found = dict(zip(optim.paths(source), jax.tree.leaves(source), strict=True))
    names = optim.paths(params)
    leaves = dict(zip(names, jax.tree.leaves(params), strict=True))
    taken = {
        name: value
        for name, value in found.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in fresh)
    }
    same = [n for n in names if n in taken and jnp.shape(taken[n]) == jnp.shape(leaves[n])]
    report = LoadReport(
        matched=tuple(same),
        missing=tuple(n for n in names if n not in taken),
        unexpected=tuple(n for n in found if n not in leaves),
        reshaped=tuple(n for n in names if n in taken and n not in same),
    )
    if not same:
        raise ValueError(
            f"nothing in the source fits: the model has {', '.join(names[:10])}, "
            f"the source {', '.join(list(found)[:10])}"
        )
    # Copies, for the buffers of a training state are given away.
    new = [jnp.array(taken[n], leaves[n].dtype) if n in same else leaves[n] for n in names]
    return jax.tree.unflatten(jax.tree.structure(params), new), report
