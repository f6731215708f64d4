"""Training: a trainer of three pure functions, and a short loop that runs it.

    objective = objectives.supervised(model, losses.softmax_cross_entropy)
    trainer = train.make(objective, optax.adam(1e-3), clip_norm=1.0)
    result = train.fit(trainer, splits["train"], epochs=10, batch_size=128)
    metrics = train.evaluate(trainer, result.state, splits["test"])

`trainer.init`, `trainer.step` and `trainer.evaluate` are pure, so that a loop of your own, `jit`,
`vmap` and sharding use them as they are; `fit` is a loop to copy when it does not suit.
"""

from jaxdl.train._backprop import (
    GradientReport,
    LeafCheck,
    check_gradients,
    deltas,
    gradient_flow,
)
from jaxdl.train._blocks import run_blocks
from jaxdl.train._checkpoint import CheckpointError, Checkpoints
from jaxdl.train._factors import pairwise_sgd, pointwise_sgd
from jaxdl.train._fit import Recorder, Result, evaluate, fit, scalars
from jaxdl.train._glove import make_glove
from jaxdl.train._make import (
    Metrics,
    Trainer,
    cast_floating,
    make,
    merge_metrics,
    per_example_gradients,
)
from jaxdl.train._planning import planning
from jaxdl.train._signals import Interrupted
from jaxdl.train._state import TrainState
from jaxdl.train._steps import Driver
from jaxdl.train._stopping import EarlyStopping
from jaxdl.train._sweep import Hyper, SweepResult, grid, make_sweep, sweep
from jaxdl.train._transfer import transfer
from jaxdl.train._word2vec import make_word2vec

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "Driver",
    "EarlyStopping",
    "GradientReport",
    "Hyper",
    "Interrupted",
    "LeafCheck",
    "Metrics",
    "Recorder",
    "Result",
    "SweepResult",
    "TrainState",
    "Trainer",
    "cast_floating",
    "check_gradients",
    "deltas",
    "evaluate",
    "fit",
    "gradient_flow",
    "grid",
    "make",
    "make_glove",
    "make_sweep",
    "make_word2vec",
    "merge_metrics",
    "pairwise_sgd",
    "per_example_gradients",
    "planning",
    "pointwise_sgd",
    "run_blocks",
    "scalars",
    "sweep",
    "transfer",
]
