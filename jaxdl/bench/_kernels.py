"""What a compiled program multiplies, in which number format, and the kernels it calls."""

import dataclasses
import math
import re

import numpy as np

from jaxdl.bench._hlo import BYTES, Array, Instruction, Module, scope


@dataclasses.dataclass(frozen=True)
class Computed:
    """A product as it was compiled: its format, its operations in a step, on one device."""

    format: str
    flops: float
    kernel: str
    scope: str


def computed(module: Module, kind: str) -> list[Computed]:
    """The products of a compiled program on one device, as often as they run."""
    found = []
    for scheduled, times, home in module.runs()[0]:
        for one, where in module.inside(scheduled, home):
            flops, operands = _flops(one, module.shapes(where))
            if flops:
                dtype = min((array.dtype for array in operands), key=lambda name: BYTES[name])
                name = one.op_name or scheduled.op_name
                form = number_format(dtype, _precision(one.rest), kind)
                found.append(Computed(form, times * flops, _kernel(scheduled), scope(name)))
    return found


def _flops(one: Instruction, known: dict[str, Instruction]) -> tuple[float, list[Array]]:
    target = re.search(r'custom_call_target="([^"]+)"', one.rest)
    operands = [known[name].arrays[0] for name in one.operands if name in known]
    operands = [array for array in operands if array.dtype in BYTES][:2]
    if len(operands) < 2 or not one.arrays:
        return 0.0, operands
    result = one.arrays[0]
    axes = None
    if one.opcode == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", one.rest)
    elif target and re.search("gemm|matmul", target[1].lower()):
        axes = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', one.rest)
    if axes:
        over = [operands[0].dims[int(n)] for n in re.findall(r"\d+", axes[1])]
        return 2.0 * math.prod(result.dims) * math.prod(over), operands
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", one.rest)
    if labels is None:
        return 0.0, operands
    inputs, out, kernel = operands[0], result, operands[1]
    if target and "convBackwardInput" in target[1]:
        inputs, out = result, operands[0]
    elif target and "convBackwardFilter" in target[1]:
        out, kernel = operands[1], result
    flops = 2.0 * math.prod(out.dims) * math.prod(kernel.dims)
    flops /= max(kernel.dims[labels[2].index("o")], 1)
    for axis in re.findall(r"\d", labels[3]):
        before, after = inputs.dims[labels[1].index(axis)], out.dims[labels[3].index(axis)]
        share = _met(one.rest, int(axis), before, after)
        # What it does not meet are zeros, of the padding or of the dilation.
        flops *= min(1.0, before / max(after, 1)) if share is None else share
    return flops, operands


def _met(rest: str, axis: int, before: int, after: int) -> float | None:
    """Share of outputs times taps that meet an entry of a dilated input; None where none is.

    A TPU's compiler writes a batch of B products as a convolution over B entries: dilated by B, in
    steps of B - 1, so that each output meets one entry of the B under its window.
    """
    window = dict(re.findall(r"(\w+)=(-?\d[-\dx_]*)", rest[rest.find("window={") :].split("}")[0]))
    sizes = {name: text.split("x") for name, text in window.items()}
    dilation = int(sizes["lhs_dilate"][axis]) if "lhs_dilate" in sizes else 1
    if dilation == 1:
        return None
    stride, taps, apart = (
        int(sizes[name][axis]) if name in sizes else 1 for name in ("stride", "size", "rhs_dilate")
    )
    low = int(sizes["pad"][axis].split("_")[0]) if "pad" in sizes else 0
    places = np.arange(after)[:, None] * stride + np.arange(taps)[None] * apart - low
    inside = (places >= 0) & (places <= (before - 1) * dilation) & (places % dilation == 0)
    return float(np.mean(inside))


def _precision(rest: str) -> str:
    """The precision that a compiled product carries: of its operands, or an algorithm's name."""
    for name in ("highest", "high"):
        if re.search(rf'operand_precision=\{{[^}}]*\b{name}\b|"{name.upper()}"', rest):
            return name
    found = re.search(r"algorithm=(\w+)", rest)
    return found[1] if found else "default"


def number_format(dtype: str, precision: str, kind: str) -> str:
    """The number format in which a chip multiplies operands of a dtype at a precision.

    >>> number_format("float32", "default", "tpu"), number_format("float32", "default", "gpu")
    ('bfloat16', 'tf32')
    """
    dtype = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "f64": "float64"}.get(
        dtype, dtype
    )
    if dtype != "float32" or kind == "cpu":
        return dtype
    if precision.startswith("dot_"):  # a preset: dot_bf16_bf16_f32_x3, dot_tf32_tf32_f32
        passes = {"x3": "bfloat16_3x", "x6": "float32", "x9": "float32"}
        for suffix, form in passes.items():
            if precision.endswith(suffix):
                return form
        return {"bf16": "bfloat16", "tf32": "tf32"}.get(precision.split("_")[1], "float32")
    if kind == "gpu":
        return "tf32" if precision == "default" else "float32"
    return {"default": "bfloat16", "high": "bfloat16_3x"}.get(precision, "float32")


def kernels(module: Module) -> dict[str, float]:
    """How often a step calls kernels that are not XLA's own, and Triton's, by library and name."""
    found: dict[str, float] = {}
    for one, times, _ in module.runs()[0]:
        name = _kernel(one)
        if name != "XLA":
            found[name] = found.get(name, 0) + times
    return dict(sorted(found.items(), key=lambda item: -item[1]))


_INTERNAL = ("AllocateBuffer", "ConcatBitcast", "Sharding", "SliceBitcast", "AssumeGatherIndices")


def _kernel(one: Instruction) -> str:
    if one.opcode == "custom-call":
        target = re.search(r'custom_call_target="([^"]+)"', one.rest)
        name = target[1] if target else "?"
        if name.startswith(_INTERNAL):
            return "XLA"
        if name.startswith("__cudnn$"):
            return f"cuDNN: {name.removeprefix('__cudnn$')}"
        if name.startswith("__cublas$"):
            return f"cuBLAS: {name.removeprefix('__cublas$')}"
        if name == "tpu_custom_call" or "triton_kernel_call" in name:
            return f"Pallas: {scope(one.op_name) or name}"
        return f"custom: {name}"
    if one.opcode == "fusion" and "triton" in one.rest:
        kind = re.search(r'"kind":"(__triton\w*)"', one.rest)
        name = (kind[1] if kind else "").removeprefix("__triton").strip("_")
        return f"Triton: {name or 'fusion'}"
    return "XLA"
