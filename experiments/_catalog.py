"""What experiments there are, by subject, and what was measured with each of them.

results.json holds an entry for every command of the tables, in their order:

experiment, options    the command: `python -m experiments.EXPERIMENT OPTIONS`
data, shows            what it works on; what it is there for
published              the figure of a paper or a library for the same work, and whose
here                   the numbers: a template over those of the runs, "{test/accuracy:.4f}"
seconds                of a run on two CPU cores, where no run is recorded
chosen                 how the settings were chosen
runs                   what `--record` wrote, one a seed; without any, `here` was entered by hand
"""

import ast
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FOLDER = pathlib.Path(__file__).parent
RESULTS = FOLDER / "results.json"
SUBJECTS: dict[str, tuple[str, ...]] = {
    "First steps": ("lenet", "by_hand", "notebook", "mlp_digits", "sweep", "deployment"),
    "Linear models, tables, learners without a network": (
        *("linear_regression", "polynomial_selection", "regularization_paths", "learning_curves"),
        *("logistic_regression", "softmax_regression", "perceptron", "svm", "spam"),
        *("house_prices", "preprocessing"),
    ),
    "How networks learn": (
        *("activations", "layers_by_hand", "backprop", "bptt", "long_memory", "forecasting"),
        *("optimizers", "training_tricks", "network_size", "overfitting", "calibration"),
    ),
    "Images and signals": (
        *(
            "convnets",
            "vit",
            "cifar",
            "finetune",
            "augmentation",
            "filters_learned",
            "ocr",
            "heartbeat",
        ),
    ),
    "Detection, segmentation, style": ("anchors", "ssd", "fast_rcnn", "fcn", "style_transfer"),
    "Language": (
        *("ngram", "char_lm", "word_lm", "transformer_lm", "equal_time", "power_law"),
        *("sentiment", "translation", "information"),
    ),
    "Word vectors": ("skip_gram", "word_vectors", "fasttext", "glove"),
    "Recommenders": ("movielens", "recommend"),
    "Classical image processing": ("image_filters", "edges"),
    "Speed and size": ("benchmark", "compare_peers", "growth", "scaling"),
}


def names() -> list[str]:
    """Every experiment in the folder."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def first_line(name: str) -> str:
    """What an experiment says of itself first, read without importing it."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(text))
    if doc is None:  # a notebook begins with a cell of text
        doc = next(line[2:] for line in text.splitlines() if line.startswith("# #")).lstrip("# ")
    return doc.splitlines()[0].rstrip(".")


def read(path: pathlib.Path = RESULTS) -> list[dict[str, Any]]:
    """The entries of results.json."""
    return json.loads(path.read_text(encoding="utf-8"))


class Estimate:
    """A mean over seeds that is formatted with its 95 % interval and n; one seed stands alone."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = np.asarray(values, float)

    def __format__(self, spec: str) -> str:
        mean, n = self.values.mean(), len(self.values)
        if n == 1:
            return format(mean, spec)
        import scipy.stats

        half = scipy.stats.t.ppf(0.975, n - 1) * self.values.std(ddof=1) / np.sqrt(n)
        return f"{mean:{spec}} ± {half:{spec}} (n = {n})"


def measured(entry: Mapping[str, Any]) -> str:
    """The numbers of an entry as its row shows them."""
    runs = entry["runs"]
    if not runs:
        return entry["here"]

    def number(found: re.Match[str]) -> str:  # names may hold dots, which `str.format` reads
        name, form = found.groups()
        return format(Estimate([run["numbers"][name] for run in runs]), form)

    return re.sub(r"\{([^{}]+):([^{}:]*)\}", number, entry["here"])


def seconds(entry: Mapping[str, Any]) -> str:
    """How long a run of an entry takes, and what of it two cores worked for it."""
    runs = [run for run in entry["runs"] if "seconds" in run]
    if not runs:
        return entry["seconds"]
    wall = f"{np.mean([run['seconds'] for run in runs]):,.0f}"
    worked = [run["cpu_seconds"] for run in runs if "cpu_seconds" in run]
    return f"{wall} (CPU {np.mean(worked):,.0f})" if worked else wall


def default_entry(name: str) -> dict[str, Any]:
    """The entry of an experiment without options."""
    return next(e for e in read() if e["experiment"] == name and not e["options"])


COLUMNS = ["command", "data", "what it shows", "published", "here", "seconds"]
COLUMNS += ["settings chosen", "recorded"]
HEAD = """# Results

Every number below is that of the command beside it, next to a published one where there is one.
`python -m experiments.NAME OPTIONS --record` adds a run to `results.json`, and
`python -m experiments --tables` writes this page from it. A date says when the last run was
recorded, with all that has to be known to repeat it; rows without one were entered by hand from
runs on two CPU cores that had other work to do at the same time, so seconds are upper bounds; "CPU"
counts those that the cores worked for the run, all together.
"± x (n = k)" is a 95 % interval over k seeds; other ranges say what they are.
"""


def results_page(entries: Sequence[Mapping[str, Any]] | None = None) -> str:
    """RESULTS.md."""
    entries = read() if entries is None else entries
    parts = [HEAD]
    for subject, members in SUBJECTS.items():
        rows = [entry for entry in entries if entry["experiment"] in members]
        if not rows:
            continue
        parts.append(f"\n## {subject}\n\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
        for entry in sorted(rows, key=lambda entry: members.index(entry["experiment"])):
            command = f"`{entry['experiment']} {entry['options']}".rstrip() + "`"
            date = max((run["time"][:10] for run in entry["runs"]), default="")
            cells = [command, entry["data"], entry["shows"], entry["published"], measured(entry)]
            cells += [seconds(entry), entry["chosen"], date]
            parts.append("| " + " | ".join(cells) + " |\n")
    return "".join(parts)
