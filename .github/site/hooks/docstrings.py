"""Makes Markdown of what this library's docstrings write in their own short way.

`Returns: text` and `Raises: text` on one line become paragraphs, `p, q: text` one argument each,
and doctests are fenced: everything else Griffe reads as it is.
"""

import re
from typing import Any

import griffe

PARAGRAPHS = re.compile(r"^(Returns|Raises|Yields|Reference|References|Args): *(?=\S)", re.M)
INDENTED = re.compile(r"^(Returns|Raises|Yields):\n((?:(?: {4}.*)?\n?)+)", re.M)
DOCTEST = re.compile(r"^( *)>>> .*\n?(?:\1(?!\s*$).*\n?)*", re.M)
SEVERAL = re.compile(r"^( {4})(\w+(?:, \w+)+): (.*(?:\n {8}.*)*)", re.M)


def markdown(text: str) -> str:
    """The docstring as Markdown with Google's sections."""
    lines = text.splitlines()
    text = "\n".join(lines) + "\n"
    text = DOCTEST.sub(_fenced, text)
    text = INDENTED.sub(lambda found: f"{found[1]}: {found[2].strip()}\n", text)
    text = SEVERAL.sub(_one_each, text)
    # What follows "Returns: " may go on in indented lines, which Markdown would take for code.
    return re.sub(
        PARAGRAPHS.pattern + r"((?:.+\n)(?: +\S.*\n)*)",
        lambda found: f"\n**{found[1]}:** " + re.sub(r"\n +", "\n", found[2]) + "\n",
        text,
        flags=re.M,
    )


def _fenced(found: re.Match[str]) -> str:
    indent = found[1]
    body = "\n".join(line.removeprefix(indent) for line in found[0].rstrip("\n").split("\n"))
    body = "\n".join(line for line in body.split("\n"))
    return "\n" + "".join(f"{indent}{line}\n" for line in ["```pycon", *body.split("\n"), "```"])


def _one_each(found: re.Match[str]) -> str:
    return "\n".join(f"{found[1]}{name}: {found[3]}" for name in found[2].split(", "))


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
