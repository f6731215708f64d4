"""The grammar of numbers in text files: ASCII digits, as C and pandas read them.

Python's own `int` and `float` take more: `2020_01`, Arabic and full-width digits.
"""

import re

_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_NUMBER = re.compile(
    r"\s*[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?)\s*",
    re.ASCII | re.IGNORECASE,
)


def integer(text: str) -> int:
    """The integer that a text is. Raises: ValueError if it is none."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"not an integer: {text!r}")
    return int(text)


def number(text: str) -> float:
    """The number that a text is, infinities included and NaN not. Raises: ValueError if none."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {text!r}")
    return float(text)
