"""No accuracy without what the most frequent class alone would reach."""

import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
MEASURES = re.compile(r"Accuracy\.from_batch|classical\.accuracy\(|/accuracy\"")
BASELINES = ("majority_share(", "/majority", "base_rate", "largest_class", "one_class")
# What compares programs or loops, not classifiers: the figure stands beside another's.
ELSEWHERE = {"benchmark", "by_hand"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_an_accuracy_stands_beside_the_majority(path):
    text = path.read_text(encoding="utf-8")
    if MEASURES.search(text) and path.stem not in ELSEWHERE:
        assert any(baseline in text for baseline in BASELINES)
