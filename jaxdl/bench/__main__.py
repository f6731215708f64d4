"""Compares two reports, plans an experiment for a machine that is not there, or measures links.

python -m jaxdl.bench compare A.json B.json
python -m jaxdl.bench plan lenet --batch-size 256 --target h100-8
python -m jaxdl.bench collectives --sizes 4096 1048576
"""

import argparse
import importlib.util
import math
import pathlib
import runpy
import sys
from typing import Any

from jaxdl import bench, parallel


def main(args: list[str] | None = None) -> int:
    """Runs `compare` and returns its exit code; `args` are those of the command line."""
    parser = argparse.ArgumentParser(prog="python -m jaxdl.bench", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    compare = commands.add_parser("compare", help="say what became faster or slower from A to B")
    compare.add_argument("reports", nargs=2, type=pathlib.Path, metavar="REPORT.json")
    planning = commands.add_parser("plan", help="say what an experiment needs on a target")
    planning.add_argument("experiment", help="lenet, or a module or a file of your own")
    planning.add_argument("--target", required=True, help="v5e-256, h100-8; several: a,b,c")
    links = commands.add_parser("collectives", help="time what the devices here exchange")
    links.add_argument("--sizes", nargs="+", type=int, metavar="BYTES", help="of whole arrays")
    options, rest = parser.parse_known_args(args)
    if options.command == "plan":
        return _plan(options.experiment, [*rest, "--plan", options.target])
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command == "collectives":
        return _collectives(options.sizes)
    try:
        (before, first), (after, second) = map(bench.read_report, options.reports)
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


def _collectives(sizes: list[int] | None) -> int:
    """Prints microseconds and bytes a second of a copy and every collective, by size."""
    if min(sizes or [1]) < 1:
        print(f"error: sizes are bytes, at least 1, got {min(sizes or [1])}", file=sys.stderr)
        return 2
    options: dict[str, Any] = {} if sizes is None else {"sizes": sizes}
    for kind, points in bench.bandwidth_curves(parallel.make_mesh(), **options).items():
        for one in points:
            noisy = " (noisy)" if one.timing.noisy else ""
            size = f"{one.bytes:14,.0f} bytes {one.timing.median * 1e6:10,.1f} us"
            print(f"{kind:18} {size} {one.rate / 1e9:8.2f} GB/s a device{noisy}")
    return 0


def _plan(experiment: str, args: list[str]) -> int:
    """Runs an experiment with `--plan`: by name, as a module, or as a file."""
    sys.argv = [experiment, *args]
    path = pathlib.Path(experiment)
    if path.suffix == ".py" and path.exists():
        runpy.run_path(str(path), run_name="__main__")
        return 0
    name = experiment if "." in experiment else f"experiments.{experiment}"
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        print(f"error: there is no experiment {experiment!r} ({name})", file=sys.stderr)
        return 2
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
