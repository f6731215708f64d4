"""Plans: what a step will hold, compute and communicate on a machine that is not there."""

import contextlib
import dataclasses
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxdl import parallel
from jaxdl._flops import Product, needed, products
from jaxdl.bench import _plan_cache
from jaxdl.bench._arguments import Argument, abstract, donated, kept_arguments
from jaxdl.bench._collectives import Collective
from jaxdl.bench._costs import costs
from jaxdl.bench._hlo import Module
from jaxdl.bench._memory import Held, held_at_peak
from jaxdl.bench._plan_cache import key_of, write
from jaxdl.bench._targets import Target, lay_out

_SLOW = (
    ": {} convolutions, for which libtpu may take minutes; with "
    "JAX_EXEC_TIME_OPTIMIZATION_EFFORT=-1 far fewer, for a program that is worse"
)


@dataclasses.dataclass(frozen=True)
class Large:
    """One of the largest arrays at the peak: what it is, its type and where it comes from."""

    bytes: float
    kind: str
    type: str
    origin: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one step needs on a target, everything per device.

    Attributes:
        target: its name.
        devices: how many.
        mesh: sizes of its axes.
        fits: whether the step fits into the memory of a device.
        message: why not, in the compiler's words where it refuses; else empty.
        capacity_bytes: what a program may use.
        peak_bytes: the most that is in use, by the compiler.
        memory: the peak by kind: "parameters", "optimizer", "batch statistics", "batch", "other
            arguments", "activations" (kept for the backward pass), "temporaries".
        largest: the ten largest arrays at the peak.
        flops: operations of the products, of one device; from the traced program.
        flops_by_format: the same by the number format in which the chip multiplies.
        executed_flops: of the products in the compiled program: above `flops` where devices repeat
            each other's work; NaN where it cannot be read.
        silent: products that the program writes in float32 and the chip runs in less: their
            number, share of the operations and format.
        bytes_least, bytes_most: moved from and to the device's memory: with the best cache, and
            with none.
        collectives: every communication.
        kernels: calls of kernels beside the compiler's own, by name.
        unknown_loops: loops whose length is not known and whose body counts once.
        compute_seconds, memory_seconds, link_seconds: least times at the published peaks.
        serial_seconds: all three one after the other, with `bytes_most`: still at the peaks.
        mfu: the greatest share of the peak in bfloat16 that the bound allows.
        trace_seconds, compile_seconds: spent planning.
        cached: whether the compiled part comes from the cache.
    """

    target: str
    devices: int
    mesh: dict[str, int]
    fits: bool
    message: str
    capacity_bytes: float
    peak_bytes: float
    memory: dict[str, float]
    largest: list[Large]
    flops: float
    flops_by_format: dict[str, float]
    executed_flops: float
    silent: dict[str, tuple[int, float]]
    bytes_least: float
    bytes_most: float
    collectives: list[Collective]
    kernels: dict[str, float]
    unknown_loops: int
    compute_seconds: float
    memory_seconds: float
    link_seconds: float
    serial_seconds: float
    mfu: float
    trace_seconds: float
    compile_seconds: float
    cached: bool = False

    @property
    def seconds(self) -> float:
        """No step can be faster: the slowest of computing, memory and links, all overlapped."""
        times = (self.compute_seconds, self.memory_seconds, self.link_seconds)
        return max((time for time in times if not math.isnan(time)), default=math.nan)

    @property
    def bound(self) -> str:
        """What limits the step: "compute", "memory", "links", or "?" without published peaks."""
        times = {
            "compute": self.compute_seconds,
            "memory": self.memory_seconds,
            "links": self.link_seconds,
        }
        known = {name: time for name, time in times.items() if not math.isnan(time)}
        return max(known, key=lambda name: known[name]) if known else "?"

    @property
    def sent_bytes(self) -> float:
        """Bytes that a device sends to others in a step."""
        return sum(one.sent_bytes for one in self.collectives)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, lists and dictionaries; null stands for what is not known."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Plan":
        """Reads `to_json` back."""
        made: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            value = content[field.name]
            made[field.name] = math.nan if value is None and field.type is float else value
        made["largest"] = [Large(**one) for one in made["largest"]]
        made["collectives"] = [Collective(**one) for one in made["collectives"]]
        made["silent"] = {name: tuple(pair) for name, pair in made["silent"].items()}
        return cls(**made)


def plan(
    function: Callable[..., Any],
    *args: Any,
    target: str,
    layout: parallel.Layout | None = None,
    batch_argnums: int | Sequence[int] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    cache: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Compiles a step for a machine that is not there and reads what it will need.

    Nothing is executed. TPUs need libtpu (`pip install 'jaxdl[plan-tpu]'`), NVIDIA's GPUs the CUDA
    plugin (`pip install 'jaxdl[plan-gpu]'`); neither needs the chip.

    Args:
        function: a step of anybody's, jitted or not; a jitted one keeps its own donation.
        args: as it will be called: arrays or `jax.ShapeDtypeStruct`s. One that has a
            `NamedSharding` keeps its axes.
        target: "v5e-256", "v5e:16x16", "h100-8" (devices), "h100-8x16" (devices, hosts), "cpu".
        layout: how the step lies on the devices, on any mesh of as many (an
            `jax.sharding.AbstractMesh` will do); all on "data" if not given.
        batch_argnums: arguments whose leading axis is cut over the devices that see different
            examples; the last one if not given. The others lie as `layout.state` says.
        donate_argnums: arguments whose memory is reused, for a function that is not jitted; those
            that come back as results of the same shapes if not given.
        cache: read and keep the compiled part in the user's cache folder.
        progress: called with a word on what is being done.

    Returns: a `Plan`; all of it is per device.

    Raises:
        ValueError: if the target is unknown, its compiler is not installed or refuses the
            topology, or the batch does not split over the devices.

    >>> import jax.numpy as jnp
    >>> weights, images = jax.ShapeDtypeStruct((784, 10), "float32"), jnp.zeros((64, 784))
    >>> made = plan(lambda w, x: x @ w, weights, images, target="cpu", cache=False)
    >>> made.fits, made.flops == 2 * 64 * 784 * 10, made.memory["batch"]
    (True, True, 200704.0)

    Reference: Williams et al. 2009, Roofline, doi:10.1145/1498765.1498785.
    """
    machine = Target.parse(target)
    say = progress or (lambda text: None)
    say(f"tracing for {target}")
    start = time.perf_counter()
    layout, mesh = _placed(machine, layout)
    batches = _argnums(batch_argnums, len(args), default=len(args) - 1)
    arguments = abstract(args, layout, batches, target)
    shaped = jax.tree.unflatten(jax.tree.structure(args), [one.spec for one in arguments])
    traced, lowered = _lower(function, shaped, layout, donate_argnums, target)
    trace_seconds = time.perf_counter() - start
    platform = {"gpu": "cuda"}.get(machine.chip.kind, machine.chip.kind)
    found = products(needed(traced.jaxpr), platform=platform)
    text = lowered.as_text()
    key = key_of(text, machine, mesh, arguments)
    if cache and (kept := _kept(key)) is not None:
        return dataclasses.replace(kept, trace_seconds=trace_seconds, cached=True)
    convolutions = text.count("stablehlo.convolution")
    slow = machine.chip.kind == "tpu" and convolutions > 0
    say(f"compiling for {target}" + _SLOW.format(convolutions) * slow)
    made = _planned(lowered, machine, mesh, arguments, found, trace_seconds)
    if cache:
        write(key, made.to_json())
    return made


def _kept(key: str) -> Plan | None:
    content = _plan_cache.read(key)
    try:
        return None if content is None else Plan.from_json(content)
    except (KeyError, TypeError):
        return None  # of another version


def _placed(
    machine: Target, layout: parallel.Layout | None
) -> tuple[parallel.Layout, dict[str, int]]:
    """The layout on the target's devices, and the sizes of its axes."""
    count = machine.num_devices
    sizes = {"replica": 1, "data": count, "model": 1}
    if layout is not None:
        sizes = {str(name): int(size) for name, size in layout.mesh.shape.items()}
        if math.prod(sizes.values()) != count:
            shape = " x ".join(str(size) for size in sizes.values())
            raise ValueError(
                f"layout is a mesh of {shape}, target {machine.name!r} has {count} devices"
            )
    mesh = lay_out(machine.devices(), sizes)
    if layout is None:
        return parallel.Layout(mesh), sizes
    return dataclasses.replace(layout, mesh=mesh), sizes


def _argnums(given: int | Sequence[int] | None, count: int, default: int) -> set[int]:
    if given is None:
        return {default} if count > 1 else set()
    numbers = {given} if isinstance(given, int) else set(given)
    if not all(0 <= number < count for number in numbers):
        raise ValueError(f"batch_argnums must lie in [0, {count}), got {sorted(numbers)}")
    return numbers


def _lower(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    layout: parallel.Layout,
    donate_argnums: int | Sequence[int] | None,
    target: str,
) -> tuple[Any, Any]:
    """Traces and lowers a function; one that is jitted as it is."""
    try:
        if hasattr(function, "trace") and hasattr(function, "lower"):
            with layout.known():
                traced = function.trace(*args)
                return traced, traced.lower()
        with layout.known():
            shapes = jax.eval_shape(function, *args)
        donate, out_shardings = donated(args, shapes, donate_argnums, layout)
        options: dict[str, Any] = {} if out_shardings is None else {"out_shardings": out_shardings}
        with layout.known():
            traced = jax.jit(function, donate_argnums=donate, **options).trace(*args)
            return traced, traced.lower()
    except ValueError as error:
        if "incompatible devices" in str(error) or "does not match the sharding" in str(error):
            raise ValueError(
                f"the function places arrays in its own way, which is not that of target "
                f"{target!r}: leave shardings to `layout`, or give the arguments theirs"
            ) from None
        raise


def _planned(
    lowered: Any,
    machine: Target,
    mesh: dict[str, int],
    arguments: list[Argument],
    found: list[Product],
    trace_seconds: float,
) -> Plan:
    start = time.perf_counter()
    try:
        with _without_program_cache():
            compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise ValueError(f"the compiler of {machine.name!r} failed: {error}") from None
        compiled, refusal = None, str(error)
    seconds = time.perf_counter() - start
    if compiled is None:
        read = _Read(Module({}, "", set()), arguments, [])
        argument_bytes = sum(one.bytes for one in arguments)
        peak, capacity = _refused(refusal, argument_bytes, machine)
        message = refusal
    else:
        module = Module.parse(compiled.as_text())
        kept = kept_arguments(arguments, module)
        read = _Read(module, kept, held_at_peak(module))
        stats: Any = compiled.memory_analysis()
        argument_bytes = stats.argument_size_in_bytes
        whole = argument_bytes + stats.output_size_in_bytes - stats.alias_size_in_bytes
        peak = max(whole + stats.temp_size_in_bytes, getattr(stats, "peak_memory_in_bytes", 0))
        capacity, message = machine.capacity, ""
        if peak > capacity:
            message = _too_large(peak, capacity, machine)
    return Plan(
        target=machine.name,
        devices=machine.num_devices,
        mesh=mesh,
        fits=not message,
        message=message,
        capacity_bytes=float(capacity),
        peak_bytes=float(peak),
        memory=_by_kind(read, argument_bytes, peak),
        largest=_largest(read),
        **costs(read.module, machine, mesh, found),
        trace_seconds=trace_seconds,
        compile_seconds=seconds,
    )


@contextlib.contextmanager
def _without_program_cache() -> Iterator[None]:
    """JAX's own cache writes programs for devices that are not there, and cannot read them."""
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it looks at the setting once only; files stay
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


@dataclasses.dataclass(frozen=True)
class _Read:
    """What was read of a compiled program: its text, arguments, and arrays at the peak."""

    module: Module
    arguments: list[Argument]
    held: list[Held]


def _by_kind(read: _Read, argument_bytes: float, peak: float) -> dict[str, float]:
    """The peak by kind; the parts add up to it."""
    memory: dict[str, float] = {}
    for one in read.arguments:
        memory[one.kind] = memory.get(one.kind, 0.0) + one.bytes
    padding = argument_bytes - sum(memory.values())
    if padding > 0:  # TPUs store arrays in tiles
        memory["padding of arguments"] = padding
    rest = max(peak - sum(memory.values()), 0.0)
    saved = sum(held.bytes for held in read.held if held.for_backward)
    memory["activations"] = min(saved, rest)
    memory["temporaries"] = rest - memory["activations"]
    return memory


def _largest(read: _Read) -> list[Large]:
    found = [Large(one.bytes, one.kind, one.type, one.name) for one in read.arguments]
    for held in read.held:
        kind = "activations" if held.for_backward else "temporaries"
        shape = ",".join(str(size) for size in held.dims)
        found.append(Large(held.bytes, kind, f"{held.dtype}[{shape}]", held.scope))
    return sorted(found, key=lambda one: -one.bytes)[:10]


def _refused(message: str, argument_bytes: float, machine: Target) -> tuple[float, float]:
    """Peak and capacity as a compiler names them when it refuses a program that does not fit."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    sizes = [float(n) * units[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)([KMGT])\b", message)]
    available = re.search(r"(?:available HBM \(|of )(\d+(?:\.\d+)?)([KMGT])", message)
    capacity = float(machine.capacity)
    if available:
        capacity = float(available[1]) * units[available[2]]
    peak = max(sizes, default=math.nan)
    return (peak + argument_bytes if "HLO temporaries" in message else peak), capacity


def _too_large(peak: float, capacity: float, machine: Target) -> str:
    gib = 2**30
    message = f"the step needs {peak / gib:.2f} GiB, a device gives {capacity / gib:.2f} GiB"
    if machine.chip.kind == "gpu":
        share = os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.75")
        message += (
            f" ({share} of {machine.chip.memory_bytes / gib:.2f}: XLA_PYTHON_CLIENT_MEM_FRACTION)"
        )
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
