"""Layers that several models share, beside Flax's own, and initializers for them.

Dropout has one convention, here and in Flax: what is kept is divided by the share that is kept
while training, and nothing happens when evaluating, so expectations agree.
"""

from jaxdl.nn._attention import (
    AdditiveAttention,
    DotAttention,
    MultiHeadAttention,
    attention_from_torch,
)
from jaxdl.nn._cells import Cell, GRUCell, LSTMCell, RNNCell
from jaxdl.nn._conv import Conv, ConvTranspose
from jaxdl.nn._dense import Dense, contract_last
from jaxdl.nn._dropout import Dropout
from jaxdl.nn._embed import Embed
from jaxdl.nn._initializers import (
    bilinear,
    constant,
    he_normal,
    he_uniform,
    normal,
    uniform,
    xavier_normal,
    xavier_uniform,
)
from jaxdl.nn._norm import BatchNorm, batch_statistics
from jaxdl.nn._prelu import PReLU
from jaxdl.nn._recurrent import (
    GRU,
    LSTM,
    RNN,
    Recurrent,
    recurrent_from_torch,
    recurrent_scan,
    recurrent_to_torch,
)
from jaxdl.nn._upsampling import Upsample

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdditiveAttention",
    "BatchNorm",
    "Cell",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DotAttention",
    "Dropout",
    "Embed",
    "GRUCell",
    "LSTMCell",
    "MultiHeadAttention",
    "PReLU",
    "RNNCell",
    "Recurrent",
    "Upsample",
    "attention_from_torch",
    "batch_statistics",
    "bilinear",
    "constant",
    "contract_last",
    "he_normal",
    "he_uniform",
    "normal",
    "recurrent_from_torch",
    "recurrent_scan",
    "recurrent_to_torch",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]
