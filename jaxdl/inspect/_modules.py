"""Modules of NNX and Equinox as named scopes, which those of Linen always are."""

import contextlib
import posixpath
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jaxdl.inspect._places import path_name


@contextlib.contextmanager
def named_modules(params: Any) -> Iterator[None]:
    """Modules that are called inside are named scopes, by their path among the parameters.

    A module is known by the parameters in it, which are leaves of `params` themselves. The classes
    of all modules are changed while it is entered, so it belongs around tracing alone.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    paths = {id(leaf): path_name(path[:-1]) for path, leaf in leaves}
    inside: list[str] = [""]  # paths of the modules that are being called

    def named(call: Callable) -> Callable:
        def wrapper(module: Any, *args: Any, **kwargs: Any) -> Any:
            own = [paths[id(leaf)] for leaf in _leaves(module) if id(leaf) in paths]
            path = posixpath.commonpath(own) if own else ""
            outer = inside[-1]
            if not path or path == outer or not f"{path}/".startswith(f"{outer}/" if outer else ""):
                return call(module, *args, **kwargs)
            inside.append(path)
            try:
                with jax.named_scope(path[len(outer) :].lstrip("/")):
                    return call(module, *args, **kwargs)
            finally:
                inside.pop()

        return wrapper

    replaced: list[tuple[Any, Callable]] = []
    try:
        for kind in _module_classes():
            call = vars(kind)["__call__"]
            replaced.append((kind, call))
            kind.__call__ = named(call)
        yield
    finally:
        for kind, call in replaced:
            kind.__call__ = call


def _leaves(module: Any) -> list[Any]:
    nnx = sys.modules.get("flax.nnx")
    if nnx is not None and isinstance(module, nnx.Module):
        return jax.tree.leaves(nnx.state(module, nnx.Param))
    return jax.tree.leaves(module)


def _module_classes() -> list[Any]:
    """The classes of modules, of the libraries that are loaded, that define a call of their own."""
    found: dict[Any, None] = {}
    for name in ("flax.nnx", "equinox"):
        library = sys.modules.get(name)
        waiting = [] if library is None else [library.Module]
        while waiting:
            kind = waiting.pop()
            if kind not in found:
                found[kind] = None
                waiting += type.__subclasses__(kind)
    return [kind for kind in found if "__call__" in vars(kind)]
