"""Data sets and what turns them into batches.

    splits = data.load("digits")
    for batch in data.batches(splits["train"], 128, seed=0): ...

A batch is a dict of arrays with one leading axis and a boolean "mask" that is False on padding;
batch k is a function of `(seed, k)` alone.
"""

from jaxdl.data._batches import (
    batch_indices,
    batches,
    host_batch,
    num_batches,
    resident_batch,
    shuffled,
)
from jaxdl.data._builders import Builder, cache_folder, prepare
from jaxdl.data._idx import read_idx, read_mnist
from jaxdl.data._images import to_unit
from jaxdl.data._load import SOURCES, Source, load
from jaxdl.data._splits import DataError, Info, Split, Splits

__all__ = [
    "SOURCES",
    "Builder",
    "DataError",
    "Info",
    "Source",
    "Split",
    "Splits",
    "batch_indices",
    "batches",
    "cache_folder",
    "host_batch",
    "load",
    "num_batches",
    "prepare",
    "read_idx",
    "read_mnist",
    "resident_batch",
    "shuffled",
    "to_unit",
]
