"""Where an equation of a traced program comes from: lines of source, and the module's path."""

import contextlib
import dataclasses
import functools
import linecache
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

import jaxdl

_JAX = ("jax", "jaxlib")
_LIBRARIES = ("flax", "optax", "equinox", "haiku", "chex", "orbax", "numpy")
_WRAPPER = re.compile(r"\w+\(|\)|\b(checkpoint|rematted_computation|while|cond|body|branch_\w+)\b")


class Line(NamedTuple):
    """A line of source code."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.number).strip()
        return f"{self.file}:{self.number}, in {self.function}" + (f": {text}" if text else "")


@dataclasses.dataclass(frozen=True)
class Place:
    """An equation of a program, seen from outside."""

    operation: str
    line: Line | None  # innermost of the user's own, or of a library's where there is none
    library: Line | None  # innermost of all but JAX's, if that is another one
    module: str  # path by named scopes, "Net/Dense_0"; "" where there are none
    backward: bool
    loops: tuple[str, ...]  # iterations and devices it ran in, outermost first

    def __str__(self) -> str:
        return f"`{self.operation}`" + (f" at {self.line}" if self.line else "")


def place_of(equation: Any, scope: str = "", loops: tuple[str, ...] = ()) -> Place:
    """Where an equation stands; `scope` are the named scopes around its program."""
    stack = joined(scope, equation)
    own, library = lines_of(equation)
    return Place(
        operation_of(equation),
        own or library,
        library if own and library != own else None,
        module_of(stack),
        "transpose(" in stack,
        loops,
    )


def joined(scope: str, equation: Any) -> str:
    """The named scopes of an equation of a program that lies in `scope`."""
    return "/".join(part for part in (scope, str(equation.source_info.name_stack)) if part)


def module_of(stack: str) -> str:
    """A path of modules: the named scopes without what transformations add to them.

    >>> module_of("transpose(jvp(Net))/Dense_0")
    'Net/Dense_0'
    """
    return "/".join(part for part in _WRAPPER.sub("", stack).split("/") if part)


def operation_of(equation: Any) -> str:
    """The name of an operation, or of the jitted or custom function where it is one."""
    name, params = equation.primitive.name, equation.params
    return f"{name} {params['name']}" if name in ("jit", "pjit") else name


def lines_of(equation: Any) -> tuple[Line | None, Line | None]:
    """The innermost line of the user's own, and the innermost of all but JAX's."""
    traceback = equation.source_info.traceback
    library = None
    for frame in traceback.frames if traceback is not None else ():
        name = frame.file_name
        if _is_of_jax(name) or name.startswith("<"):
            continue
        line = Line(name, frame.line_num, frame.function_name.rpartition(".")[2])
        library = library or line
        if _is_tracer(name):
            break  # further out is whoever called the trainer
        others = _roots(_LIBRARIES, len(sys.modules))
        if not name.startswith((*others, _HOME)) and "site-packages" not in name:
            return line, library
    return None, library


@contextlib.contextmanager
def lines_of_rules() -> Iterator[None]:
    """Programs traced inside know the lines of backward rules.

    JAX gives every equation of the backward pass the line of the forward one that it belongs to,
    those of a `custom_vjp` rule included, which have lines of their own.
    """
    module = sys.modules.get("jax._src.source_info_util")  # there is no public way
    original = getattr(module, "current", None)

    def current() -> Any:
        info = original()  # type: ignore[misc]
        here = type(info.traceback).get_traceback()
        return info.replace(traceback=here) if _is_in_rule(here) else info

    if module is None or original is None:
        yield
        return
    module.current = current  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.current = original  # type: ignore[attr-defined]


def _is_in_rule(traceback: Any) -> bool:
    """Whether it is somebody's own code that the backward pass of JAX has called."""
    inner = False
    for frame in traceback.frames:
        name = frame.file_name
        if name.endswith("interpreters/ad.py") and frame.function_name.startswith("backward_pass"):
            return inner
        inner = inner or not _is_of_jax(name)
    return False


_HOME = str(pathlib.Path(jaxdl.__file__).parent) + "/"


def _is_tracer(name: str) -> bool:
    return name.startswith((f"{_HOME}train/", f"{_HOME}inspect/"))


def _is_of_jax(name: str) -> bool:
    return name == __file__ or name.startswith(_roots(_JAX, 0))


@functools.cache
def _roots(names: tuple[str, ...], loaded: int) -> tuple[str, ...]:
    """Folders of the libraries that are loaded; computed again when more are."""
    modules = (sys.modules.get(name) for name in names)
    files = (getattr(module, "__file__", None) for module in modules)
    return tuple(str(pathlib.Path(file).parent) + "/" for file in files if file)


def path_name(path: Any) -> str:
    """A path into a pytree as "dense/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
