"""Inside a network: deltas of layers, checked gradients, explicit sums through time."""

from jaxdl.inspect._backprop import (
    GradientReport,
    LeafCheck,
    check_gradients,
    deltas,
    gradient_flow,
)
from jaxdl.inspect._bptt import linear_state_gradients, rnn_gradients, rnn_outputs

__all__ = [
    "GradientReport",
    "LeafCheck",
    "check_gradients",
    "deltas",
    "gradient_flow",
    "linear_state_gradients",
    "rnn_gradients",
    "rnn_outputs",
]
