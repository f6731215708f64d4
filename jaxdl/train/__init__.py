"""Training: objective -> step -> fit.

    objective = train.supervised(model, losses.softmax_cross_entropy)
    step = train.make_step(objective, tx)
    result = train.fit(step, state, splits["train"], epochs=10, batch_size=128)

The objective and the step are pure functions; `fit` is a short loop to copy when it does not suit.
"""

from jaxdl.train._backprop import (
    GradientReport,
    LeafCheck,
    check_gradients,
    deltas,
    gradient_flow,
)
from jaxdl.train._checkpoint import CheckpointError, Checkpoints
from jaxdl.train._detection import multibox
from jaxdl.train._drivers import Driver
from jaxdl.train._factors import pairwise_sgd, pointwise_sgd
from jaxdl.train._fit import Recorder, Result, evaluate, fit, scalars
from jaxdl.train._glove import make_glove
from jaxdl.train._language import language_model, make_stream_eval
from jaxdl.train._objective import Aux, Batch, Objective, linen_init, supervised
from jaxdl.train._planning import planning
from jaxdl.train._recommender import pairwise, reconstruction
from jaxdl.train._regions import regions
from jaxdl.train._signals import Interrupted
from jaxdl.train._state import TrainState
from jaxdl.train._step import (
    EvalStep,
    Metrics,
    Step,
    cast_floating,
    make_eval,
    make_step,
    merge_metrics,
    per_example_gradients,
)
from jaxdl.train._stopping import EarlyStopping
from jaxdl.train._sweep import Hyper, Method, SweepResult, grid, make_sweep, sweep
from jaxdl.train._transfer import transfer
from jaxdl.train._translation import translation
from jaxdl.train._word2vec import make_word2vec

__all__ = [
    "Aux",
    "Batch",
    "CheckpointError",
    "Checkpoints",
    "Driver",
    "EarlyStopping",
    "EvalStep",
    "GradientReport",
    "Hyper",
    "Interrupted",
    "LeafCheck",
    "Method",
    "Metrics",
    "Objective",
    "Recorder",
    "Result",
    "Step",
    "SweepResult",
    "TrainState",
    "cast_floating",
    "check_gradients",
    "deltas",
    "evaluate",
    "fit",
    "gradient_flow",
    "grid",
    "language_model",
    "linen_init",
    "make_eval",
    "make_glove",
    "make_step",
    "make_stream_eval",
    "make_sweep",
    "make_word2vec",
    "merge_metrics",
    "multibox",
    "pairwise",
    "pairwise_sgd",
    "per_example_gradients",
    "planning",
    "pointwise_sgd",
    "reconstruction",
    "regions",
    "scalars",
    "supervised",
    "sweep",
    "transfer",
    "translation",
]
