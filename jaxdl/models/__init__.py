"""Models: one architecture family a file, top to bottom; published sizes as partials.

Every module is called as `model(x, train=...)` and holds nothing: `params = model.init(...)`,
`y = model.apply(...)`.
"""

from jaxdl.models.lenet import LeNet, LeNetSigmoid

__all__ = ["LeNet", "LeNetSigmoid"]
