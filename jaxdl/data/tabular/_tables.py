"""Tabular data sets: scikit-learn's embedded ones, and the original files of others."""

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdl.data._archives import from_anywhere
from jaxdl.data._builders import Builder
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import read_text, text_column
from jaxdl.data.readers._csv import read_csv


def _embedded(name: str, num_features: int, class_names: tuple[str, ...] = ()) -> Builder:
    """A fifth of the rows (of each class) of one of scikit-learn's tables held out for testing.

    Columns: "features" `[N, D]` float32 in the units of the source, "label" or "target" `[N]`, and
    "row" `[N]`, the place in the source.
    """
    key, kind = ("label", np.int32) if class_names else ("target", np.float32)

    def make_splits(downloads: Any) -> dict[str, Dataset]:
        import sklearn.datasets
        import sklearn.model_selection

        features, target = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        train, test = sklearn.model_selection.train_test_split(
            np.arange(len(target)),
            test_size=0.2,
            stratify=target if class_names else None,
            random_state=0,
        )
        return {
            split: Dataset(
                {
                    "features": features[rows].astype(np.float32),
                    key: target[rows].astype(kind),
                    "row": rows.astype(np.int32),
                }
            )
            for split, rows in (("train", np.sort(train)), ("test", np.sort(test)))
        }

    return Builder(
        name=name,
        features={
            "features": ((num_features,), np.float32),
            key: ((), kind),
            "row": ((), np.int32),
        },
        make_splits=make_splits,
        class_names=class_names,
    )


EMBEDDED = {
    "breast_cancer": _embedded("breast_cancer", 30, ("malignant", "benign")),
    "diabetes": _embedded("diabetes", 10),
    "iris": _embedded("iris", 4, ("setosa", "versicolor", "virginica")),
    "wine": _embedded("wine", 13, ("class_0", "class_1", "class_2")),
}


def _only_file(folder: pathlib.Path, pattern: str) -> pathlib.Path:
    paths = sorted(folder.glob(pattern))
    if len(paths) != 1:
        raise DataError(f"{folder}: expected one file {pattern}, found {len(paths)}")
    return paths[0]


def _matrix(path: pathlib.Path, columns: int, delimiter: str | None = None) -> np.ndarray:
    """A text file of numbers in rows of one length."""
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path}: expected rows of {columns} numbers, found none")
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path}: {str(error)[:200]}") from error
    if table.shape[1] != columns:
        raise DataError(f"{path}: expected rows of {columns} numbers, found {table.shape[1]}")
    wrong = np.argwhere(~(np.abs(table) <= np.finfo(np.float32).max))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{path}: expected numbers of float32, found {table[row, column]:g} in row {row + 1}"
        )
    return table


def _held_out(columns: dict[str, np.ndarray], share: float = 0.2) -> dict[str, Dataset]:
    """Files in one piece: a fifth of the rows, drawn once and for all, is the test set."""
    size = len(Dataset(columns))
    table = Dataset({**columns, "row": np.arange(size, dtype=np.int32)})
    order = np.random.default_rng(0).permutation(size)
    cut = round(share * size)
    return {
        "train": table.take(np.sort(order[cut:])),
        "test": table.take(np.sort(order[:cut])),
    }


def whole(splits: Mapping[str, Dataset]) -> Dataset:
    """Training and test rows together, for folds of one's own; in the order of the source.

    The order is that of the column "row", which goes; without it the splits follow each other.

    >>> train = Dataset({"x": np.array([1.0, 3.0]), "row": np.array([0, 2])})
    >>> test = Dataset({"x": np.array([2.0]), "row": np.array([1])})
    >>> whole({"train": train, "test": test}).columns
    {'x': array([1., 2., 3.])}
    """
    columns = {
        name: np.concatenate([splits["train"][name], splits["test"][name]])
        for name in splits["train"].columns
    }
    if "row" not in columns:
        return Dataset(columns)
    order = np.argsort(columns.pop("row"), kind="stable")
    return Dataset(columns).take(order)


@from_anywhere
def read_airfoil(folder: pathlib.Path) -> dict[str, Dataset]:
    """UCI Airfoil Self-Noise: five numbers a row and the sound level in dB."""
    table = _matrix(_only_file(folder, "airfoil_self_noise*.dat"), 6)
    table = table.astype(np.float32)
    return _held_out({"features": table[:, :5], "target": table[:, 5]})


@from_anywhere
def read_face_attributes(folder: pathlib.Path) -> dict[str, Dataset]:
    """Gender by face attributes: seven columns and the column "Male" or "gender"."""
    path = _only_file(folder, "gender_classification*.csv")
    table = dict(read_csv(path).columns)
    name, kinds = ("Male", (0, 1)) if "Male" in table else ("gender", ("Female", "Male"))
    label = table.pop(name, None)
    wrong = [name for name, column in table.items() if column.dtype.kind not in "if"]
    if label is None or wrong or not table:
        raise DataError(f'{path}: expected a column "Male" or "gender" and numbers, found {wrong}')
    outside = np.flatnonzero(~np.isin(label, kinds))
    if len(outside):
        raise DataError(
            f"{path}: expected {name} {kinds[0]} or {kinds[1]}, found {label[outside[0]]!s:.40} in "
            f"row {outside[0] + 1}"
        )
    features = np.stack(list(table.values()), axis=1).astype(np.float32)
    return _held_out({"features": features, "label": (label == kinds[1]).astype(np.int32)})


@from_anywhere
def read_sms_spam(folder: pathlib.Path) -> dict[str, Dataset]:
    """SMS Spam Collection: "ham" or "spam", a tab and the message on each line."""
    path = folder / "SMSSpamCollection"
    labels, texts = [], []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        kind, tab, text = line.partition("\t")
        if tab and kind in ("ham", "spam"):
            labels.append(kind == "spam")
            texts.append(text)
        elif line.strip():
            raise DataError(f'{path}, line {number}: expected "ham" or "spam", a tab and a text')
    if not texts:
        raise DataError(f"{path}: no messages")
    return _held_out({"text": text_column(texts), "label": np.array(labels, np.int32)})


def manual_paragraphs() -> dict[str, Dataset]:
    """Paragraphs of Python's reference manual; label 1 in the chapter on the data model.

    Real sentences that every installation has, for trying what reads "text" and "label".
    """
    import pydoc_data.topics

    texts: dict[str, bool] = {}
    for topic, page in sorted(pydoc_data.topics.topics.items()):
        for paragraph in page.split("\n\n"):
            text = " ".join(paragraph.split())
            if len(text) > 80:
                texts[text] = texts.get(text, False) or topic in ("types", "specialnames")
    labels = np.array(list(texts.values()), np.int32)
    return _held_out({"text": np.array(list(texts)), "label": labels})


@from_anywhere
def read_house_prices(folder: pathlib.Path) -> dict[str, Dataset]:
    """A table of any columns, text and numbers: the competition's train.csv, or the only CSV file.

    Ames's column "Id" is left out; its test.csv has no prices.
    """
    named = list(folder.glob("*train.csv"))
    table = read_csv(_only_file(folder, "*train.csv" if named else "*.csv"))
    columns = {name: column for name, column in table.columns.items() if name != "Id"}
    return _held_out(columns)


@from_anywhere
def read_ecg5000(folder: pathlib.Path) -> dict[str, Dataset]:
    """UCR ECG5000: a class from 1 to 5 and 140 samples a row, in *TRAIN*.txt and *TEST*.txt.

    The archive's own split where both files are there, else a fifth of the rows held out.
    """

    def columns(path: pathlib.Path) -> dict[str, np.ndarray]:
        table = _matrix(path, 141)
        wrong = np.flatnonzero(~np.isin(table[:, 0], range(1, 6)))
        if len(wrong):
            found = f"{table[wrong[0], 0]:g} in row {wrong[0] + 1}"
            raise DataError(f"{path}: expected classes 1 to 5, found {found}")
        label = table[:, 0].astype(np.int32) - 1
        return {"signal": table[:, 1:, None].astype(np.float32), "label": label}

    train = columns(_only_file(folder, "ECG5000_TRAIN*.txt"))
    if not any(folder.glob("ECG5000_TEST*.txt")):
        return _held_out(train)
    test = columns(_only_file(folder, "ECG5000_TEST*.txt"))
    return {"train": Dataset(train), "test": Dataset(test)}
