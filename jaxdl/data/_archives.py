"""Original files wherever they lie: in a folder, in one folder below, in an archive."""

import functools
import hashlib
import pathlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

from jaxdl.data._builders import cache_folder
from jaxdl.data._dataset import DataError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Reader = Callable[Concatenate[pathlib.Path, _P], _T]

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


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
        archives = [one for one in sorted(path.iterdir()) if one.name.lower().endswith(ENDINGS)]
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

    Raises: DataError if it is no zip or tar, damaged, or has files that would lie outside.
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
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(part)
        else:
            with tarfile.open(archive) as file:
                file.extractall(part, filter="data")
        part.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        if not folder.is_dir():  # another process may have been sooner
            cause = str(error).partition("\n")[0]
            raise DataError(
                f"{archive}: expected a zip or tar archive or a folder, {cause}"
            ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder
