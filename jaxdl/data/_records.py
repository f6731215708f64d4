"""Examples that need not fit in memory: read when their batch is due, a few batches ahead.

    source = tfds.builder("imagenet2012").as_data_source("train")       # or anything with [i], len
    split = data.Records(source, lambda row: {"image": crop(row["image"]), "label": row["label"]})
    train.fit(step, state, split, epochs=90, batch_size=256)

Batches, their order, resuming and the share of each process are those of a `Dataset` with the same
rows; only the place where they come from differs.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

_T = TypeVar("_T")
_THREADS, _AHEAD = 4, 8  # batches read at a time, and kept ready


class RandomAccess(Protocol):
    """A source of examples: array_record and TFDS sources, Grain's `MapDataset`, lists.

    >>> class Squares:
    ...     def __len__(self):
    ...         return 1_000_000
    ...     def __getitem__(self, i):
    ...         return {"x": i * i}
    >>> Records(Squares()).rows([3, 5])
    {'x': array([ 9, 25])}
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Records:
    """A split whose rows lie elsewhere; takes the place of `Dataset` in `batches` and `train.fit`.

    >>> records = Records(["ab", "abc", "a"], parse=lambda text: {"length": len(text)})
    >>> records.rows([0, 1]), len(records.take([True, False, True]))
    ({'length': array([2, 3])}, 2)

    Attributes:
        source: gives example i as `source[i]`, from several threads at once.
        parse: makes of it a dict of arrays and numbers, of the same names, shapes and dtypes for
            every example; by default the example is that dict.
        order: which examples of the source these are; None for all.
    """

    source: RandomAccess
    parse: Callable[[Any], Mapping[str, ArrayLike]] = dict
    order: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.source) if self.order is None else len(self.order)

    def rows(self, indices: ArrayLike) -> dict[str, np.ndarray]:
        """Reads the examples at `indices [n]`, n > 0, into columns `[n, ...]`.

        Raises: ValueError if they are not alike, naming the first that is not.
        """
        chosen = np.asarray(indices) if self.order is None else self.order[np.asarray(indices)]
        examples = [self._read(int(i)) for i in chosen]
        form = _form(examples[0])
        for i, example in zip(chosen, examples, strict=True):
            if _form(example) != form:
                raise ValueError(
                    f"example {i} is {_form(example)}, example {chosen[0]} {form}; "
                    "`parse` must give all of them one form"
                )
        return {name: np.stack([example[name] for example in examples]) for name in form}

    def _read(self, i: int) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in self.parse(self.source[i]).items()}

    def take(self, indices: ArrayLike | slice) -> "Records":
        """Returns the examples at `indices` (integers, a boolean mask or a slice), still unread."""
        order = np.arange(len(self.source)) if self.order is None else self.order
        chosen = indices if isinstance(indices, slice) else np.asarray(indices)
        return dataclasses.replace(self, order=order[chosen])

    def checksum(self) -> str:
        """Returns a short SHA-256 of the number of examples and of the first, middle and last."""
        digest = hashlib.sha256(str(len(self)).encode())
        for name, column in sorted(self.rows([0, len(self) // 2, len(self) - 1]).items()):
            digest.update(f"{name} {column.shape} {column.dtype}".encode())
            digest.update(column.tobytes())
        return digest.hexdigest()[:16]


def _form(example: Mapping[str, np.ndarray]) -> dict[str, str]:
    return {name: f"{array.dtype}{list(array.shape)}" for name, array in example.items()}


def read_ahead(make: Callable[[int], _T], start: int, stop: int) -> Iterator[_T]:
    """Yields `make(start), ..., make(stop - 1)`, each computed ahead in one of Grain's threads.

    >>> list(read_ahead(lambda k: 10 * k, start=2, stop=5))
    [20, 30, 40]
    """
    import grain

    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    numbers = grain.MapDataset.range(start, stop)
    yield from numbers.map(lambda k: make(int(k))).to_iter_dataset(options)
