"""One side of one comparison, answering `jaxdl.bench.alternate`: ROW LIBRARY [smoke]."""

import sys

from experiments import peers
from jaxdl import bench, cli

if __name__ == "__main__":
    row, library, *rest = sys.argv[1:]
    if library == "jaxdl":  # as every experiment of jaxdl does; others run as they come
        cli.keep_freed_memory()
    if "torch" in library:
        import torch

        torch.manual_seed(0)
    side = peers.rows()[row].sides[library](rest == ["smoke"])
    bench.serve(side.work, {"items": side.items, "result": side.result})
