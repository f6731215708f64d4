"""A network is a pair of pure functions, whatever library its module comes from.

    init(key, inputs) -> (params, state)
    apply(params, state, inputs, key, train) -> (outputs, state)

`as_network` finds the adapter of a Flax Linen, Flax NNX or Equinox module, of a Haiku pair and of a
plain function. Parameters and state are nested dicts of arrays with string keys in every case, so
that patterns of paths, transfer and checkpoints treat all of them alike.

| module | called as | parameters | state |
|---|---|---|---|
| Linen | `module(*inputs, train=...)` | "params" | all other collections |
| NNX | `module(*inputs)` after `train()` or `eval()` | `nnx.Param` | all other variables but keys |
| Equinox | `module(x, [state,] [key=...])` on one example | inexact arrays | `eqx.nn.State` |
| Haiku pair | `apply(params, [state,] key, *inputs, [train])` | as it is | as it is |
| function | `f(params, *inputs)` | to be given | none |

Linen modules without `train` may take `deterministic` or `training` instead, or nothing.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Tree = Any
_KINDS = (
    "a Flax Linen, Flax NNX or Equinox module, a Haiku pair, a function (params, *inputs), "
    "or objectives.Network(init, apply)"
)


class Network(NamedTuple):
    """Two pure functions; a model needs nothing else.

    `init` is called as `init(key, inputs, **named)` and `apply` as
    `apply(params, state, inputs, key, train, **named)`; `inputs` is the tuple of positional
    arguments, `named` holds those of `keywords` that the objective knows ("mask", say).

    >>> import jax.numpy as jnp
    >>> def init(key, inputs):
    ...     return {"w": jnp.ones(3)}, {}
    >>> def apply(params, state, inputs, key, train):
    ...     return inputs[0] @ params["w"], state
    >>> network = Network(init, apply)
    >>> params, state = network.init(jax.random.key(0), (jnp.ones((2, 3)),))
    >>> network.apply(params, state, (jnp.ones((2, 3)),), None, False)[0]
    Array([3., 3.], dtype=float32)
    """

    init: Callable[..., tuple[Tree, Tree]]
    apply: Callable[..., tuple[Any, Tree]]
    keywords: frozenset[str] = frozenset()  # optional arguments that the module can be given


def as_network(module: Any) -> Network:
    """The pure functions of a module of any kind; see the table of this room.

    >>> import flax.linen as linen, jax.numpy as jnp
    >>> network = as_network(linen.Dense(2))
    >>> params, state = network.init(jax.random.key(0), (jnp.ones((1, 3)),))
    >>> params["kernel"].shape, state
    ((3, 2), {})

    Args:
        module: of Linen, NNX or Equinox (for one with state the pair that
            `eqx.nn.make_with_state` gives), a Haiku pair, a function, or a `Network`. NNX and
            Equinox modules are built already: `init` gives their own parameters, whatever the key.
    Raises: TypeError for anything else.
    """
    import flax.linen as linen

    if isinstance(module, Network):
        return module
    if isinstance(module, linen.Module):
        return linen_network(module)
    if _is_instance(module, "flax.nnx", "Module"):
        return nnx_network(module)
    if _is_instance(module, "equinox", "Module"):
        return equinox_network(module)
    if isinstance(module, tuple) and len(module) == 2:
        if _is_instance(module[0], "equinox", "Module"):
            return equinox_network(*module)
        if type(module).__name__ in ("Transformed", "TransformedWithState"):
            return haiku_network(module)
        if all(callable(part) for part in module):
            return Network(*module, keywords=_named(module[1]))
    if inspect.isfunction(module):
        return function_network(module)
    raise TypeError(f"a network has to be {_KINDS}; got {type(module).__name__}")


def linen_network(module: Any) -> Network:
    """A Flax Linen module; its collections beside "params" are the state.

    >>> from jaxdl import models
    >>> import jax.numpy as jnp
    >>> network = linen_network(models.MLP((10,)))
    >>> params, state = network.init(jax.random.key(0), (jnp.zeros((1, 28, 28, 1)),))
    >>> jax.tree.map(jnp.shape, params), state
    ({'head': {'bias': (10,), 'kernel': (784, 10)}}, {})
    """
    mode = _mode(type(module).__call__)

    def init(key: jax.Array, inputs: tuple, **named: Any) -> tuple[Tree, Tree]:
        def initialize(key: jax.Array) -> Any:
            return module.init(key, *inputs, **mode(False), **named)

        variables = dict(jax.jit(initialize)(key))
        return variables.pop("params", {}), variables

    def apply(
        params: Tree, state: Tree, inputs: tuple, key: Any, train: bool,
        *, method: str | None = None, **named: Any,
    ) -> tuple[Any, Tree]:  # fmt: skip
        variables, options = {"params": params, **state}, {"method": method}
        called = mode if method is None else _mode(getattr(type(module), method))
        if not train:
            return module.apply(variables, *inputs, **called(False), **named, **options), state
        outputs, changed = module.apply(
            variables, *inputs, **called(True), **named, **options,
            rngs=None if key is None else {"dropout": key}, mutable=list(state),
        )  # fmt: skip
        return outputs, changed

    return Network(init, apply, _named(type(module).__call__))


def nnx_network(module: Any) -> Network:
    """A Flax NNX module, split here and merged inside the step.

    Dropout reads keys that come from the step's key and not from the module's `Rngs`, so that step
    n of a run draws the same mask whenever it is taken.

    >>> from flax import nnx
    >>> import jax.numpy as jnp
    >>> network = nnx_network(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    >>> params, state = network.init(jax.random.key(0), (jnp.ones((1, 3)),))
    >>> jax.tree.map(jnp.shape, params), state
    ({'bias': (2,), 'kernel': (3, 2)}, {})
    """
    from flax import nnx

    kinds: Any = (nnx.Param, nnx.RngState, ...)
    split: Any = nnx.split  # its type counts the kinds
    graph, params, random, state = split(module, *kinds)
    first_params, to_params = _as_dict(params)
    first_state, to_state = _as_dict(state)
    keywords = _named(type(module).__call__)

    def init(key: jax.Array, inputs: tuple, **named: Any) -> tuple[Tree, Tree]:
        return _copied(first_params), _copied(first_state)

    def apply(
        params: Tree, state: Tree, inputs: tuple, key: Any, train: bool,
        *, method: str | None = None, **named: Any,
    ) -> tuple[Any, Tree]:  # fmt: skip
        model = nnx.merge(graph, to_params(params), _reseeded(random, key), to_state(state))
        model.train() if train else model.eval()
        if "rngs" in keywords and key is not None:
            named = {**named, "rngs": nnx.Rngs(key)}
        outputs = (model if method is None else getattr(model, method))(*inputs, **named)
        if not train:
            return outputs, state
        changed, _ = _as_dict(split(model, *kinds)[3])
        return outputs, changed

    return Network(init, apply, keywords - {"rngs"})


def equinox_network(module: Any, state: Any = None) -> Network:
    """An Equinox module, called on one example at a time under `jax.vmap` as Equinox's own are.

    >>> import equinox as eqx
    >>> network = equinox_network(eqx.nn.Linear(3, 2, key=jax.random.key(0)))
    >>> params, state = network.init(jax.random.key(0), (jnp.ones((1, 3)),))
    >>> jax.tree.map(jnp.shape, params), state
    ({'bias': (2,), 'weight': (2, 3)}, {})

    Args:
        module: called as `module(x)`, with `key=` where it takes one (each example gets its own)
            and with the state as second argument where there is one. The axis of the batch is
            called "batch", for `eqx.nn.BatchNorm(..., axis_name="batch")`.
        state: of `eqx.nn.make_with_state`; None for modules without.
    Parameters are the module's inexact arrays; everything else stays as it was built.
    """
    import equinox as eqx

    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    first_params, to_arrays = _as_dict(arrays)
    has_state = state is not None
    first_state, to_state = _as_dict(state) if has_state else ({}, lambda leaves: None)

    def init(key: jax.Array, inputs: tuple, **named: Any) -> tuple[Tree, Tree]:
        return _copied(first_params), _copied(first_state)

    def apply(
        params: Tree, state: Tree, inputs: tuple, key: Any, train: bool,
        *, method: str | None = None,
    ) -> tuple[Any, Tree]:  # fmt: skip
        model = eqx.combine(to_arrays(params), static)
        model = eqx.nn.inference_mode(model, value=not train)
        called = model if method is None else getattr(model, method)
        takes_key = key is not None and "key" in inspect.signature(called).parameters
        keys = jax.random.split(key, len(inputs[0])) if takes_key else None

        def one(state: Any, key: Any, *example: Any) -> Any:
            options = {"key": key} if takes_key else {}
            if has_state:
                return called(*example, state, **options)
            return called(*example, **options), state

        axes = (None, 0 if takes_key else None, *[0] * len(inputs))
        # Equinox compares the types of old and new states: a sum brings them into the mesh, if any,
        # and makes constants as strongly typed as results.
        before = to_state(jax.tree.map(lambda x: x + jnp.zeros((), x.dtype), state))
        outputs, changed = jax.vmap(one, axes, (0, None), axis_name="batch")(before, keys, *inputs)
        return outputs, _as_dict(changed)[0] if train and has_state else state

    return Network(init, apply)


def haiku_network(pair: Any) -> Network:
    """A pair such as `hk.transform` and `hk.transform_with_state` give.

    >>> import collections
    >>> Transformed = collections.namedtuple("Transformed", "init apply")  # Haiku's own, without it
    >>> init, apply = lambda key, x: {"w": jnp.ones(3)}, lambda params, key, x: x @ params["w"]
    >>> pair = Transformed(init, apply)
    >>> network = haiku_network(pair)
    >>> params, state = network.init(jax.random.key(0), (jnp.ones((2, 3)),))
    >>> network.apply(params, state, (jnp.ones((2, 3)),), None, False)[0]
    Array([3., 3.], dtype=float32)

    The transformed function is called as `f(*inputs)`, or with a boolean after them where `train`,
    `training` or `is_training` is among the parameters of `pair.apply`.
    """
    has_state = type(pair).__name__ == "TransformedWithState"
    mode = _mode(pair.apply)

    def init(key: jax.Array, inputs: tuple, **named: Any) -> tuple[Tree, Tree]:
        made = pair.init(key, *inputs, **mode(False), **named)
        return made if has_state else (made, {})

    def apply(
        params: Tree, state: Tree, inputs: tuple, key: Any, train: bool, **named: Any
    ) -> tuple[Any, Tree]:
        if not has_state:
            return pair.apply(params, key, *inputs, **mode(train), **named), state
        outputs, changed = pair.apply(params, state, key, *inputs, **mode(train), **named)
        return outputs, changed if train else state

    return Network(init, apply, _named(pair.apply))


def function_network(function: Callable[..., Any]) -> Network:
    """A function `(params, *inputs) -> outputs`; its first parameters have to be given.

    >>> network = function_network(lambda params, x: x @ params["w"])
    >>> network.apply({"w": jnp.ones(3)}, {}, (jnp.ones((2, 3)),), None, False)[0]
    Array([3., 3.], dtype=float32)
    """

    def init(key: jax.Array, inputs: tuple, **named: Any) -> tuple[Tree, Tree]:
        raise ValueError(
            f"{function.__name__} is a function and makes no parameters: "
            "give them as trainer.init(key, params=...)"
        )

    def apply(
        params: Tree, state: Tree, inputs: tuple, key: Any, train: bool, **named: Any
    ) -> tuple[Any, Tree]:
        return function(params, *inputs, **named), state

    return Network(init, apply, _named(function))


def _is_instance(module: Any, library: str, name: str) -> bool:
    """Whether it is a module of a library, which is then loaded already."""
    loaded = sys.modules.get(library)
    return loaded is not None and isinstance(module, getattr(loaded, name))


def _named(function: Callable) -> frozenset[str]:
    """Names of the parameters of a function."""
    return frozenset(inspect.signature(function).parameters)


def _mode(function: Callable) -> Callable[[bool], Mapping[str, bool]]:
    """How a function learns whether it trains: by the first of these names that it takes."""
    names = _named(function)
    for name in ("train", "training", "is_training"):
        if name in names:
            return lambda train, name=name: {name: train}  # type: ignore[misc]
    if "deterministic" in names:
        return lambda train: {"deterministic": not train}
    return lambda train: {}


def _as_dict(tree: Any) -> tuple[dict, Callable[[dict], Any]]:
    """Leaves as a nested dict by path, and the function that puts such a dict back."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(tree)
    names = [_parts(path) for path, _ in paths]
    nested: dict = {}
    for parts, (_, leaf) in zip(names, paths, strict=True):
        inner = nested
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        inner[parts[-1]] = leaf

    def rebuild(nested: dict) -> Any:
        leaves = []
        for parts in names:
            leaf = nested
            for part in parts:
                leaf = leaf[part]
            leaves.append(leaf)
        return jax.tree.unflatten(treedef, leaves)

    return nested, rebuild


def _parts(path: Iterable[Any]) -> list[str]:
    parts = [jax.tree_util.keystr((part,), simple=True) for part in path]
    # NNX's variables end in ".value", which says nothing.
    return parts[:-1] if len(parts) > 1 and parts[-1] == "value" else parts or ["value"]


def _copied(tree: Tree) -> Tree:
    """Copies, for the buffers of a training state are given away."""
    return jax.tree.map(lambda x: jnp.array(x, x.dtype), tree)


def _reseeded(random: Any, key: Any) -> Any:
    """The state of NNX's `Rngs` as if it had been built from `key`, a stream each its own."""
    if key is None:
        return random
    leaves, treedef = jax.tree.flatten(random)
    new = []
    for index, leaf in enumerate(leaves):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            new.append(jax.random.fold_in(key, index))
        else:
            new.append(jnp.zeros_like(leaf))
    return jax.tree.unflatten(treedef, new)
