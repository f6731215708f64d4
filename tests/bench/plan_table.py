"""What steps of published sizes need on accelerators that are not there: `plans.json`.

python -m tests.bench.plan_table                        # rows that are missing
python -m tests.bench.plan_table gpt2 --targets v5e-8   # these again

Every row is compiled in a process of its own that is ended after some seconds, and kept then.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

PATH = pathlib.Path(__file__).parent / "plans.json"
# Examples a device; of NeuMF in all, and tokens and pairs of a batch where every device does all.
BATCH = {
    "gpt2": 8, "gpt_1300m": 2, "lstm_lm": 32, "neumf": 65_536, "word2vec": 65_536,
    "factorization": 65_536, "resnet18": 256, "resnet50": 256, "style": 4, "ssd": 32,
}  # fmt: skip
ON_TPU = {"gpt2": 4, "gpt_1300m": 1, "lstm_lm": 64}
WHOLE = ("neumf", "word2vec", "factorization")
TARGETS = ("v5e-1", "v5e-8", "h100-1", "h100-8", "v5e-16", "v5e-256")


def examples(name: str, target: str, devices: int) -> int:
    """Of the batch of a row."""
    own = ON_TPU.get(name, BATCH[name]) if target.startswith("v5e") else BATCH[name]
    return own if name in WHOLE else own * devices


def row(name: str, target: str) -> dict[str, Any]:
    """Compiles a step and says what is in a row."""
    import jax

    from jaxdl import bench, parallel
    from tests.bench.steps import STEPS

    devices = bench.Target.parse(target).num_devices
    batch = examples(name, target, devices)
    step = STEPS[name](batch)
    layout = None
    if name == "gpt_1300m" and devices > 1:  # fully sharded
        axes = ("replica", "data", "model")
        layout = parallel.Layout(jax.sharding.AbstractMesh((1, devices, 1), axes), 1 << 14)
    plan = bench.plan(
        step.function, *step.args, target=target, batch_argnums=step.batch_argnums, layout=layout
    )
    return {
        "batch": batch,
        "fits": plan.fits,
        "peak_gib": plan.peak_bytes / 2**30,
        "tflop": plan.flops / 1e12,
        "sent_mb": plan.sent_bytes / 1e6,
        "bound": plan.bound,
        "milliseconds": plan.seconds * 1e3,
        "mfu": plan.mfu,
        "compile_seconds": round(plan.compile_seconds),
        "message": plan.message[:300],
    }


def in_time(name: str, target: str, limit: float) -> dict[str, Any]:
    """The row, made by another process; or why there is none."""
    command = [sys.executable, "-m", "tests.bench.plan_table", name, "--targets", target, "--here"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"message": f"not compiled in {limit:.0f} s"}
    if done.returncode:
        killed = done.returncode == -signal.SIGKILL
        why = "the compiler was ended by the system, which it asks for too much memory"
        return {"message": why if killed else (done.stderr.strip().splitlines() or ["?"])[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", default=list(BATCH))
    parser.add_argument("--targets", nargs="*", default=TARGETS)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--here", action="store_true", help="print the one row")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(row(options.steps[0], options.targets[0])))
        return
    for target in options.targets:
        for name in options.steps:
            start = time.monotonic()
            made = in_time(name, target, options.seconds)
            kept = json.loads(PATH.read_text()) if PATH.exists() else {}
            kept[f"{name} {target}"] = made
            PATH.write_text(json.dumps(kept, indent=1) + "\n")
            print(f"{name} {target}: {time.monotonic() - start:.0f} s", made, flush=True)


if __name__ == "__main__":
    main()
