"""One function, computed by another program on the target that has a better one.

`lax.platform_dependent` traces all its branches, whichever machine is there, and knows nothing of
devices. Here a kernel is traced when a program is lowered for its platform and never before, and
only where it can be used: with the library it needs, and for Mosaic's kernels (TPU), which the
compiler cannot cut, on one device or in the code for one device (`shard_map`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching, mlir

Kernel = Callable[..., jax.Array | tuple[jax.Array, ...]]


def by_target(default: Kernel, kernels: Mapping[str, Kernel], *args: Any) -> Any:
    """`default(*args)`, or `kernels[platform](*args)` in a program for that platform.

    >>> by_target(jnp.sin, {"tpu": jnp.cos}, jnp.zeros(1))  # on a CPU
    Array([0.], dtype=float32)

    Args:
        default: a differentiable function; the derivatives are its.
        kernels: by platform, "cuda" or "tpu"; one that cannot be traced is not used (no cuDNN, or
            Pallas under `shard_map` with `check_vma=True`, which it does not support).
        args: trees of arrays.
    """
    flat, tree = jax.tree.flatten(args)
    result = jax.tree.structure(jax.eval_shape(default, *args))

    def flatten(function: Kernel) -> Callable[..., list[jax.Array]]:
        return lambda *flat: jax.tree.leaves(function(*jax.tree.unflatten(tree, flat)))

    jaxpr = jax.make_jaxpr(flatten(default))(*flat)
    others = tuple((name, flatten(kernel)) for name, kernel in kernels.items())
    return jax.tree.unflatten(result, _by_target_p.bind(*flat, jaxpr=jaxpr, kernels=others))


_by_target_p = core.Primitive("by_target")
_by_target_p.multiple_results = True


def _jvp(primals: Sequence, tangents: Sequence, *, jaxpr: Any, kernels: Any) -> Any:
    moves = [i for i, t in enumerate(tangents) if type(t) is not ad.Zero]

    def at(*moved: jax.Array) -> list[jax.Array]:
        there = dict(zip(moves, moved, strict=True))
        return core.jaxpr_as_fun(jaxpr)(*[there.get(i, p) for i, p in enumerate(primals)])

    return jax.jvp(at, [primals[i] for i in moves], [tangents[i] for i in moves])


def _batch(args: Sequence, axes: Sequence, *, jaxpr: Any, kernels: Any) -> tuple[list, list]:
    size = next(x.shape[a] for x, a in zip(args, axes, strict=True) if a is not None)
    args = [x if a is None else jnp.moveaxis(x, a, 0) for x, a in zip(args, axes, strict=True)]
    in_axes = [None if a is None else 0 for a in axes]

    def each(function: Callable) -> Callable:
        return jax.vmap(function, in_axes, axis_size=size)

    batched = jax.make_jaxpr(each(core.jaxpr_as_fun(jaxpr)))(*args)
    others = tuple((name, each(kernel)) for name, kernel in kernels)
    out = _by_target_p.bind(*args, jaxpr=batched, kernels=others)
    return out, [0] * len(out)


def _lower(platform: str | None) -> Callable:
    def rule(ctx: Any, *args: Any, jaxpr: Any, kernels: Any) -> Any:
        function, kernel = core.jaxpr_as_fun(jaxpr), dict(kernels).get(platform)
        alone = _uncut(ctx)
        # What the compiler cuts over devices has to know them, which `jax.export` does not.
        usable = alone if platform == "tpu" else alone or _placed(ctx)
        if kernel is not None and usable and _applies(kernel, ctx.avals_in):
            function, ctx = kernel, _with_a_device(ctx)
        return mlir.lower_fun(function, multiple_results=True)(ctx, *args)

    return rule


def _placed(ctx: Any) -> bool:
    """Whether the devices of the program are known."""
    return getattr(ctx.module_context.axis_context, "device_assignment", ()) is not None


def _with_a_device(ctx: Any) -> Any:
    """The context of a program for one device, whichever: kernels that could be cut ask for it."""
    if _placed(ctx):
        return ctx
    context = ctx.module_context.axis_context
    context = dataclasses.replace(context, device_assignment=(jax.devices()[0],))
    return ctx.replace(module_context=ctx.module_context.replace(axis_context=context))


def _uncut(ctx: Any) -> bool:
    """Whether the compiler will not cut the program over devices by itself."""
    context = ctx.module_context.axis_context
    if hasattr(context, "manual_axes"):
        return set(context.manual_axes) == set(context.mesh.axis_names)
    return getattr(context, "num_devices", 1) in (1, None)


def _applies(kernel: Callable, avals: Sequence) -> bool:
    try:
        jax.eval_shape(kernel, *avals)
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True


_by_target_p.def_impl(lambda *args, **params: jax.jit(_bound(**params))(*args))
_by_target_p.def_abstract_eval(lambda *_, jaxpr, kernels: jaxpr.out_avals)
ad.primitive_jvps[_by_target_p] = _jvp
batching.primitive_batchers[_by_target_p] = _batch
mlir.register_lowering(_by_target_p, _lower(None))
for _platform in ("cuda", "tpu"):
    mlir.register_lowering(_by_target_p, _lower(_platform), platform=_platform)


def _bound(**params: Any) -> Callable:
    return lambda *args: _by_target_p.bind(*args, **params)
