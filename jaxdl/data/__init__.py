"""Data sets and what turns them into batches.

    splits = data.load("digits")
    for batch in data.batches(splits["train"], 128, seed=0): ...

A batch is a dict of arrays with one leading axis and a boolean "mask" that is False on padding;
batch k is a function of `(seed, k)` alone.
"""

from jaxdl.data import images, readers, tabular, text
from jaxdl.data._batches import (
    batch_indices,
    batches,
    host_batch,
    num_batches,
    num_steps,
    resident_batch,
    shuffled,
)
from jaxdl.data._builders import Builder, cache_folder, prepare
from jaxdl.data._dataset import DataError, Dataset, DatasetDict, DatasetInfo
from jaxdl.data._labels import check_labels, majority_share
from jaxdl.data._load import load
from jaxdl.data._records import RandomAccess, Records, read_ahead
from jaxdl.data._sources import COLUMNS, SOURCES, Source

__all__ = [
    "COLUMNS",
    "SOURCES",
    "Builder",
    "DataError",
    "Dataset",
    "DatasetDict",
    "DatasetInfo",
    "RandomAccess",
    "Records",
    "Source",
    "batch_indices",
    "batches",
    "cache_folder",
    "check_labels",
    "host_batch",
    "images",
    "load",
    "majority_share",
    "num_batches",
    "num_steps",
    "prepare",
    "read_ahead",
    "readers",
    "resident_batch",
    "shuffled",
    "tabular",
    "text",
]
