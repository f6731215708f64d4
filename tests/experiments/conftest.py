"""What every run of an experiment has to show, checked in whatever run a test here makes."""

import pytest

from jaxdl import runs

BASELINES = ("majority", "base_rate", "largest_class", "one_class")


@pytest.fixture(autouse=True)
def an_accuracy_stands_beside_the_majority(monkeypatch):
    """No accuracy without what the most frequent class alone would reach."""
    finish = runs.Run.finish

    def checked(run, results):
        # An analogy is answered by a word of the whole vocabulary: no class is frequent.
        if any("accuracy" in name and "analogies" not in name for name in results):
            assert any(word in name for word in BASELINES for name in results), sorted(results)
        return finish(run, results)

    monkeypatch.setattr(runs.Run, "finish", checked)
