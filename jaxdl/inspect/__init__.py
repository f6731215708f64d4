"""Inside a network: deltas of layers, checked gradients, explicit sums through time.

Why a step was not finite (`print(inspect.explain_nonfinite(trainer, state, batch))`), where
parameters, operations and memory go (`print(inspect.ledger(module, x))`), and the curvature of a
loss.
"""

from jaxdl.inspect._backprop import (
    GradientReport,
    LeafCheck,
    check_gradients,
    deltas,
    gradient_flow,
)
from jaxdl.inspect._bptt import linear_state_gradients, rnn_gradients, rnn_outputs
from jaxdl.inspect._curvature import (
    Estimate,
    NoiseScale,
    Spectrum,
    gradient_noise_scale,
    hessian_trace,
    hvp,
    lanczos,
    loss_at,
    sharpness,
)
from jaxdl.inspect._difference import Difference, first_difference
from jaxdl.inspect._ledger import Entry, Ledger, ledger, ledger_of_step
from jaxdl.inspect._nonfinite import NonfiniteReport, explain_nonfinite
from jaxdl.inspect._watch import Observation, observe

__all__ = [
    "Difference",
    "Entry",
    "Estimate",
    "GradientReport",
    "LeafCheck",
    "Ledger",
    "NoiseScale",
    "NonfiniteReport",
    "Observation",
    "Spectrum",
    "check_gradients",
    "deltas",
    "explain_nonfinite",
    "first_difference",
    "gradient_flow",
    "gradient_noise_scale",
    "hessian_trace",
    "hvp",
    "lanczos",
    "ledger",
    "ledger_of_step",
    "linear_state_gradients",
    "loss_at",
    "observe",
    "rnn_gradients",
    "rnn_outputs",
    "sharpness",
]
