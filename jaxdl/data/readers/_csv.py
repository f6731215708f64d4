"""Tables on the host: CSV files, columns of numbers and of text, and what they hold."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import check_file, text_column
from jaxdl.data._numbers import integer, number

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
STATISTICS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max", "missing", "skew")


def read_csv(
    path: str | pathlib.Path,
    *,
    delimiter: str = ",",
    header: Sequence[str] | None = None,
    missing: Sequence[str] = MISSING,
) -> Dataset:
    r"""Reads a table with a header line (RFC 4180 quoting) into columns.

    >>> _ = pathlib.Path("flats.csv").write_text("rooms,area,city\n2,51.5,Ulm\n3,NA,Bonn\n")
    >>> table = read_csv("flats.csv")
    >>> table["rooms"], table["area"], table["city"]
    (array([2, 3]), array([51.5,  nan]), array(['Ulm', 'Bonn'], dtype='<U4'))

    Args:
        path: the file.
        delimiter: one character.
        header: names for a file without a header line.
        missing: spellings of a missing value.
    Returns: `Dataset` of columns: int64 (or uint64) where every value is an integer, float64 with
        NaN for missing where all are numbers, else text, spaces kept, with "" for missing (dtype
        `str`, or `object` where one long cell would widen them all). Numbers are those of pandas:
        ASCII digits, an exponent, `inf`, spaces around; `2020_01` is text, and so are integers of
        more than 64 bits.
    Raises: DataError naming the line where a row has too many or too few values, a quote is left
        open or a cell has more than 131,072 characters, or the file is empty or not UTF-8.
    """
    import csv

    path = pathlib.Path(path)
    check_file(path)
    rows: list[list[str]] = []
    names = None if header is None else list(header)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if not row:
                    continue
                if names is None:
                    names = row
                elif len(row) != len(names):
                    raise DataError(
                        f"{path}, line {reader.line_num}: expected {len(names)} values, "
                        f"found {len(row)}"
                    )
                else:
                    rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    if names is None or not rows:
        raise DataError(f"{path}: expected a header line and at least one row")
    if len(set(names)) < len(names):
        raise DataError(f"{path}, line 1: a column name occurs twice")
    absent = frozenset(missing)
    columns = zip(*rows, strict=True)
    return Dataset(
        {name: _column(values, absent) for name, values in zip(names, columns, strict=True)}
    )


def _column(values: Sequence[str], missing: frozenset[str]) -> np.ndarray:
    present = ["" if value in missing else value for value in values]
    try:
        if "" not in present:
            return _integers([integer(value) for value in present], present)
    except ValueError:
        pass
    try:
        return np.array([number(value) if value else np.nan for value in present])
    except ValueError:
        return text_column(present)


def _integers(values: list[int], cells: list[str]) -> np.ndarray:
    """Integers of 64 bits; longer ones stay text, for a float would lose their last digits."""
    for dtype in (np.int64, np.uint64):
        if min(values) >= np.iinfo(dtype).min and max(values) <= np.iinfo(dtype).max:
            return np.array(values, dtype)
    return text_column(cells)


def describe(columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Count, mean, deviation, quartiles, missing share and skew of every numeric column.

    The conventions are pandas': std with ddof 1, quartiles interpolated, skew corrected for the
    sample size (0 for a constant column); NaN where there are too few values.

    >>> describe({"area": np.array([1.0, 2.0, 3.0, np.nan]), "city": np.array(["Ulm"] * 4)})
    {'area': {'count': 3.0, 'mean': 2.0, 'std': 1.0, 'min': 1.0, '25%': 1.5, '50%': 2.0,
              '75%': 2.5, 'max': 3.0, 'missing': 0.25, 'skew': 0.0}}

    Args: columns by name, `[N]`; text columns are passed over.
    Returns: column name to statistics by the names of `pandas.describe`, and "missing", "skew".
    """
    table = {}
    for name, column in columns.items():
        column = np.asarray(column)
        if column.dtype.kind not in "biuf":
            continue
        x = column[~np.isnan(column.astype(float))].astype(np.float64)
        n, nan = len(x), float("nan")
        mean = x.mean() if n else nan
        quartiles = np.quantile(x, [0, 0.25, 0.5, 0.75, 1]) if n else np.full(5, nan)
        second, third = ((x - mean) ** 2).sum(), ((x - mean) ** 3).sum()
        std = (second / (n - 1)) ** 0.5 if n > 1 else nan
        skew = nan
        if n > 2:
            ratio = third / n / (second / n) ** 1.5 if second > 0 else 0.0
            skew = ratio * (n * (n - 1)) ** 0.5 / (n - 2)
        low, *middle, high = quartiles
        statistics = (n, mean, std, low, *middle, high, 1 - n / len(column), skew)
        table[name] = dict(zip(STATISTICS, map(float, statistics), strict=True))
    return table


def format_table(table: Mapping[str, Mapping[str, float]]) -> str:
    """A table of numbers as text, one row a name, columns aligned; for `describe`, say.

    >>> print(format_table({"area": {"mean": 51.5, "std": 8.25}, "rooms": {"mean": 2, "std": 1}}))
           mean   std
    area   51.5  8.25
    rooms     2     1
    """
    if not table:
        return ""
    heads = list(next(iter(table.values())))
    cells = [["", *heads]]
    cells += [[name, *(f"{row[head]:.4g}" for head in heads)] for name, row in table.items()]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads) + 1)]
    lines = []
    for row in cells:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)
