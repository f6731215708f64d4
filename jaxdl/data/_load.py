"""One way to load them all: embedded, from a folder of original files, or fetched."""

import difflib
import pathlib
from collections.abc import Mapping

import numpy as np

from jaxdl import classical
from jaxdl.data._dataset import DataError, Dataset, DatasetDict, DatasetInfo
from jaxdl.data._labels import check_labels
from jaxdl.data._sources import SOURCES, Source


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
        name: a key of `SOURCES`, which lists them all: "digits", "manual", "dates", "low_rank", ...
        data_dir: a folder with the original files, their archive (zip, tar) or a folder that holds
            it; None takes the embedded data, or fetches the files once where there is a network.
        limit: at most so many examples of each split (the first ones), for a quick try; of
            "tatoeba" so many of its file, before a tenth is held out.
        validation: share of the training set that becomes a split "validation", to choose settings
            by; the same examples every time, labels in proportion. Of a text it is the end.
    Returns: splits "train" and "test" with the columns of the source's kind: images are uint8
        `[N, H, W, C]`, labels int32, lines of a text keep their ends (`text.joined` gives it in one
        piece). Ratings have the splits "ratings" and "items" (`recommenders.Interactions`).
    Raises: DataError if the name is unknown, or the files are missing or damaged; ValueError if
        validation does not lie in (0, 1), or the source has such a split, or no training set.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if name not in SOURCES:
        near = difflib.get_close_matches(str(name), SOURCES)
        meant = f" (is it {' or '.join(near)}?)" if near else ""
        known = ", ".join(sorted(SOURCES))
        raise DataError(f"unknown data set {name!r}{meant}; known are {known}")
    source = SOURCES[name]
    if data_dir is not None:
        read = _from_folder(name, source, pathlib.Path(data_dir), limit)
        origin = str(data_dir)
    else:
        read = _made(name, source)
        origin = read.info.source if isinstance(read, DatasetDict) else f"{name}, embedded"
    splits, classes = dict(read), _class_names(source, read)
    for split_name, split in splits.items():
        if classes and "label" in split.columns:
            check_labels(split["label"], len(classes), what=f"{name} {split_name}")
    if limit is not None and not source.limits:  # a catalog stays whole
        splits = {k: v if k == "items" else v.take(slice(limit)) for k, v in splits.items()}
    if validation is not None:
        splits = _hold_out(name, splits, validation)
    return DatasetDict(splits, DatasetInfo(name=name, source=origin, class_names=classes))


def _hold_out(name: str, splits: Mapping[str, Dataset], share: float) -> dict[str, Dataset]:
    """Takes a "validation" split out of "train"."""
    if not 0 < share < 1:
        raise ValueError(f"validation must lie in (0, 1), got {share}")
    if "validation" in splits:
        raise ValueError(f"validation: {name} has a split of that name")
    if "train" not in splits:
        raise ValueError(f"validation: {name} has the splits {sorted(splits)}, none to train on")
    whole, kind = splits["train"], SOURCES[name].kind
    if kind == "text":
        kept, held_out = np.split(np.arange(len(whole)), [round(len(whole) * (1 - share))])
    elif kind == "pairs":  # all translations of a sentence go together
        drawn = np.random.default_rng(0).permutation(np.unique(whole["source"]))
        held = np.isin(whole["source"], drawn[: round(len(drawn) * share)])
        kept, held_out = np.flatnonzero(~held), np.flatnonzero(held)
    else:
        labels = whole["label"] if "label" in whole.columns else None
        kept, held_out = classical.train_test_split(
            len(whole), (1 - share, share), seed=0, labels=labels
        )
    return {**splits, "train": whole.take(kept), "validation": whole.take(held_out)}


def _class_names(source: Source, read: Mapping[str, Dataset]) -> tuple[str, ...]:
    """Those of the files, or of the builder."""
    return read.info.class_names if isinstance(read, DatasetDict) else source.class_names


def _from_folder(
    name: str, source: Source, folder: pathlib.Path, limit: int | None
) -> Mapping[str, Dataset]:
    if source.read is None:
        raise DataError(f"{name} is embedded and reads no folder; leave data_dir out")
    if not folder.exists():
        raise DataError(
            f"{folder}: no such folder or archive; {name} can be had from {source.where}"
        )
    try:
        return source.read(folder, limit) if source.limits else source.read(folder)
    except DataError as error:
        raise DataError(f"{error}; {name} can be had from {source.where}") from error


def _made(name: str, source: Source) -> Mapping[str, Dataset]:
    if source.make is None:
        raise DataError(
            f"{name} is read from files: get them from {source.where} and name the "
            "folder as data_dir (--data-dir)"
        )
    try:
        return source.make()
    except DataError as error:
        raise DataError(
            f"{error}; get the files of {name} from {source.where} and name their folder as "
            "data_dir (--data-dir)"
        ) from error
