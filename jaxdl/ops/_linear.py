"""Linear maps with a hand-written transpose, differentiable in both modes and to any order.

`jax.custom_vjp` gives a function a hand-written backward pass and takes forward mode away. Here the
derivative is a `jax.custom_jvp` whose tangent is one linear map, and that map brings its transpose:
forward mode applies the map, reverse mode its transpose, and because the transpose of the transpose
is the map again, Hessian-vector products and higher derivatives use both.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend import core
from jax.interpreters import ad, batching, mlir

_Flat = Callable[..., list[jax.Array]]


def linear_map(
    apply: Callable[[Any, Any], Any],
    transpose: Callable[[Any, Any], Any],
    residuals: Any,
    value: Any,
) -> Any:
    """`apply(residuals, value)`, linear in `value`, with `transpose(residuals, cotangent)`.

    >>> double = lambda r, x: 2 * x
    >>> f = lambda x: linear_map(double, double, (), x)
    >>> jax.grad(f)(3.0), jax.jvp(f, (3.0,), (1.0,))[1]
    (Array(2., dtype=float32, weak_type=True), Array(2., dtype=float32, weak_type=True))

    Args:
        apply: a differentiable function of two trees that closes over no traced array.
        transpose: likewise, from a tree like the result to a tree like `value`.
        residuals: what the map depends on otherwise; derivatives in it are those of `apply`.
        value: a tree of floating-point arrays.
    """
    flat_residuals, residual_tree = jax.tree.flatten(residuals)
    flat_value, value_tree = jax.tree.flatten(value)
    result_tree = jax.tree.structure(jax.eval_shape(apply, residuals, value))

    def flatten(function: Callable[[Any, Any], Any], tree: Any) -> _Flat:
        def flat(*args: jax.Array) -> list[jax.Array]:
            first, second = args[: len(flat_residuals)], args[len(flat_residuals) :]
            result = function(
                jax.tree.unflatten(residual_tree, first), jax.tree.unflatten(tree, second)
            )
            return jax.tree.leaves(result)

        return flat

    forth, back = flatten(apply, value_tree), flatten(transpose, result_tree)
    return jax.tree.unflatten(result_tree, _bind(forth, back, flat_residuals, flat_value))


def bilinear_jvp(
    apply: Callable[[jax.Array, jax.Array], jax.Array],
    to_left: Callable[[jax.Array, jax.Array], jax.Array],
    to_right: Callable[[jax.Array, jax.Array], jax.Array],
    primals: Sequence[jax.Array],
    tangents: Sequence[Any],
) -> tuple[jax.Array, jax.Array]:
    """The rule of a `jax.custom_jvp` for `apply(a, b)`, linear in a and in b.

    Args:
        apply: the function itself, rule included: it is linear in each argument.
        to_left: `(cotangent, b)` to the cotangent of a.
        to_right: `(a, cotangent)` to the cotangent of b.
        primals, tangents: as `defjvp(..., symbolic_zeros=True)` gives them.
    """
    (a, b), (d_a, d_b) = primals, tangents
    y, parts = apply(a, b), []
    if not isinstance(d_a, SymbolicZero):
        parts.append(linear_map(lambda b, d: apply(d, b), lambda b, g: to_left(g, b), b, d_a))
    if not isinstance(d_b, SymbolicZero):
        parts.append(linear_map(apply, to_right, a, d_b))
    return y, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(y)


def vary_with(others: Any, tree: Any) -> Any:
    """A tree of arrays, each varying over all axes of `shard_map` over which one of `others` does.

    What a loop carries needs it: zeros are the same on all devices, what is added to them is not.

    >>> float(vary_with(jnp.ones(3), jnp.zeros(())))
    0.0
    """
    axes: frozenset[Any] = frozenset().union(*map(_varying, jax.tree.leaves(others)))

    def cast(x: jax.Array) -> jax.Array:
        missing = tuple(sorted(axes - _varying(x)))
        return jax.lax.pcast(x, missing, to="varying") if missing else x

    return jax.tree.map(cast, tree)


def _varying(x: jax.Array) -> frozenset[Any]:
    return jax.typeof(x).manual_axis_type.varying


_linear_p = core.Primitive("linear")
_linear_p.multiple_results = True


def _bind(
    apply: _Flat, transpose: _Flat, residuals: Sequence[jax.Array], value: Sequence[jax.Array]
) -> list[jax.Array]:
    # All that meets in the map varies over the same axes; the transpose of the cast adds up over
    # devices.
    arrays = (*residuals, *value)

    def cast(function: _Flat) -> _Flat:
        return lambda *args: vary_with(arrays, function(*args))

    residuals, value = vary_with(arrays, (list(residuals), list(value)))
    jaxpr = jax.make_jaxpr(cast(apply))(*residuals, *value)
    arguments = {"jaxpr": jaxpr, "transpose": cast(transpose), "num_residuals": len(residuals)}
    return _linear_p.bind(*residuals, *value, **arguments)


def _evaluate(*args, jaxpr, transpose, num_residuals):
    del transpose, num_residuals
    return core.jaxpr_as_fun(jaxpr)(*args)


def _jvp(primals, tangents, *, jaxpr, transpose, num_residuals):
    options = {"jaxpr": jaxpr, "transpose": transpose, "num_residuals": num_residuals}
    residuals, value = primals[:num_residuals], primals[num_residuals:]
    out, parts = _linear_p.bind(*primals, **options), []
    if any(type(t) is not ad.Zero for t in tangents[num_residuals:]):
        moved = map(ad.instantiate_zeros, tangents[num_residuals:])
        parts.append(_linear_p.bind(*residuals, *moved, **options))
    moves = [i for i in range(num_residuals) if type(tangents[i]) is not ad.Zero]
    if moves:

        def at(*moved):
            there = dict(zip(moves, moved, strict=True))
            here = [there.get(i, r) for i, r in enumerate(residuals)]
            return core.jaxpr_as_fun(jaxpr)(*here, *value)

        parts.append(jax.jvp(at, [residuals[i] for i in moves], [tangents[i] for i in moves])[1])
    return out, [sum(ts[1:], start=ts[0]) for ts in zip(*parts, strict=True)]


def _transpose(cotangents, *args, jaxpr, transpose, num_residuals):
    residuals, value = args[:num_residuals], args[num_residuals:]
    wanted = [i for i, v in enumerate(value) if ad.is_undefined_primal(v)]
    avals = [v.aval for v in jaxpr.jaxpr.invars[num_residuals:]]

    def back(*args):
        all_ = transpose(*args)
        return [all_[i] for i in wanted]

    def forth(*args):  # what is known has no part in the linear map
        there = dict(zip(wanted, args[num_residuals:], strict=True))
        full = [there.get(i, ad.zeros_like_aval(a)) for i, a in enumerate(avals)]
        return core.jaxpr_as_fun(jaxpr)(*args[:num_residuals], *full)

    cotangents = list(map(ad.instantiate_zeros, cotangents))
    found = dict(zip(wanted, _bind(back, forth, residuals, cotangents), strict=True))
    return [None] * num_residuals + [found.get(i) for i in range(len(value))]


def _batch(args, axes, *, jaxpr, transpose, num_residuals):
    size = next(x.shape[a] for x, a in zip(args, axes, strict=True) if a is not None)
    axes = list(axes)
    args = [x if a is None else jnp.moveaxis(x, a, 0) for x, a in zip(args, axes, strict=True)]
    for i in range(
        num_residuals, len(args)
    ):  # so that the transpose is batched through and through
        if axes[i] is None:
            args[i] = jnp.broadcast_to(args[i][None], (size, *args[i].shape))
    residual_axes = [None if a is None else 0 for a in axes[:num_residuals]]

    def each(function):
        def batched(*args):
            in_axes = (*residual_axes, *[0] * (len(args) - num_residuals))
            return jax.vmap(function, in_axes, axis_size=size)(*args)

        return batched

    forth = each(core.jaxpr_as_fun(jaxpr))
    out = _bind(forth, each(transpose), args[:num_residuals], args[num_residuals:])
    return out, [0] * len(out)


_linear_p.def_impl(_evaluate)
_linear_p.def_abstract_eval(lambda *_, jaxpr, **__: jaxpr.out_avals)
ad.primitive_jvps[_linear_p] = _jvp
ad.primitive_transposes[_linear_p] = _transpose
batching.primitive_batchers[_linear_p] = _batch
mlir.register_lowering(_linear_p, mlir.lower_fun(_evaluate, multiple_results=True))
