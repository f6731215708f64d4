"""Groups of parameters by path: "/"-joined names, "Dense_0/kernel", matched by shell patterns.

`*` stands for anything, "/" included. The first pattern that matches a path decides, so the general
one comes last; a pattern left without a path is a mistake and raises.
"""

import fnmatch
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

_REST = ""  # the label of paths that no pattern matches


def paths(params: Any) -> list[str]:
    """The path of every leaf, in the order of `jax.tree.leaves`.

    >>> paths({"body": {"kernel": jnp.zeros(2), "bias": jnp.zeros(1)}, "head": jnp.zeros(1)})
    ['body/bias', 'body/kernel', 'head']
    """
    return jax.tree.leaves(_path_tree(params))


def groups(
    transforms: Mapping[str, optax.GradientTransformation],
) -> optax.GradientTransformationExtraArgs:
    """One optimizer for each pattern, `{"head/*": optax.adam(1e-3), "*": optax.sgd(1e-6)}`.

    >>> params = {"body": jnp.ones(1), "head": jnp.ones(1)}
    >>> tx = groups({"head": optax.sgd(1.0), "*": optax.sgd(0.1)})
    >>> tx.update(params, tx.init(params), params)[0]
    {'body': Array([-0.1], dtype=float32), 'head': Array([-1.], dtype=float32)}

    Raises: ValueError, at `init`, if a pattern is left without a path or a path without a pattern.
    """

    def labels(params: Any) -> Any:
        tree = _labels(params, tuple(transforms))
        rest = [
            p for p, label in zip(paths(params), jax.tree.leaves(tree), strict=True) if not label
        ]
        if rest:
            raise ValueError(f"no pattern of {', '.join(transforms)} matches {_listed(rest)}")
        return tree

    return optax.partition(dict(transforms), labels)


def freeze_paths(
    tx: optax.GradientTransformation, *patterns: str
) -> optax.GradientTransformationExtraArgs:
    """The optimizer for all paths but those matching a pattern, which never move.

    Frozen leaves have no optimizer state, and their gradients are not even computed unless the step
    asks for the norm of all. Batch statistics are no parameters: they still follow the data.

    >>> params = {"body": jnp.ones(1), "head": jnp.ones(1)}
    >>> tx = freeze_paths(optax.sgd(1.0), "body")
    >>> tx.update(params, tx.init(params), params)[0]
    {'body': Array([0.], dtype=float32), 'head': Array([-1.], dtype=float32)}

    Raises: ValueError, at `init`, if a pattern matches nothing.
    """

    def labels(params: Any) -> Any:
        mask = path_mask(params, *patterns)
        return jax.tree.map(lambda frozen: "frozen" if frozen else "trained", mask)

    return optax.partition({"trained": tx, "frozen": optax.set_to_zero()}, labels)


def scale_by_path(factors: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiplies updates by a factor for each pattern: learning rates in proportion.

        optax.chain(optax.adam(1e-3), optim.scale_by_path({"head/*": 1.0, "*": 1e-3}))

    Chain it after the optimizer; paths without a pattern keep their updates, a factor of 0 gives
    updates of 0 whatever they were.

    >>> params = {"body": jnp.ones(1), "head": jnp.ones(1)}
    >>> tx = scale_by_path({"head": 10.0, "*": 1.0})
    >>> tx.update(params, tx.init(params), params)[0]
    {'body': Array([1.], dtype=float32), 'head': Array([10.], dtype=float32)}

    Raises: ValueError for a negative factor; at `init`, if a pattern is left without a path.
    """
    for pattern, factor in factors.items():
        if isinstance(factor, (int, float)) and not 0 <= factor < float("inf"):
            raise ValueError(f"the factor of {pattern!r} must be >= 0 and finite, got {factor}")

    def scaled(label: str, update: jax.Array) -> jax.Array:
        if label == _REST:
            return update
        factor = jnp.asarray(factors[label], update.dtype)
        return jnp.where(factor == 0, jnp.zeros_like(update), update * factor)

    def init(params: Any) -> optax.EmptyState:
        _labels(params, tuple(factors))
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        del params
        return jax.tree.map(scaled, _labels(updates, tuple(factors)), updates), state

    return optax.GradientTransformation(init, update)


def path_mask(params: Any, *patterns: str) -> Any:
    """A tree of booleans, True where a path matches one of the patterns.

    >>> path_mask({"body": jnp.zeros(2), "head": jnp.zeros(1)}, "head*")
    {'body': False, 'head': True}

    Raises: ValueError if a pattern matches nothing, listing the paths that exist.
    """
    names = _path_tree(params)
    for pattern in patterns:
        _check_found(pattern, jax.tree.leaves(names))
    return jax.tree.map(
        lambda name: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns), names
    )


def weights_only(params: Any) -> Any:
    """A mask that is True for matrices and kernels, False for biases and scales of norms.

    For weight decay: `optax.adamw(1e-3, weight_decay=0.1, mask=optim.weights_only)`.

    >>> weights_only({"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)})
    {'bias': False, 'kernel': True}
    """
    return jax.tree.map(
        lambda name, leaf: jnp.ndim(leaf) > 1 and name.split("/")[-1] not in ("bias", "scale"),
        _path_tree(params),
        params,
    )


def _path_tree(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/"), params
    )


def _labels(params: Any, patterns: tuple[str, ...]) -> Any:
    """The first pattern that matches each leaf, or "" where none does; each must be somewhere's."""

    def first(name: str) -> str:
        return next((p for p in patterns if fnmatch.fnmatchcase(name, p)), _REST)

    names = _path_tree(params)
    tree = jax.tree.map(first, names)
    used = set(jax.tree.leaves(tree))
    for pattern in patterns:
        _check_found(pattern, jax.tree.leaves(names))
        if pattern not in used:
            raise ValueError(f"{pattern!r} gets no path: earlier patterns match all of its own")
    return tree


def _check_found(pattern: str, names: list[str]) -> None:
    if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
        raise ValueError(f"{pattern!r} matches no parameter; there are {_listed(names)}")


def _listed(names: list[str], most: int = 40) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
