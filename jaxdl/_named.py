"""Dicts that say what they hold where they are asked for something else."""

from typing import Any, ClassVar

import jax


class MissingNameError(ValueError, KeyError):
    """A name that is not there; a KeyError for those who look whether it is."""

    def __str__(self) -> str:
        return str(self.args[0])


class Named(dict):
    """A dict, and a pytree as dicts are; a subclass says in `lacks` what it is to miss a name."""

    lacks: ClassVar[str]

    def __init_subclass__(cls) -> None:
        jax.tree_util.register_pytree_with_keys_class(cls)

    def __missing__(self, name: str) -> Any:
        there = ", ".join(map(repr, sorted(self)))
        raise MissingNameError(f"{self.lacks} {name!r}; there are {there}")

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """Children in the order of their names, as those of a dict."""
        names = tuple(sorted(self))
        return [(jax.tree_util.DictKey(name), self[name]) for name in names], names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: Any) -> "Named":
        """The inverse."""
        return cls(zip(names, values, strict=True))
