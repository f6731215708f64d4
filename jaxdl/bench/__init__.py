"""Benchmarks: honest seconds, what a device can do at best, and what share of it a program gets.

    timing = bench.measure(step, state, batch)          # waits for results, warms up, repeats
    both = bench.interleave({"a": f, "b": g})           # in turns: A B A B
    program = bench.analyze(step, state, batch)         # operations, bytes, memory, compile time
    share = bench.measure_peaks().limit(program.flops, program.xla_bytes) / timing.median

Rules the measurements of this library taught:

- Numbers come with the confidence interval of their median; what differs by less than 5 %, or less
  than the spread, is called the same, and a noisy machine is called noisy.
- Two libraries are timed in two processes that take turns (`alternate`): in one they share threads,
  allocator and device memory.
- On a CPU, call short steps from one compiled loop; a step with XLA convolutions not (`train.fit`
  knows). Recurrent layers want their input products hoisted and no unrolling; long `argmax`,
  `sort` and `top_k` want two stages; tables want row updates, never dense gradients.
"""

from jaxdl._flops import count_flops
from jaxdl.bench._collectives import Collective
from jaxdl.bench._curves import Point, bandwidth_curves
from jaxdl.bench._device import Peaks, device_bytes, energy_joules, make_probe, measure_peaks
from jaxdl.bench._plan import Large, Plan, plan
from jaxdl.bench._plan_report import describe
from jaxdl.bench._plan_search import (
    Search,
    largest_batch,
    layout_search,
    remat_search,
    scaling_on_paper,
    with_batch,
)
from jaxdl.bench._processes import Side, alternate, serve
from jaxdl.bench._program import Program, analyze
from jaxdl.bench._report import Comparison, Row, compare, drift, read_report, write_report
from jaxdl.bench._target import Study, median_seconds, time_to_target
from jaxdl.bench._targets import CHIPS, Chip, Target, chip_of
from jaxdl.bench._timing import (
    NOISY,
    Ratio,
    Timing,
    interleave,
    measure,
    median_interval,
    ratio,
    stepper,
)

__all__ = [
    "CHIPS",
    "NOISY",
    "Chip",
    "Collective",
    "Comparison",
    "Large",
    "Peaks",
    "Plan",
    "Point",
    "Program",
    "Ratio",
    "Row",
    "Search",
    "Side",
    "Study",
    "Target",
    "Timing",
    "alternate",
    "analyze",
    "bandwidth_curves",
    "chip_of",
    "compare",
    "count_flops",
    "describe",
    "device_bytes",
    "drift",
    "energy_joules",
    "interleave",
    "largest_batch",
    "layout_search",
    "make_probe",
    "measure",
    "measure_peaks",
    "median_interval",
    "median_seconds",
    "plan",
    "ratio",
    "read_report",
    "remat_search",
    "scaling_on_paper",
    "serve",
    "stepper",
    "time_to_target",
    "with_batch",
    "write_report",
]
