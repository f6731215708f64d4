"""Plans that are kept, and what has become worse since.

python -m tests.bench.write_goldens            # all of them again, after a change that is meant
python -m tests.bench.write_goldens lstm_lm    # of one step
"""

import importlib.metadata
import json
import pathlib
from typing import Any

from jaxdl import bench
from tests.bench.steps import STEPS

FOLDER = pathlib.Path(__file__).parent / "goldens"
TARGETS = ("h100-1", "h100-8", "v5e-8")
NAMES = ("resnet50", "lstm_lm", "gpt2", "ssd", "word2vec", "neumf")
COMPILERS = {"h100": "jax-cuda12-plugin", "v5e": "libtpu"}
BATCH = {"word2vec": 4096}  # of tokens; of the others 16 examples over all devices
MOST = 1.05  # times the peak that is kept


def made(name: str, target: str) -> dict[str, Any]:
    """What is kept of the plan of a small step."""
    step = STEPS[name](BATCH.get(name, 16), small=True)
    plan = bench.plan(
        step.function, *step.args, target=target, batch_argnums=step.batch_argnums, cache=False
    )
    sent: dict[str, list[float]] = {}
    for one in plan.collectives:
        key = f"{one.kind} of {one.dtype} over {one.axis}"
        times, size = sent.get(key, [0.0, 0.0])
        sent[key] = [times + one.times, size + one.times * one.bytes]
    package = COMPILERS[target.partition("-")[0]]
    return {
        "compiler": f"{package} {importlib.metadata.version(package)}",
        "peak_bytes": plan.peak_bytes,
        "memory": plan.memory,
        "largest": [f"{one.bytes:.0f} {one.kind} {one.type} {one.origin}" for one in plan.largest],
        "flops": plan.flops,
        "executed_flops": plan.executed_flops,
        "collectives": dict(sorted(sent.items())),  # calls and bytes
        "kernels": plan.kernels,
    }


def path(name: str, target: str) -> pathlib.Path:
    """Where the plan of a step for a target is kept."""
    return FOLDER / f"{name}_{target}.json"


def worse(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What has grown or come in, a line each; empty if nothing has."""
    lines = []
    if after["peak_bytes"] > MOST * before["peak_bytes"]:
        lines.append(f"peak {before['peak_bytes']:,.0f} -> {after['peak_bytes']:,.0f} bytes")
        for kind, size in after["memory"].items():
            if size > before["memory"].get(kind, 0.0):
                lines.append(f"  {kind} {before['memory'].get(kind, 0.0):,.0f} -> {size:,.0f}")
        fresh = [one for one in after["largest"] if one not in before["largest"]]
        lines += [f"  new among the largest: {one}" for one in fresh]
    for key, (times, size) in after["collectives"].items():
        calls, bytes_before = before["collectives"].get(key, (0.0, 0.0))
        if times > calls:
            lines.append(f"{key}: {calls:g} -> {times:g} calls, {bytes_before:g} -> {size:g} bytes")
    if after["flops"] > 1.001 * before["flops"]:
        lines.append(f"operations {before['flops']:g} -> {after['flops']:g}")
    if lines and before["compiler"] != after["compiler"]:
        lines.append(f"compiled by {before['compiler']} then, by {after['compiler']} now")
    return lines


def write(name: str, target: str) -> None:
    """Compiles a step and keeps its plan."""
    FOLDER.mkdir(exist_ok=True)
    path(name, target).write_text(json.dumps(made(name, target), indent=1) + "\n")


def read(name: str, target: str) -> dict[str, Any]:
    """The plan that is kept."""
    return json.loads(path(name, target).read_text())
