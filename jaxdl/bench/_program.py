"""What a compiled program costs: seconds to compile, operations, bytes, memory."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program and its cost; call it like the function it was made from.

    Attributes:
        compiled: the executable.
        trace_seconds: spent tracing and lowering.
        compile_seconds: spent by XLA; short where the compilation cache had the program.
        flops: operations of matrix products and convolutions, see `count_flops`.
        xla_flops, xla_bytes: XLA's own estimates of operations and of bytes read and written. It
            counts the body of a loop once, and calls out of XLA not at all.
        argument_bytes, output_bytes, temp_bytes: device memory of a call.
        alias_bytes: output that lies where a donated argument lay.
    """

    compiled: Any
    trace_seconds: float
    compile_seconds: float
    flops: float
    xla_flops: float
    xla_bytes: float
    argument_bytes: int
    output_bytes: int
    temp_bytes: int
    alias_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Device memory held during a call: arguments, results and what lies between."""
        return self.argument_bytes + self.output_bytes - self.alias_bytes + self.temp_bytes

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)


def analyse(function: Callable[..., Any], *args: Any, **jit_options: Any) -> Program:
    """Compiles `function` for `args` and reads what the program costs.

    Args:
        function: a pure function of arrays.
        args: as it will be called.
        jit_options: of `jax.jit`: `donate_argnums`, `out_shardings` and so on.

    >>> import jax.numpy as jnp
    >>> program = analyse(jnp.dot, jnp.ones((8, 16)), jnp.ones((16, 4)))
    >>> int(program.flops), program.output_bytes
    (1024, 128)
    """
    start = time.perf_counter()
    lowered = jax.jit(function, **jit_options).lower(*args)
    traced = time.perf_counter()
    compiled = lowered.compile()
    done = time.perf_counter()
    cost = compiled.cost_analysis() or {}
    memory: Any = compiled.memory_analysis()
    return Program(
        compiled=compiled,
        trace_seconds=traced - start,
        compile_seconds=done - traced,
        flops=count_flops(function, *args),
        xla_flops=cost.get("flops", math.nan),
        xla_bytes=cost.get("bytes accessed", math.nan),
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        alias_bytes=memory.alias_size_in_bytes,
    )


def count_flops(function: Callable[..., Any], *args: Any) -> float:
    """Operations of the matrix products and convolutions of `function(*args)`.

    A product `[M, K] @ [K, N]` is 2 M K N, a convolution 2 x outputs x taps x input channels of a
    group. The body of a `scan` counts as often as it runs; of the branches of a `cond` the dearest
    counts; a `while_loop`, whose length is not known, counts once. Element-wise work is left out,
    as it is in published shares of a device's peak.

    Args:
        function: a pure function of arrays; it is traced, not run.
        args: arrays or `jax.ShapeDtypeStruct`s.

    >>> import jax, jax.numpy as jnp
    >>> count_flops(lambda x, w: jax.lax.scan(lambda h, _: (h @ w, None), x, length=10)[0],
    ...             jnp.ones((2, 3)), jnp.ones((3, 3)))
    360.0

    Reference: Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B (model FLOPs).
    """
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: core.Jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        shapes = [_shape(v) for v in equation.invars]
        outputs = math.prod(_shape(equation.outvars[0])) if equation.outvars else 0
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            total += 2.0 * outputs * math.prod(shapes[0][axis] for axis in contracted)
        elif name == "conv_general_dilated":
            channels = shapes[1][params["dimension_numbers"].rhs_spec[0]]
            taps = math.prod(shapes[1]) / channels
            # of an input with zeros between (a transposed convolution) only its values count
            taps /= math.prod(params["lhs_dilation"])
            total += 2.0 * outputs * taps
        elif name == "cond":
            total += max(_count(branch.jaxpr) for branch in params["branches"])
        else:
            times = params["length"] if name == "scan" else 1
            if name == "shard_map":
                times = params["mesh"].size
            total += times * sum(_count(inner) for inner in _inner(params))
    return total


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
