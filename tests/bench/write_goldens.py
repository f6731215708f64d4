"""Writes the plans that `test_goldens` compares with: [STEP ...] [--targets TARGET ...]."""

import argparse
import os
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from tests.bench import goldens

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", default=goldens.NAMES)
    parser.add_argument("--targets", nargs="*", default=goldens.TARGETS)
    options = parser.parse_args()
    for target in options.targets:
        for name in options.steps:
            start = time.monotonic()
            goldens.write(name, target)
            print(f"{name} {target}: {time.monotonic() - start:.0f} s", flush=True)
