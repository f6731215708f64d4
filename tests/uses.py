"""What a file uses, read from its source: names followed through the modules of jaxdl.

A definition at the top of a module is a node; what its body names (annotations and docstrings
apart) are its edges. Nothing is imported or run.
"""

import ast
import functools
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
Node = tuple[str, str]  # module, and a name at its top; "" is what the module runs itself


@functools.cache
def _tree(module: str) -> ast.Module | None:
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


@functools.cache
def _bindings(module: str) -> dict[str, tuple[str, str | None]]:
    """What the names that a module imports, anywhere in it, stand for: module, and name in it."""
    found: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(_tree(module) or ast.Module([], [])):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                ours = node.module.split(".")[0] in ("jaxdl", "experiments")
                whole = ours and _tree(inner) is not None
                target = (inner, None) if whole else (node.module, alias.name)
                found[alias.asname or alias.name] = target
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (alias.name, None)
    return found


@functools.cache
def _definitions(module: str) -> dict[str, list[ast.stmt]]:
    """The statements at the top of a module by the names they define."""
    found: dict[str, list[ast.stmt]] = {}
    tree = _tree(module)
    for node in tree.body if tree else []:
        names = [""]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [t.id for top in targets for t in ast.walk(top) if isinstance(t, ast.Name)]
        for name in names:
            found.setdefault(name, []).append(node)
    return found


def resolve(module: str, name: str) -> Node | None:
    """Where a name seen in `module` is defined; "*" is a whole module, None an unknown name."""
    if _tree(module) is None:
        return module, name  # somebody else's, shown under a name of ours
    if name in _definitions(module):
        return module, name
    if name not in _bindings(module):
        return None
    target, inner = _bindings(module)[name]
    if inner is None:
        return (target, "*") if _tree(target) is not None else None
    return resolve(target, inner)


class _Names(ast.NodeVisitor):
    """Collects what a statement names; types and docstrings are not use."""

    def __init__(self, module: str):
        self.module, self.found = module, set()

    def visit_arg(self, node):
        pass  # its annotation

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node):
        for part in (*node.decorator_list, node.args, *node.body):
            self.visit(part)

    def visit_Name(self, node):
        if (found := resolve(self.module, node.id)) is not None:
            self.found.add(found)

    def visit_Attribute(self, node):
        chain = []
        while isinstance(node, ast.Attribute):
            chain.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return self.visit(node)
        found = resolve(self.module, node.id)
        while found is not None and found[1] == "*" and chain:
            inner, name = found[0], chain.pop()
            found = resolve(inner, name)
            if found is None and _tree(f"{inner}.{name}") is not None:
                found = (f"{inner}.{name}", "*")
        if found is not None:
            self.found.add(found)


@functools.cache
def _edges(node: Node) -> frozenset[Node]:
    module, name = node
    names = _Names(module)
    for statement in _definitions(module).get(name, []):
        names.visit(statement)
    return frozenset(names.found)


@functools.cache
def reached(module: str) -> frozenset[Node]:
    """All that a module uses: by itself, and through whatever of jaxdl it calls."""
    found: set[Node] = set()
    todo = [(module, name) for name in _definitions(module)]
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += _edges(node)
    return frozenset(found)


def uses(module: str, room: str, name: str) -> bool:
    """Whether a module uses a public name of a room of jaxdl, or anything in a public module."""
    inner = f"jaxdl.{room}.{name}"
    if _tree(inner) is not None and resolve(f"jaxdl.{room}", name) in (None, (inner, "*")):
        return any(where == inner for where, _ in reached(module))
    return resolve(f"jaxdl.{room}", name) in reached(module)
