"""What a data set is here: named splits of columns that share their first axis."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike


class DataError(ValueError):
    """A data set that is missing, damaged or of the wrong kind; the message says what to do.

    >>> from jaxdl import data
    >>> data.load("diabetes", "my/files")
    Traceback (most recent call last):
        ...
    jaxdl.data._dataset.DataError: diabetes is embedded and reads no folder; leave data_dir out
    """


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Columns `[N, ...]` of one length, in memory; row i of each belongs to example i.

    >>> split = Dataset({"x": np.array([1.0, 2.0, 3.0]), "label": np.array([0, 1, 1])})
    >>> len(split), split["x"], split.take(split["label"] == 1)["x"]
    (3, array([1., 2., 3.]), array([2., 3.]))
    """

    columns: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        arrays = {  # lists, columns of pandas, tensors
            name: column if isinstance(column, np.ndarray) else np.asarray(column)
            for name, column in self.columns.items()
        }
        object.__setattr__(self, "columns", arrays)
        if single := [name for name, column in arrays.items() if column.ndim == 0]:
            raise ValueError(f"columns of a split hold a row an example; {single} are one number")
        lengths = {name: len(column) for name, column in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns of a split need one length, got {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def rows(self, indices: ArrayLike) -> dict[str, np.ndarray]:
        """Returns columns `[n, ...]` of the examples at `indices [n]`."""
        return {name: column[np.asarray(indices)] for name, column in self.columns.items()}

    def take(self, indices: ArrayLike | slice) -> "Dataset":
        """Returns the rows at `indices` (integers, a boolean mask or a slice) as a new split."""
        rows = indices if isinstance(indices, slice) else np.asarray(indices)
        return Dataset({name: column[rows] for name, column in self.columns.items()})

    def checksum(self) -> str:
        """Returns a short SHA-256 of names, shapes, dtypes and bytes, for the run record."""
        digest = hashlib.sha256()
        for name in sorted(self.columns):
            column = np.ascontiguousarray(self.columns[name])
            digest.update(f"{name} {column.shape} {column.dtype}".encode())
            if column.dtype.hasobject:  # its bytes are addresses, other ones in every process
                column = np.frombuffer(repr(column.tolist()).encode(), np.uint8)
            digest.update(column.data)
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Where a data set came from and how to read its labels.

    >>> info = DatasetInfo("pets", "/data/pets", class_names=("cat", "dog"))
    >>> [info.class_names[label] for label in (1, 0)]
    ['dog', 'cat']
    """

    name: str
    source: str  # a folder, or the builder that made it
    class_names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class DatasetDict(Mapping[str, Dataset]):
    """The splits of a data set by name, with its `info`.

    >>> train, test = Dataset({"x": np.arange(8)}), Dataset({"x": np.arange(2)})
    >>> splits = DatasetDict({"train": train, "test": test}, DatasetInfo("numbers", "np.arange"))
    >>> {name: len(split) for name, split in splits.items()}
    {'train': 8, 'test': 2}
    """

    splits: Mapping[str, Dataset]
    info: DatasetInfo

    def __getitem__(self, name: str) -> Dataset:
        if name not in self.splits:
            raise KeyError(f"{self.info.name} has the splits {sorted(self.splits)}, not {name!r}")
        return self.splits[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __len__(self) -> int:
        return len(self.splits)
