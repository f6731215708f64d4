"""Training: a trainer of three pure functions, and a short loop that runs it.

    objective = objectives.supervised(model, losses.softmax_cross_entropy)
    trainer = train.make(objective, optax.adam(1e-3), clip_norm=1.0)
    result = train.fit(trainer, splits["train"], epochs=10, batch_size=128)
    metrics = train.evaluate(trainer, result.state, splits["test"])

`trainer.init`, `trainer.step` and `trainer.evaluate` are pure, so that a loop of your own, `jit`,
`vmap` and sharding use them as they are; `fit` is a loop to copy when it does not suit.
"""

from jaxdl.train._blocks import run_blocks
from jaxdl.train._checkpoint import CheckpointError, Checkpoints
from jaxdl.train._compare import (
    PerformanceProfile,
    SeedComparison,
    compare,
    performance_profile,
)
from jaxdl.train._fit import NonfiniteError, Recorder, Result, evaluate, fit, scalars
from jaxdl.train._halving import HalvingResult, Rung, random_grid, successive_halving
from jaxdl.train._load_pretrained import load_pretrained
from jaxdl.train._make import (
    Metrics,
    Trainer,
    cast_floating,
    make,
    merge_metrics,
    per_example_gradients,
)
from jaxdl.train._members import Hyper, Member
from jaxdl.train._planning import Training, intercepting, offer_plan, planning
from jaxdl.train._population import PopulationResult, exploit, explore, population
from jaxdl.train._profile import profiling, time_split
from jaxdl.train._signals import Interrupted
from jaxdl.train._state import TrainState
from jaxdl.train._steps import Driver
from jaxdl.train._stopping import EarlyStopping
from jaxdl.train._sweep import SweepResult, grid, make_sweep, sweep

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "Driver",
    "EarlyStopping",
    "HalvingResult",
    "Hyper",
    "Interrupted",
    "Member",
    "Metrics",
    "NonfiniteError",
    "PerformanceProfile",
    "PopulationResult",
    "Recorder",
    "Result",
    "Rung",
    "SeedComparison",
    "SweepResult",
    "TrainState",
    "Trainer",
    "Training",
    "cast_floating",
    "compare",
    "evaluate",
    "exploit",
    "explore",
    "fit",
    "grid",
    "intercepting",
    "load_pretrained",
    "make",
    "make_sweep",
    "merge_metrics",
    "offer_plan",
    "per_example_gradients",
    "performance_profile",
    "planning",
    "population",
    "profiling",
    "random_grid",
    "run_blocks",
    "scalars",
    "successive_halving",
    "sweep",
    "time_split",
]
