"""Objectives: a network and a batch to a loss, `(params, model_state, batch, key) -> (Mean, Aux)`.

    objective = objectives.supervised(module, losses.softmax_cross_entropy)
    trainer = train.make(objective, optax.adam(1e-3))

The module may be of Flax Linen, Flax NNX, Equinox or Haiku, a function, or a `Network` of two pure
functions of your own. An objective of your own is a function of that signature, or `build` with the
lines in which yours differs.
"""

from jaxdl.objectives import style
from jaxdl.objectives._core import Augment, Aux, Batch, Objective, Preprocess, build
from jaxdl.objectives._detection import multibox, regions
from jaxdl.objectives._expected import Classes, expect_classes, expected
from jaxdl.objectives._language import language_model, translation
from jaxdl.objectives._network import (
    Network,
    as_network,
    equinox_network,
    function_network,
    haiku_network,
    linen_network,
    nnx_network,
)
from jaxdl.objectives._supervised import supervised

__all__ = [
    "Augment",
    "Aux",
    "Batch",
    "Classes",
    "Network",
    "Objective",
    "Preprocess",
    "as_network",
    "build",
    "equinox_network",
    "expect_classes",
    "expected",
    "function_network",
    "haiku_network",
    "language_model",
    "linen_network",
    "multibox",
    "nnx_network",
    "regions",
    "style",
    "supervised",
    "translation",
]
