"""Run records: one folder per run, readable by a person, a script and TensorBoard.

    with runs.open(config, name="lenet", out=config.out) as run:
        run.write(step, {"train/loss": 0.3})

    python -m jaxdl.runs list [FOLDER]         every run below the folder with its closing numbers
    python -m jaxdl.runs compare RUN RUN ...   options and numbers that differ, and their curves
    python -m jaxdl.runs page RUN ...          one HTML file that holds all of it, to send or keep
    python -m jaxdl.runs diverge RUN RUN       the first step, and tensor in it, that differs

config.json       the options                      metrics.jsonl   one line per `write`
environment.json  what it ran on                events.*        the same for TensorBoard
*.png             figures                       result.json     the closing numbers
watch.jsonl       norms, updates, dead units      profile/        a trace, for XProf and Perfetto
nonfinite.txt     why training gave up, if it did
"""

from jaxdl.runs._command import main
from jaxdl.runs._diverge import Divergence, diverge
from jaxdl.runs._environment import environment
from jaxdl.runs._page import page
from jaxdl.runs._read import Record, find, read, read_json, read_metrics
from jaxdl.runs._record import Run, open, watching
from jaxdl.runs._results import following, record

__all__ = [
    "Divergence",
    "Record",
    "Run",
    "diverge",
    "environment",
    "find",
    "following",
    "main",
    "open",
    "page",
    "read",
    "read_json",
    "read_metrics",
    "record",
    "watching",
]
