"""Original files wherever they lie: in a folder, in one folder below, in an archive."""

import contextlib
import errno
import functools
import hashlib
import pathlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Concatenate, ParamSpec, TypeVar

from jaxdl.data._builders import cache_folder
from jaxdl.data._dataset import DataError
from jaxdl.data._files import DAMAGE, most_unpacked, opened

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Reader = Callable[Concatenate[pathlib.Path, _P], _T]

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DEEPEST = 64  # folders in folders


def from_anywhere(
    read: _Reader[_P, _T],
) -> Callable[Concatenate[str | pathlib.Path, _P], _T]:
    """Lets a reader of a folder take as well an archive, or a folder that holds one.

    The files may lie one or more folders down, where that is the only way. What lies in the folder
    itself comes first; an archive is unpacked once, into the user's cache folder.
    """

    @functools.wraps(read)
    def reader(path: str | pathlib.Path, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        path = pathlib.Path(path)
        found: list[DataError] = []
        for folder in _places(path):
            try:
                return read(folder, *args, **kwargs)
            except DataError as error:
                found.append(error)
        if not found:
            raise DataError(f"{path}: no such folder or archive ({', '.join(ENDINGS)})")
        if len(found) == 1:
            raise found[0]
        raise DataError(f"{found[0]}; nor in what is below it: {found[-1]}") from found[0]

    return reader


def _places(path: pathlib.Path) -> Iterator[pathlib.Path]:
    if path.is_dir():
        yield path
        if (inner := innermost(path)) != path:
            yield inner
        archives = [
            one
            for one in sorted(path.iterdir())
            if one.name.lower().endswith(ENDINGS) and one.is_file()
        ]
    else:
        archives = [path] if path.is_file() else []
    for archive in archives:
        yield innermost(unpacked(archive))


def innermost(folder: pathlib.Path) -> pathlib.Path:
    """The folder in which there is more than one more folder."""
    while True:
        inside = [one for one in folder.iterdir() if one.name[0] not in "._"]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        folder = inside[0]


def unpacked(archive: pathlib.Path) -> pathlib.Path:
    """The folder in the user's cache with the content of an archive, written if it is not there.

    Raises: DataError if it is no zip or tar, damaged, has files that would lie outside, or unpacks
        to more than a hundred times its size (and 2^28 bytes).
    """
    state = archive.stat()
    mark = f"{archive.resolve()} {state.st_size} {state.st_mtime_ns}"
    parent = cache_folder() / "archives"
    folder = parent / f"{archive.name}-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(dir=parent))
    try:
        with damage_named(archive):
            if zipfile.is_zipfile(archive):
                _unpack_zip(archive, part)
            else:
                for member, tar in members(archive):
                    tar.extract(member, part, filter="data")
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process may have been sooner
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


@contextlib.contextmanager
def damage_named(archive: pathlib.Path) -> Iterator[None]:
    """Turns what a damaged archive raises into a DataError with its name."""
    try:
        yield
    except DataError:
        raise
    except (*DAMAGE, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise OSError(
                f"cannot unpack {archive} to {cache_folder()}: {error.strerror}"
            ) from error
        cause = str(error).partition("\n")[0][:200] or type(error).__name__
        raise DataError(f"{archive}: expected a zip or tar archive or a folder, {cause}") from error


def members(archive: pathlib.Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """What a tar archive holds, one by one as it is unpacked."""
    left = most_unpacked(archive.stat().st_size)
    with opened(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            left -= member.size  # of a sparse file, which is larger than what is stored
            _check_member(archive, member.name, left)
            yield member, tar


def _unpack_zip(archive: pathlib.Path, target: pathlib.Path) -> None:
    left = most_unpacked(archive.stat().st_size)
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            left -= info.file_size  # no more than that is ever written
            _check_member(archive, info.filename, left)
        file.extractall(target)


def _check_member(archive: pathlib.Path, name: str, left: int) -> None:
    if left < 0:
        raise DataError(
            f"{archive}: unpacks to more than {most_unpacked(archive.stat().st_size)} bytes"
        )
    if name.count("/") > _DEEPEST:
        raise DataError(f"{archive}: has folders in folders, {name.count('/')} deep")


def read_member(file: IO[bytes], most: int) -> bytes:
    """A file of an archive. Raises: ValueError if it has more than `most` bytes."""
    content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"a file of more than {most} bytes")
    return content
