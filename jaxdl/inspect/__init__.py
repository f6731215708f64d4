"""Inside a network: deltas of layers, checked gradients, explicit sums through time.

And why a step was not finite: `print(inspect.explain_nonfinite(trainer, state, batch))`.
"""

from jaxdl.inspect._backprop import (
    GradientReport,
    LeafCheck,
    check_gradients,
    deltas,
    gradient_flow,
)
from jaxdl.inspect._bptt import linear_state_gradients, rnn_gradients, rnn_outputs
from jaxdl.inspect._nonfinite import NonfiniteReport, explain_nonfinite

__all__ = [
    "GradientReport",
    "LeafCheck",
    "NonfiniteReport",
    "check_gradients",
    "deltas",
    "explain_nonfinite",
    "gradient_flow",
    "linear_state_gradients",
    "rnn_gradients",
    "rnn_outputs",
]
