"""Models: one architecture family a file, top to bottom; published sizes as partials.

Every module is called as `model(x, train=...)` and holds nothing: `params = model.init(...)`,
`y = model.apply(...)`.
"""

from jaxdl.models.lenet import LeNet, LeNetSigmoid
from jaxdl.models.mlp import MLP, MLP64x25x15x1

__all__ = ["MLP", "LeNet", "LeNetSigmoid", "MLP64x25x15x1"]
