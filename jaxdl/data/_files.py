"""Files that anybody may have written: read whole or not at all, within limits, errors by name.

What is packed (gz, bz2, xz, zip) may unpack to `MOST_TIMES` its size, or to `MOST_BYTES` where that
is more; a line of text may have `MOST_LINE` bytes. A file that lies plainly on disk is as large as
its owner made it, and takes memory in proportion.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import pathlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from jaxdl.data._dataset import DataError

MOST_TIMES, MOST_BYTES = 100, 256 * 2**20
MOST_LINE = 2**20
# What Python's readers of packed files raise for bytes that are none.
DAMAGE = (
    *(EOFError, OSError, zlib.error, lzma.LZMAError, struct.error, zipfile.BadZipFile),
    *(RuntimeError, KeyError, IndexError, OverflowError, MemoryError, ValueError),
)
_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def check_file(path: str | pathlib.Path) -> int:
    """The size of a file in bytes. Raises: DataError if it is not there, or is no file."""
    try:
        state = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        missing = isinstance(error, FileNotFoundError)
        raise DataError(f"{path}: {'no such file' if missing else _reason(error)}") from error
    if stat.S_ISDIR(state.st_mode):
        raise DataError(f"{path}: a folder where a file belongs")
    if not stat.S_ISREG(state.st_mode):
        raise DataError(f"{path}: not a regular file")  # a pipe would have us wait
    return state.st_size


def read_bytes(path: str | pathlib.Path, most: int | None = None) -> bytes:
    """The content of a file. Raises: DataError if it cannot be read or has more than `most`."""
    size = check_file(path)
    if most is not None and size > most:
        raise DataError(f"{path}: expected at most {most} bytes, found {size}")
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)})") from error


def read_text(path: str | pathlib.Path, most: int | None = None) -> str:
    """UTF-8 text, a byte order mark left out and every line's end a `\\n`."""
    return decode(read_bytes(path, most), path).replace("\r\n", "\n")


def decode(content: bytes, path: str | pathlib.Path, line: int | None = None) -> str:
    """Bytes as UTF-8. Raises: DataError naming the file, and the line if it is given."""
    try:
        return content.decode("utf-8-sig" if line in (None, 1) else "utf-8")
    except UnicodeDecodeError as error:
        where = f"{path}, line {line}" if line else f"{path}"
        raise DataError(
            f"{where}: not UTF-8 text ({error.reason} at byte {error.start})"
        ) from error


def lines(file: BinaryIO, path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """Lines of an open file without their ends, and their numbers from 1."""
    number = 0
    while line := file.readline(MOST_LINE + 1):
        number += 1
        if len(line) > MOST_LINE:
            raise DataError(f"{path}, line {number}: longer than {MOST_LINE} bytes")
        yield number, line.rstrip(b"\r\n")


@contextlib.contextmanager
def opened(path: str | pathlib.Path) -> Iterator[BinaryIO]:
    """A file to read from, unpacked on the way where it is gz, bz2 or xz.

    Raises: DataError, then and while reading, if it is damaged or unpacks to more than `most`.
    """
    size = check_file(path)
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            unpack = next((f for mark, f in _PACKED.items() if start.startswith(mark)), None)
            file.seek(0)
            if unpack is None:
                yield file
                return
            with unpack(file) as inner:
                yield io.BufferedReader(_Limited(inner, path, most_unpacked(size)))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)})") from error


def most_unpacked(size: int) -> int:
    """To how many bytes a file of `size` may unpack."""
    return max(MOST_BYTES, MOST_TIMES * size)


class _Limited(io.RawIOBase):
    """A packed stream that ends in a DataError where it is damaged or too long."""

    def __init__(self, file: Any, path: str | pathlib.Path, most: int) -> None:
        self._file, self._path, self._most = file, path, most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        with self._sentence():
            content = self._file.read(len(target))
            self._check(self._file.tell())
        target[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        with self._sentence():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def _check(self, position: int) -> None:
        if position > self._most:
            raise DataError(f"{self._path}: unpacks to more than {self._most} bytes")

    @contextlib.contextmanager
    def _sentence(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except DAMAGE as error:
            raise DataError(
                f"{self._path}: the packed stream is damaged or cut off ({_reason(error)})"
            ) from error


def text_column(values: list[str]) -> np.ndarray:
    """Texts as an array: of one width, or of objects where the longest would make it too large."""
    longest = max(map(len, values), default=0)
    wide = longest * len(values) > 2**20 + 8 * sum(map(len, values))
    return np.array(values, dtype=object if wide else str)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0][:200] or type(error).__name__
