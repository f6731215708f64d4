"""What a compiled program costs: seconds to compile, operations, bytes, memory."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax

from jaxdl._flops import count_flops


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
        alias_bytes: output that takes the memory of a donated argument.
        heap_bytes: the compiler's own figure of the most that is in use, 0 where it gives none.
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
    heap_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """Device memory held during a call: arguments, results and what lies between.

        This is the compiler's own figure, unless what it allocates in one piece is more: a CPU's
        compiler leaves its temporaries out of that figure.
        """
        parts = self.argument_bytes + self.output_bytes - self.alias_bytes + self.temp_bytes
        return max(parts, self.heap_bytes)

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)


def analyze(function: Callable[..., Any], *args: Any, **jit_options: Any) -> Program:
    """Compiles `function` for `args` and reads what the program costs.

    Args:
        function: a pure function of arrays.
        args: as it will be called.
        jit_options: of `jax.jit`: `donate_argnums`, `out_shardings` and so on.

    >>> import jax.numpy as jnp
    >>> program = analyze(jnp.dot, jnp.ones((8, 16)), jnp.ones((16, 4)))
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
        heap_bytes=getattr(memory, "peak_memory_in_bytes", 0),
    )
