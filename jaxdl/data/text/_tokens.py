"""From text to tokens: letters, characters, words."""

import functools
import itertools
import re
import sys
import unicodedata


@functools.cache
def character_class(*kinds: str) -> str:
    """Ranges, for a set of `re`, of all characters whose Unicode category starts with a kind.

    Marks ("M") belong to letters ("L"): vowel signs of Hindi, accents that have no single code.
    """
    wanted = (c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c))[0] in kinds)
    runs = itertools.groupby(enumerate(wanted), lambda pair: pair[1] - pair[0])
    ranges = []
    for _, run in runs:
        codes = [code for _, code in run]
        ranges.append(f"{re.escape(chr(codes[0]))}-{re.escape(chr(codes[-1]))}")
    return "".join(ranges)


@functools.cache
def _not_letters(ascii_only: bool) -> re.Pattern[str]:
    return re.compile("[^a-z]+" if ascii_only else f"[^{character_class('L', 'M')}]+")


def letters(text: str, *, ascii_only: bool = False) -> str:
    """Lower-case letters and single spaces; everything else becomes a space.

    >>> letters("It's 5 o'clock, Señor!"), letters("Señor", ascii_only=True)
    ('it s o clock señor', 'se or')

    Args:
        text: brought to Unicode's NFC, in which an accented letter is one character.
        ascii_only: keeps a-z alone, as D2L does; other letters then cut words.
    """
    lower = unicodedata.normalize("NFC", text.lower())
    return _not_letters(ascii_only).sub(" ", lower).strip()


def characters(text: str) -> list[str]:
    """Tokens of one character each.

    >>> characters("to be")
    ['t', 'o', ' ', 'b', 'e']
    """
    return list(text)


def words(text: str, *, end_of_line: str | None = None) -> list[str]:
    r"""Tokens between white space; with `end_of_line` each line also ends with that token (PTB).

    >>> words("to be\nor not", end_of_line="<eos>")
    ['to', 'be', '<eos>', 'or', 'not', '<eos>']
    """
    if end_of_line is None:
        return text.split()
    return [word for line in text.splitlines() for word in (*line.split(), end_of_line)]
