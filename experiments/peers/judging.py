"""Metrics of a million scores, or of a million labels in a thousand classes, beside scikit-learn.

Both sides take NumPy arrays and give a number back. The interval of an area, from a thousand
resamples of a hundred thousand scores, stands beside scikit-learn's area in a loop.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.peers._side import Row, Side
from jaxdl import metrics


def auc(scores: Any, labels: Any) -> jax.Array:
    return metrics.AUROC.from_batch(scores, labels).compute()


def average_precision(scores: Any, labels: Any) -> jax.Array:
    return metrics.AveragePrecision.from_batch(scores, labels).compute()


def f1(predicted: Any, labels: Any, num_classes: int = 1000) -> jax.Array:
    state = metrics.PrecisionRecall.from_batch(predicted, labels, num_classes=num_classes)
    return state.f_score()


THEIRS = {
    "auc": lambda sk, outputs, labels: sk.roc_auc_score(labels, outputs),
    "average_precision": lambda sk, outputs, labels: sk.average_precision_score(labels, outputs),
    "f1": lambda sk, outputs, labels: sk.f1_score(labels, outputs, average="macro"),
}
OURS: dict[str, Callable[..., jax.Array]] = {
    "auc": auc,
    "average_precision": average_precision,
    "f1": f1,
}


def inputs(name: str, smoke: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scores or predicted classes, and labels."""
    rng, size = np.random.default_rng(0), 10_000 if smoke else 1_000_000
    if name == "f1":
        labels, other = rng.integers(0, 1000, (2, size)).astype(np.int32)
        return np.where(rng.random(size) < 0.7, labels, other), labels
    labels = rng.integers(0, 2, size).astype(np.int32)
    return (rng.normal(size=size) + labels).astype(np.float32), labels


def ours(name: str) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        args, work = inputs(name, smoke), jax.jit(OURS[name])
        return Side(lambda: np.asarray(work(*args)), len(args[0]), float(work(*args)))

    return build


def theirs(name: str) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        import sklearn.metrics

        args = inputs(name, smoke)

        def work() -> Any:
            return THEIRS[name](sklearn.metrics, *args)

        return Side(work, len(args[0]), float(work()))

    return build


def resampled_here(smoke: bool) -> Side:
    scores, labels, resamples = resampled_inputs(smoke)
    update = metrics.bootstrap(metrics.AUROC.from_batch, resamples=resamples)
    index = jnp.arange(len(scores))

    def work() -> float:
        return update(scores, labels, index=index).compute().error

    return Side(work, resamples, work())


def resampled_there(smoke: bool) -> Side:
    import sklearn.metrics

    scores, labels, resamples = resampled_inputs(smoke)

    def work() -> float:
        rng, size = np.random.default_rng(0), len(scores)
        drawn = (rng.integers(0, size, size) for _ in range(resamples))
        return float(np.std([sklearn.metrics.roc_auc_score(labels[i], scores[i]) for i in drawn]))

    return Side(work, resamples, work())


def resampled_inputs(smoke: bool) -> tuple[np.ndarray, np.ndarray, int]:
    scores, labels = inputs("auc", smoke)
    size = 2000 if smoke else 100_000
    return scores[:size], labels[:size], 200 if smoke else 1000


ROWS = {
    name: Row({"jaxdl": ours(name), "scikit-learn": theirs(name)}, "examples", 1e-5, ("sklearn",))
    for name in OURS
}
# The standard errors of a thousand resamples differ by 3 % and more by chance.
ROWS["bootstrap_auc"] = Row(
    {"jaxdl": resampled_here, "scikit-learn": resampled_there}, "resamples", 0.2, ("sklearn",)
)
