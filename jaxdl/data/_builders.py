"""TFDS builders for data that needs no network, and for files that TFDS can fetch.

They write array_record and need no TensorFlow: every feature is a `Tensor`, never an `Image`.
A data set is prepared once into the user's cache folder and read from there ever after.
"""

import contextlib
import dataclasses
import fcntl
import io
import logging
import os
import pathlib
import queue
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxdl.data._dataset import DataError, Dataset, DatasetDict, DatasetInfo

_LAYOUT = 2  # of the files; raised whenever `_tfds_builder` comes to write them otherwise

Features = Mapping[str, tuple[tuple[int | None, ...], Any]]  # name: (shape without N, dtype)


@dataclasses.dataclass(frozen=True)
class Builder:
    """A data set that TFDS prepares: its columns and the function that makes its splits.

    `make_splits(downloads)` gets TFDS's download manager, which embedded data ignores. Raise
    `version` whenever it comes to give something else.

    >>> def squares(downloads):
    ...     return {"train": Dataset({"x": np.arange(4.0) ** 2})}
    >>> builder = Builder("squares", features={"x": ((), np.float64)}, make_splits=squares)
    >>> builder.make_splits(None)["train"]["x"]
    array([0., 1., 4., 9.])
    """

    name: str
    features: Features
    make_splits: Callable[[Any], Mapping[str, Dataset]]
    version: str = "1.0.0"
    class_names: tuple[str, ...] = ()


def cache_folder() -> pathlib.Path:
    """The user's cache folder: $JAXDL_CACHE, else $XDG_CACHE_HOME/jaxdl, else ~/.cache/jaxdl.

    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {"JAXDL_CACHE": "/scratch/data"}):
    ...     print(cache_folder())
    /scratch/data
    """
    if "JAXDL_CACHE" in os.environ:
        return pathlib.Path(os.environ["JAXDL_CACHE"])
    return (
        pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "jaxdl"
    )


def prepare(builder: Builder) -> dict[str, Dataset]:
    """Writes the data set as array_record files if that was not done before, and reads it.

    >>> from jaxdl.data import _builders
    >>> prepare(_builders.DIGITS)["test"]["image"].shape
    (360, 8, 8, 1)

    Raises: DataError if files have to be fetched and cannot be.
    """
    folder = cache_folder() / f"datasets-{_LAYOUT}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{builder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes may get here at once
        with _quiet():
            tfds_builder = _tfds_builder(builder, folder)
            if not tfds_builder.is_prepared():
                tfds_builder.download_and_prepare()
    return {split: _read(tfds_builder, builder, split) for split in tfds_builder.info.splits}


def prepared(builder: Builder) -> Callable[[], DatasetDict]:
    """What `prepare` gives, with the names of the classes, made when it is called."""

    def make() -> DatasetDict:
        origin = f"TFDS builder {builder.name} {builder.version}"
        info = DatasetInfo(builder.name, origin, class_names=builder.class_names)
        return DatasetDict(prepare(builder), info)

    return make


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what TFDS prints of every step and urllib3 logs of every retry."""
    loggers = [logging.getLogger(name) for name in ("absl", "urllib3.connectionpool")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _tfds_builder(builder: Builder, folder: pathlib.Path) -> Any:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()

    class ArrayBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        name = builder.name
        VERSION = tfds.core.Version(builder.version)
        code_path = None  # where checksums of downloads would be kept; a local class has no file

        def _info(self) -> Any:
            features = {
                key: tfds.features.Tensor(
                    shape=shape,
                    dtype=np.dtype(dtype).type,
                    # pixels as they lie in memory, where TFDS would write a list of integers
                    encoding="bytes" if dtype == np.uint8 else "none",
                )
                for key, (shape, dtype) in builder.features.items()
            }
            return tfds.core.DatasetInfo(
                builder=self,
                description=f"{builder.name}, as jaxdl prepares it.",
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,  # row i stays row i
            )

        def _split_generators(self, dl_manager: Any) -> Any:
            splits = builder.make_splits(dl_manager)
            return {key: self._generate_examples(split) for key, split in splits.items()}

        def _generate_examples(self, split: Dataset) -> Iterator[tuple[int, dict[str, Any]]]:
            for i in range(len(split)):
                yield i, {key: split[key][i] for key in builder.features}

    return ArrayBuilder(data_dir=folder, file_format="array_record")


def _read(tfds_builder: Any, builder: Builder, split: str) -> Dataset:
    source = tfds_builder.as_data_source(split=split)
    rows = source.__getitems__(range(len(source)))
    return Dataset(
        {
            key: np.array([row[key] for row in rows], dtype)
            for key, (_, dtype) in builder.features.items()
        }
    )


# Embedded: what dependencies ship.


def _digits(downloads: Any) -> dict[str, Dataset]:
    """The 8x8 digits of scikit-learn, a fifth of each class held out, drawn once and for all."""
    import sklearn.datasets
    import sklearn.model_selection

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    # 0..16 in the source; 255 / 16 apart here, so that uint8 / 255 gives 0..1 as for every image.
    images = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    train, test = sklearn.model_selection.train_test_split(
        np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0
    )
    return {
        name: Dataset(
            {
                "image": images[rows],
                "label": labels[rows].astype(np.int32),
                "row": rows.astype(np.int32),  # place in the source, for folds of one's own
            }
        )
        for name, rows in (("train", np.sort(train)), ("test", np.sort(test)))
    }


DIGITS = Builder(
    name="digits",
    features={"image": ((8, 8, 1), np.uint8), "label": ((), np.int32), "row": ((), np.int32)},
    make_splits=_digits,
    version="1.2.0",
    class_names=tuple("0123456789"),
)


# Fetched: original files that TFDS's download manager can get where there is a network.


def check_network(url: str) -> None:
    """Raises DataError if the host of `url` (or the proxy) does not answer soon.

    What fetches files tries again and again, and would be silent for most of a minute.
    """
    target = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy and not urllib.request.proxy_bypass(target.hostname or ""):
        target = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    port = target.port or (443 if target.scheme == "https" else 80)
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def knock() -> None:  # in a thread, for looking up a name has no time limit
        try:
            socket.create_connection((target.hostname or "", port), timeout=4).close()
            answers.put("")
        except OSError as error:
            answers.put(str(error))

    threading.Thread(target=knock, daemon=True).start()
    try:
        trouble = answers.get(timeout=4)
    except queue.Empty:
        trouble = "no answer"
    if trouble:
        raise DataError(f"cannot fetch {url} ({trouble}; is there a network?)")


def _fetch_idx(downloads: Any, mirror: str) -> dict[str, Dataset]:
    from jaxdl.data.readers._idx import FILES, pair_idx

    splits = {}
    for split, (images, labels) in FILES.items():
        check_network(mirror)
        urls = [f"{mirror}{images}-idx3-ubyte.gz", f"{mirror}{labels}-idx1-ubyte.gz"]
        try:
            paths = downloads.download(urls)
        except Exception as error:  # whatever the transport raises
            kind = type(error).__name__
            raise DataError(f"cannot fetch {urls[0]} ({kind}; is there a network?)") from error
        splits[split] = pair_idx(*(pathlib.Path(path) for path in paths))
    return splits


def idx_builder(name: str, mirror: str, class_names: tuple[str, ...]) -> Builder:
    """The builder of a data set in MNIST's four files, fetched from the folder `mirror`."""
    return Builder(
        name=name,
        features={"image": ((28, 28, 1), np.uint8), "label": ((), np.int32)},
        make_splits=lambda downloads: _fetch_idx(downloads, mirror),
        version="1.1.0",
        class_names=class_names,
    )
