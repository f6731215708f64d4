"""What an objective says of its data while it is traced: which columns hold classes."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, NamedTuple

Where = Callable[[Mapping[str, Any]], Any]


class Classes(NamedTuple):
    """How many classes a column of labels has, and which labels count."""

    num_classes: int
    where: Where | None


class _Notes(NamedTuple):
    found: dict[str, Classes]
    as_given: Set[str]  # columns that the score sees as they lie in the data


_NOTES: contextvars.ContextVar[_Notes | None] = contextvars.ContextVar("notes", default=None)


def expect_classes(column: str, num_classes: int, *, where: Where | None = None) -> None:
    """Says that a column of the batch holds labels from 0 to K - 1; `fit` looks before it begins.

    Called inside the `score` of `build`. Labels that a `preprocess` or an `augment` makes are not
    looked at, for they are not those of the data.

    >>> with expected() as found:
    ...     with seeing({"label"}):
    ...         expect_classes("label", 10)
    >>> found["label"].num_classes
    10

    Args:
        column: of integers.
        num_classes: K.
        where: `columns -> mask`, of the labels that count; all by default.
    """
    notes = _NOTES.get()
    if notes is not None and column in notes.as_given:
        notes.found[column] = Classes(num_classes, where)


@contextlib.contextmanager
def expected() -> Iterator[dict[str, Classes]]:
    """What the objectives that are traced inside say, by column."""
    found: dict[str, Classes] = {}
    token = _NOTES.set(_Notes(found, frozenset()))
    try:
        yield found
    finally:
        _NOTES.reset(token)


@contextlib.contextmanager
def seeing(as_given: Set[str]) -> Iterator[None]:
    """Names the columns that nothing has changed."""
    notes = _NOTES.get()
    token = _NOTES.set(None if notes is None else notes._replace(as_given=as_given))
    try:
        yield
    finally:
        _NOTES.reset(token)
