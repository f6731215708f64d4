"""Operations of the products in a traced program, each as often as it runs."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend import core
from jax.interpreters import partial_eval


class Product(NamedTuple):
    """One matrix product or convolution of a traced program.

    Attributes:
        flops: of all its runs, over all devices.
        dtype: of the operands; the smaller one where they differ.
        precision: as asked for: "default", "high", "highest", or a preset's name.
        shapes: of the two operands.
        scope: named scopes it was traced in.
    """

    flops: float
    dtype: str
    precision: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    scope: str


def count_flops(function: Callable[..., Any], *args: Any) -> float:
    """Operations of the matrix products and convolutions of `function(*args)`.

    A product `[M, K] @ [K, N]` is 2 M K N, a convolution 2 x outputs x taps x input channels of a
    group, or with the inputs in place of the outputs where these are fewer: the gradient in its
    input costs what the convolution costs, whatever zeros it is padded with. What no result needs
    is left out. The body of a `scan` counts as often as it runs, and so does that of a
    `while_loop` that counts from one number to another; one whose length is not known counts once.
    Of the branches of a `cond` the most expensive counts; what `jax.checkpoint` computes again
    counts again. Inside `shard_map` every device's product counts. Element-wise work is left out,
    as it is in published shares of a device's peak.

    Args:
        function: a pure function of arrays; it is traced, not run.
        args: arrays or `jax.ShapeDtypeStruct`s.

    Returns: operations of all devices together.

    >>> import jax, jax.numpy as jnp
    >>> count_flops(lambda x, w: jax.lax.scan(lambda h, _: (h @ w, None), x, length=10)[0],
    ...             jnp.ones((2, 3)), jnp.ones((3, 3)))
    360.0

    Reference: Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B (model FLOPs).
    """
    return sum(product.flops for product in products(needed(jax.make_jaxpr(function)(*args))))


def needed(closed: core.ClosedJaxpr) -> core.Jaxpr:
    """The part of a program that its results need, as every compiler leaves it."""
    jaxpr = closed.jaxpr
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]


def products(
    jaxpr: core.Jaxpr, times: float = 1.0, scope: str = "", platform: str = ""
) -> list[Product]:
    """All products of a jaxpr that runs `times`, under the named scopes `scope`.

    Of `lax.platform_dependent` the branch of `platform` counts.
    """
    found: list[Product] = []
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        here = "/".join(part for part in (scope, str(equation.source_info.name_stack)) if part)
        if name in ("dot_general", "conv_general_dilated"):
            found.append(_product(equation, times, here))
        elif name == "cond":
            branches = [
                products(branch.jaxpr, times, here, platform)
                for branch in _branches(params, platform)
            ]
            found += max(branches, key=lambda some: sum(product.flops for product in some))
        else:
            more = times * _repeats(equation)
            for inner in _inner(params):
                found += products(inner, more, here, platform)
    return found


def _branches(params: dict[str, Any], platform: str) -> list[core.ClosedJaxpr]:
    """Those that may run on a platform: "cpu", "tpu", "cuda"."""
    branches, platforms = params["branches"], params.get("branches_platforms")
    if not platform or not platforms:
        return list(branches)
    for branch, names in zip(branches, platforms, strict=True):
        if names is None or platform in names:
            return [branch]
    return list(branches)


def _product(equation: Any, times: float, scope: str) -> Product:
    params = equation.params
    left, right = (_shape(variable) for variable in equation.invars[:2])
    flops = 2.0 * math.prod(_shape(equation.outvars[0]))
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        flops *= math.prod(left[axis] for axis in contracted)
    else:
        numbers = params["dimension_numbers"]
        channels = right[numbers.rhs_spec[0]]
        flops *= math.prod(right) / max(channels, 1)
        out = _shape(equation.outvars[0])
        for before, after in zip(numbers.lhs_spec[2:], numbers.out_spec[2:], strict=True):
            # each input meets each tap at most once: the rest are zeros of the padding
            flops *= min(1.0, left[before] / max(out[after], 1))
    dtypes = [variable.aval.dtype for variable in equation.invars[:2]]
    dtype = min(dtypes, key=lambda kind: kind.itemsize)
    return Product(times * flops, str(dtype), _precision(params), (left, right), scope)


def _precision(params: dict[str, Any]) -> str:
    """The precision of a product, or that of the configuration where it names none."""
    precision = params.get("precision")
    if isinstance(precision, tuple):
        precision = max(precision, key=lambda one: one.value)
    if precision is None:
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    name = str(getattr(precision, "name", precision or "default")).lower()
    alias = {"bfloat16": "default", "tensorfloat32": "high", "float32": "highest"}
    return alias.get(name, name)


def _repeats(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return params["length"]
    if name == "shard_map":
        # Over other axes the compiler cuts what is written for all of them.
        axes = params.get("newly_manual_axes", params["mesh"].axis_names)
        return math.prod(params["mesh"].shape[axis] for axis in axes)
    if name == "while":
        return _trips(equation) or 1
    if name == "pallas_call":
        grid = params["grid_mapping"].grid
        return math.prod(size for size in grid if isinstance(size, int))
    return 1


def _trips(equation: Any) -> int | None:
    """Runs of a loop that counts by one from a literal to a literal, else None."""
    params = equation.params
    condition, body = params["cond_jaxpr"].jaxpr, params["body_jaxpr"].jaxpr
    if len(condition.eqns) != 1 or condition.eqns[0].primitive.name != "lt":
        return None
    counter, limit = condition.eqns[0].invars
    if not isinstance(limit, core.Literal) or counter not in condition.invars:
        return None
    index = condition.invars.index(counter) - params["cond_nconsts"]
    skipped = params["cond_nconsts"] + params["body_nconsts"]
    start = equation.invars[skipped + index]
    before, after = body.invars[params["body_nconsts"] + index], body.outvars[index]
    by_one = any(
        inner.primitive.name == "add"
        and inner.outvars[0] is after
        and inner.invars[0] is before
        and isinstance(inner.invars[1], core.Literal)
        and int(inner.invars[1].val) == 1
        for inner in body.eqns
    )
    if not by_one or not isinstance(start, core.Literal):
        return None
    return max(0, int(limit.val) - int(start.val))


def _shape(variable: Any) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())


def _inner(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """The programs an equation holds; of a custom derivative the function, not its rules."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item
