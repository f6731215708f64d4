"""Layers that several models share, beside Flax's own, and initialisers for them.

Dropout is Flax's `nn.Dropout`, in its one convention: what is kept is divided by the share that is
kept while training, and nothing happens when evaluating, so expectations agree (T19).
"""

from jaxdl.nn._cells import GRUCell, LSTMCell, RNNCell
from jaxdl.nn._conv import Conv, ConvTranspose
from jaxdl.nn._initialisers import bilinear, he, normal, uniform, xavier
from jaxdl.nn._norm import BatchNorm, batch_statistics
from jaxdl.nn._recurrent import (
    GRU,
    LSTM,
    RNN,
    Recurrent,
    recurrent_from_torch,
    recurrent_scan,
    recurrent_to_torch,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "Recurrent",
    "batch_statistics",
    "bilinear",
    "he",
    "normal",
    "recurrent_from_torch",
    "recurrent_scan",
    "recurrent_to_torch",
    "uniform",
    "xavier",
]
