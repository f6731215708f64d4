"""Rules for networks whose parameters are cut over two axes of a mesh, by the names of layers."""

import fnmatch
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh

from jaxdl.parallel._mesh import Axis, Rules

# For the last axes of an array: what lies on "model", and what may lie on "data" besides. The
# products of a pair fit without communication in between (Shoeybi et al. 2019, arXiv:1909.08053):
# the first makes some of the features, the second adds over them.
_OUTPUTS, _INPUTS = ("data", "model"), ("model", "data")
_TABLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("block*/*query/kernel", _OUTPUTS),
    ("block*/*key/kernel", _OUTPUTS),
    ("block*/*value/kernel", _OUTPUTS),
    ("block*/*out/kernel", _INPUTS),
    ("block*/up/kernel", _OUTPUTS),
    ("block*/gate/kernel", _OUTPUTS),
    ("block*/down/kernel", _INPUTS),
    ("block*/*query/bias", ("model",)),
    ("block*/*key/bias", ("model",)),
    ("block*/*value/bias", ("model",)),
    ("block*/up/bias", ("model",)),
    ("block*/gate/bias", ("model",)),
    ("*embed*/embedding", _INPUTS),  # words on "model"
    ("head/kernel", _OUTPUTS),
    ("head/bias", ("model",)),
    ("kernel_ih", _OUTPUTS),  # gates of recurrent layers
    ("kernel_hh", _OUTPUTS),
)


def model_rules(params: Any, mesh: Mesh | AbstractMesh, *, fully_sharded: bool = True) -> Rules:
    """Rules of a `Layout` for transformers and recurrent networks, a rule for each array they name.

    Heads, hidden features, words of the vocabulary and gates are cut over "model", and the other
    axis of a matrix over "data". An axis that does not divide leaves its place to the other one, as
    words do whose number is odd. What the table does not name is left to `shard_above`.

    >>> mesh = jax.sharding.AbstractMesh((1, 2, 2), ("replica", "data", "model"))
    >>> head = {"kernel": jax.numpy.zeros((4, 6)), "bias": jax.numpy.zeros(6)}
    >>> for rule in model_rules({"head": head}, mesh): print(rule)
    ('head/bias', ('model',))
    ('head/kernel', ('data', 'model'))

    Args:
        params: of a network of `jaxdl.models`, arrays or shapes.
        mesh: on which they will lie.
        fully_sharded: whether "data" is used; without it devices along "data" hold the same.
    Raises: ValueError if no parameter has a name of the table.
    """
    sizes = {name: mesh.shape[name] for name in ("data", "model")}
    if not fully_sharded:
        sizes["data"] = 1
    rules = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for pattern, axes in _TABLE:
            if fnmatch.fnmatchcase(f"/{name}", f"*/{pattern}"):
                front = (None,) * (len(leaf.shape) - len(axes))
                placed = _placed(leaf.shape[len(front) :], axes, sizes)
                rules.append((name, (*front, *placed)))
                break
    if not rules:
        raise ValueError("no parameter is a matrix of attention, of gates or of words")
    return tuple(rules)


def _placed(shape: Sequence[int], wanted: Sequence[str], sizes: dict[str, int]) -> Sequence[Axis]:
    """Mesh axes for the axes of an array: the wanted place, else any other, else none."""
    parts = list(shape)  # what is left to cut
    places: list[tuple[str, ...]] = [() for _ in shape]
    # "model" first, which makes it the outer one where both go over one axis: what is left when
    # "data" is gathered lies in a row
    for number, name in sorted(enumerate(wanted), key=lambda one: one[1] != "model"):
        for axis in (number, *(n for n in range(len(shape)) if n != number)):
            if sizes[name] > 1 and parts[axis] % sizes[name] == 0:
                parts[axis] //= sizes[name]
                places[axis] += (name,)
                break
    return tuple(p[0] if len(p) == 1 else p or None for p in places)
