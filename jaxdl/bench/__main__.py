"""Compares two reports of benchmarks: `python -m jaxdl.bench compare A.json B.json`."""

import argparse
import math
import pathlib
import sys

from jaxdl import bench


def main(args: list[str] | None = None) -> int:
    """Runs `compare` and returns its exit code; `args` are those of the command line."""
    parser = argparse.ArgumentParser(prog="python -m jaxdl.bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    compare = commands.add_parser("compare", help="say what became faster or slower from A to B")
    compare.add_argument("reports", nargs=2, type=pathlib.Path, metavar="REPORT.json")
    try:
        (before, first), (after, second) = map(bench.read_report, parser.parse_args(args).reports)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in sorted(first.keys() | second.keys()):
        if name not in ("time", "command") and first.get(name) != second.get(name):
            print(f"{name} differs: {first.get(name)} and {second.get(name)}")
    for found in bench.compare(before, after):
        name, precision, batch, devices = found.key
        speedup = "" if math.isnan(found.speedup) else f"{found.speedup:6.2f}x "
        noisy = " (noisy)" if found.noisy else ""
        what = f"{name:16} {precision:9} batch {batch:6} on {devices}"
        print(f"{what}: {speedup}{found.verdict}{noisy}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
