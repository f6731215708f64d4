"""Spam filters on bags of words: naive Bayes over counts and over presence, and logistic.

    python -m experiments.spam                                  # paragraphs of Python's manual
    python -m experiments.spam --data sms_spam --data-dir DIR   # SMS Spam Collection

Without the messages it tells paragraphs on Python's data model from the rest of the manual. The
words that speak loudest and the messages that fail are printed: error analysis.
"""

import dataclasses
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, cli, data, metrics, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual_paragraphs", "sms_spam"] = "manual_paragraphs"  # which texts
    data_dir: pathlib.Path | None = None  # folder of SMSSpamCollection
    min_texts: int = 3  # words in fewer training texts are left out
    max_words: int = 1500  # the most frequent ones are kept
    smoothing: float = 1.0  # added to every count
    penalty: float = 1.0  # of the squared coefficients in logistic regression
    smoke: bool = False  # a few seconds: 300 words
    out: pathlib.Path | None = None  # run folder; runs/spam/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    splits = data.load(config.data, config.data_dir)
    y, y_test = (splits[part]["label"] for part in ("train", "test"))
    vocabulary = data.text.fit_vocabulary(
        splits["train"]["text"],
        min_texts=config.min_texts,
        max_words=min(config.max_words, 300) if config.smoke else config.max_words,
    )
    counts, counts_test = (
        data.text.bag_of_words(splits[part]["text"], vocabulary) for part in ("train", "test")
    )
    seen, seen_test = np.minimum(counts, 1), np.minimum(counts_test, 1)

    bayes, _ = classical.fit_multinomial_bayes(counts, y, num_classes=2, smoothing=config.smoothing)
    bernoulli, _ = classical.fit_bernoulli_bayes(seen, y, num_classes=2, smoothing=config.smoothing)
    weights, report = classical.fit_logistic(seen, y, config.penalty)
    logits = {
        "multinomial": _difference(classical.linear(bayes, counts_test)),
        "bernoulli": _difference(classical.linear(bernoulli, seen_test)),
        "logistic": classical.linear(weights, seen_test),
    }
    results = {"converged": float(report.converged), "base_rate": float(1 - y_test.mean())}
    with runs.open(config, name="spam", out=config.out) as run:
        for name, logit in logits.items():
            decided = np.asarray(classical.classify(logit))
            results[f"{name}/accuracy"] = float((decided == y_test).mean())
            rare = metrics.PrecisionRecall.from_batch(
                decided, y_test, num_classes=2, average="binary"
            ).compute()
            results |= {f"{name}/{what}": float(rare[what]) for what in ("precision", "recall")}
            ranks = metrics.AveragePrecision.from_batch(logit, y_test)
            results[f"{name}/average_precision"] = float(ranks.compute())
        words = np.array(list(vocabulary))
        order = np.argsort(np.asarray(weights.coefficients))
        run.note(f"speaking for: {', '.join(words[order[:-9:-1]])}")
        run.note(f"speaking against: {', '.join(words[order[:8]])}")
        loss = jax.nn.softplus(logits["logistic"]) - y_test * logits["logistic"]
        for row in classical.worst_examples(loss, 3):
            run.note(f"wrong about ({y_test[row]}): {str(splits['test']['text'][row])[:90]}")
        matrix = np.zeros((2, 2))
        np.add.at(matrix, (y_test, np.asarray(classical.classify(logits["logistic"]))), 1)
        run.figure("confusion", plots.confusion(matrix, ("no", "yes")))
        return run.finish(results)


def _difference(scores: jax.Array) -> jax.Array:
    return jnp.nan_to_num(scores[:, 1] - scores[:, 0])


if __name__ == "__main__":
    cli.run(main, Config)
