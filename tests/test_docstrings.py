"""Docstrings carry no measured numbers: those drift, and belong into the README and into records.

A sentence with a source (a word of `SOURCES`) may quote a figure; examples and formulas are code.
"""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted([*(ROOT / "jaxdl").rglob("*.py"), *(ROOT / "experiments").glob("*.py")])
SOURCES = re.compile(
    r"published|report(s|ed)|\bet al\b|arXiv|\beq\.|the book|paper|preprint|\bdoi\b|scikit-learn"
    r"|Keras|torch",
    re.I,
)
MEASURED = re.compile(
    r"""
    \bmeasured\s*(?:[:)]|on\s(?:two|one|\d))    # "Measured on two cores:"
    | \b\d[\d,.]*\ ?(?-i:s|ms|us|seconds|minutes)\b(?!\ -)         # 5.8 s, 279 ms, 1,266 seconds
    | \b\d[\d,.]*\ times\ (?:faster|slower|as\ (?:fast|long)|gensim|torch|less|more)
    | \b(?:two|three|four|five|six|ten)\ times\ (?:faster|slower)\b | \btwice\ as\ (?:fast|slow)\b
    | (?<![\w.\[(])0?\.\d{3}\b(?!\ for\b)                   # an accuracy: .955
    | \b\d\d\.\d\ %                                                  # 75.3 %
    | \b(?:busy|shared|quiet)\ (?:CPU\ )?cores
    | \b\d[\d,.]*\ (?:GFLOP|GB|MB|MiB)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What the instrument itself shows, and settings that look like results.
ALLOWED = {
    ("experiments/benchmark.py", "below 3 minutes on a CPU"),
    ("experiments/svm.py", "gamma .001"),
    ("jaxdl/models/_torch_zip.py", "four bytes ask for 4 GB"),  # arithmetic
    ("jaxdl/metrics/__init__.py", "A mean is over everything"),  # of tests that say so, arithmetic
}


def prose(text: str) -> str:
    """A docstring without its examples, literal blocks and code."""
    text = re.sub(r"^ *>>>.*\n(?:(?! *>>>).*\S.*\n?)*", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`]*`", "", text)


def measured_numbers(text: str) -> list[str]:
    """Sentences that quote a number as a result and name no source."""
    sentences = re.split(r"(?<=[.!?:;])\s+(?=[A-Z])|\n\s*\n", prose(text))
    found = [" ".join(s.split()) for s in sentences if MEASURED.search(s)]
    return [s for s in found if not SOURCES.search(s)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_carry_no_measured_numbers(path):
    name = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            found = measured_numbers(ast.get_docstring(node) or "")
            allowed = [words for file, words in ALLOWED if file == name]
            assert [s for s in found if not any(words in s for words in allowed)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Median 5.8 (3.9 to 15.2) times gensim's words per second, on two busy CPU cores.",
        "In turns they were 9 times faster.",
        "It takes twice as long: 279 ms against 125 ms.",
        "On the digits the mean IoU is .745.",
        "75.3 % of the test set as they are.",
        "Measured on two cores.",
        "The default takes 69 s of CPU time.",
    ],
)
def test_a_measured_number_is_found(text):
    assert measured_numbers(f"Painting.\n\n{text} More.") != []


@pytest.mark.parametrize(
    "text",
    [
        "Published on house prices: .170 (a linear model).",
        "Anchors measured in cells.",
        "`p = .745 s` of the state.",
        ">>> f()\n.745\n",
        "The sides 1, 2 times a scale.",
        "A box of 0.5 and more.",
    ],
)
def test_formulas_examples_and_published_figures_are_not(text):
    assert measured_numbers(text) == []
