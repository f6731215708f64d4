"""torch.save's zip, read without executing code: nothing outside the file's own bytes is touched.

A pickle rebuilds tensors from storages, and there is one file of bytes a storage. The pickle is
anybody's: it finds a handful of functions of this file, can set nothing on what they return, and
what it claims about sizes is checked against the bytes that are there before memory is taken.
"""

import dataclasses
import io
import math
import pathlib
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

# What Python's readers of zip files and pickles raise for bytes that are none.
DAMAGE = (
    *(KeyError, EOFError, IndexError, TypeError, AttributeError, MemoryError, OverflowError),
    *(RecursionError, NotImplementedError, RuntimeError, OSError, struct.error, zlib.error),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)

_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

_MOST = 2**40  # of numbers: sums and products of what is below stay far inside int64
_MOST_PICKLED = 16 * 2**20  # bytes of names and sizes; the largest published ones have below 1 MB
# Tensors may share a storage, or repeat a number of it, and each becomes a copy: together they may
# be so many times the size of the file, or so many bytes.
_MOST_SHARED, _MOST_REPEATED = 16, 64 * 2**20


class _Inert:
    """What a pickle may hold but not change: its BUILD operation is refused."""

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f"it sets the state of a {type(self).__name__.strip('_')}")


class _Storage(_Inert):
    """The numbers of a storage; tensors are rebuilt as copies of parts of it."""

    def __init__(self, numbers: np.ndarray):
        self.numbers = numbers


class _Tensor(_Inert):
    """A tensor as the pickle describes it. It is checked in full before memory is touched."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any):
        if not isinstance(storage, _Storage):
            raise ValueError(f"a tensor lies over {type(storage).__name__}, not over a storage")
        if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
            raise ValueError("a tensor's size and stride are not two tuples of one length")
        if len(size) > 32:
            raise ValueError(f"a tensor has {len(size)} axes, more than 32")
        for number in (offset, *size, *stride):
            # Exactly int: the arithmetic of an array of int64 may overflow.
            if type(number) is not int or not 0 <= number < _MOST:
                raise ValueError("a tensor's offset, size and stride are not all counts")
        held, count = len(storage.numbers), math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if count and last >= held:
            raise ValueError(f"a tensor {size} does not fit into its storage of {held} numbers")
        self._storage, self._offset, self._size, self._stride = storage, offset, size, stride
        self.nbytes = count * storage.numbers.itemsize

    def array(self) -> np.ndarray:
        """The numbers as an array of its own."""
        if 0 in self._size:
            return np.zeros(self._size, self._storage.numbers.dtype)
        numbers = self._storage.numbers[self._offset :]
        strides = tuple(s * numbers.itemsize for s in self._stride)
        return np.lib.stride_tricks.as_strided(numbers, self._size, strides).copy()


class _Call(_Inert):
    """A function that a pickle may call."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


class _Names(dict[Any, Any]):
    """A dictionary without attributes: the `_metadata` that torch sets on its own are left out."""

    def __setstate__(self, state: Any) -> None:
        pass


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, size, stride)


def _rebuild_parameter(data: Any, *_: Any) -> _Tensor:
    if not isinstance(data, _Tensor):
        raise ValueError(f"a parameter is made of {type(data).__name__}, not of a tensor")
    return data


@dataclasses.dataclass(frozen=True)
class _Kind(_Inert):
    """The type of a storage."""

    name: str


def _ordered(*items: Any) -> _Names:
    return _Names(*items)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Call(_ordered),
    ("torch._utils", "_rebuild_tensor"): _Call(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Call(_rebuild_parameter),
    **{("torch", name): _Kind(name) for name in _DTYPES},
}


class _Unpickler(pickle.Unpickler):
    """Finds nothing but what a state dict is made of."""

    def __init__(self, file: io.BytesIO, archive: zipfile.ZipFile, folder: str, size: int):
        super().__init__(file)
        self._archive, self._folder = archive, folder
        self._storages: dict[str, _Storage] = {}
        self._left = size  # entries of an archive may overlap, so that they are more than the file

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            wanted = f"{module}.{name}"[:100]
            raise pickle.UnpicklingError(f"it asks for {wanted}, which no state dict needs")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        if type(pid) is not tuple or len(pid) != 5:
            raise pickle.UnpicklingError("unknown storage")
        word, kind, key, _, count = pid
        if word != "storage" or not isinstance(kind, _Kind) or type(key) is not str:
            raise pickle.UnpicklingError("unknown storage")
        if type(count) is not int:
            raise pickle.UnpicklingError(f"storage {key} has no size")
        dtype = _DTYPES[kind.name]
        if key not in self._storages:
            data = _member(self._archive, f"{self._folder}/data/{key}", count * dtype.itemsize)
            self._left -= len(data)
            if self._left < 0:
                raise ValueError("its storages are larger than the file")
            self._storages[key] = _Storage(np.frombuffer(data, dtype))
        storage = self._storages[key]
        if (storage.numbers.dtype, len(storage.numbers)) != (dtype, count):
            raise ValueError(f"storage {key} is described in two ways")
        return storage


def _member(archive: zipfile.ZipFile, name: str, size: int | None = None) -> bytes:
    """A file of the archive, which is not read if it is larger than what the archive has on disk.

    torch compresses nothing, so a file that claims more than that is a bomb.
    """
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"{name} is compressed, which torch.save never does")
    if size is not None and info.file_size != size:
        raise ValueError(f"{name} has {info.file_size} bytes, not {size}")
    return archive.read(info)


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name; `DAMAGE` or ValueError for what torch did not write."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"{path} is a zip file but not one that torch.save wrote")
        folder = pickles[0].rpartition("/")[0]
        order = f"{folder}/byteorder"
        if order in archive.namelist() and _member(archive, order) != b"little":
            raise ValueError(f"{path} was written on a big-endian machine")
        if archive.getinfo(pickles[0]).file_size > _MOST_PICKLED:
            raise ValueError(f"{path} has a pickle of over {_MOST_PICKLED >> 20} MB")
        content = _member(archive, pickles[0])
        _refuse_claims(content)
        tree = _Unpickler(io.BytesIO(content), archive, folder, path.stat().st_size).load()
    for key in ("state_dict", "model"):
        if isinstance(tree, dict) and isinstance(tree.get(key), dict):
            tree = tree[key]
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds a {type(tree).__name__}, not a state dict")
    tensors = {k: v for k, v in tree.items() if isinstance(v, _Tensor)}
    if not all(type(name) is str for name in tensors):
        raise ValueError(f"{path} has a tensor whose name is no text")
    total = sum(tensor.nbytes for tensor in tensors.values())
    if total > max(_MOST_REPEATED, _MOST_SHARED * path.stat().st_size):
        raise ValueError(f"{path} describes {total} bytes of tensors, many times what it holds")
    return {name: tensor.array() for name, tensor in tensors.items()}


def _refuse_claims(content: bytes) -> None:
    """Raises ValueError for a pickle that claims more bytes than it has.

    Python's unpickler makes room for what is claimed before it looks for it: four bytes ask for
    4 GB, and the index of a memo for as much again.
    """
    for operation, argument, position in pickletools.genops(content):
        if operation.name in _MEMO and not 0 <= int(argument or 0) <= len(content):
            raise ValueError(f"its pickle refers to entry {argument} at byte {position}")
        if operation.name in _NEVER:
            raise ValueError(f"its pickle uses {operation.name}, which no state dict needs")


# pickletools' names. Entries of the memo are numbered from 0 by Python's pickler, and take at
# least a byte each.
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET")
_NEVER = ("EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "NEXT_BUFFER")
