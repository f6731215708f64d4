"""Is a film review good or bad? Read by a GRU, an LSTM both ways, convolutions or attention.

    python -m experiments.sentiment                                   # paragraphs of a manual
    python -m experiments.sentiment --data imdb --data-dir aclImdb --vectors-file glove.txt.gz
    python -m experiments.sentiment --data imdb --data-dir aclImdb --model bilstm

Without reviews it tells paragraphs on one topic of Python's manual from the rest. Kim 2014,
arXiv:1408.5882; Maas et al. 2011, Learning word vectors for sentiment analysis.
"""

import dataclasses
import pathlib
import re
from typing import Any, Literal

import jax
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, plots, runs, train, word_vectors


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual_paragraphs", "imdb"] = "manual_paragraphs"  # which texts
    data_dir: pathlib.Path | None = None  # folder of aclImdb, or of its tar.gz
    model: Literal["textcnn", "bilstm", "gru", "transformer"] = "textcnn"  # the reader
    vectors: Literal["tuned", "frozen", "both"] = "both"  # word vectors that are trained, or not
    vectors_file: pathlib.Path | None = None  # GloVe's text to start them from; random by default
    embed_dim: int = 100  # width of the vectors; that of the file if there is one
    units: int = 100  # hidden units each way, or filters of each width; not the transformer's
    padded: bool = True  # textcnn's convolutions, so that every word is the middle of a window
    dropout: float = 0.5  # before the last layer
    length: int = 300  # words read of a text; the rest is cut off
    min_count: int = 5  # words seen less often are unknown
    epochs: int = 5  # passes over the training set
    batch_size: int = 64  # texts per step
    learning_rate: float = 1e-3  # of Adam
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: few texts, a narrow model
    out: pathlib.Path | None = None  # run folder; runs/sentiment/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    # Data: texts to ids [N, T], 0 where there is no word.
    raw = dict(data.load(config.data, config.data_dir))
    if config.smoke and config.data == "imdb":  # the files come class by class
        raw = {key: split.take(slice(None, None, 20)) for key, split in raw.items()}
    vocabulary = data.text.Vocabulary.build(
        (word for text in raw["train"]["text"] for word in data.text.review_words(text)),
        min_count=config.min_count,
    )
    length = min(config.length, 40) if config.smoke else config.length
    splits, counts = {}, {}
    for name, split in raw.items():
        columns, counts[name] = data.text.encode_texts(split["text"], vocabulary, length)
        splits[name] = data.Dataset({**columns, "label": split["label"]})
    table = None
    if config.vectors_file is not None:
        vectors = word_vectors.WordVectors.load(config.vectors_file)
        table, without = data.text.vector_table(vocabulary, vectors, seed=config.seed)

    units = 8 if config.smoke else config.units
    options: dict[str, Any] = {
        "embed_dim": config.embed_dim if table is None else table.shape[1],
        "vectors": config.vectors,
        "dropout": config.dropout,
    }
    model: Any
    if config.model == "textcnn":
        model = models.TextCNN(len(vocabulary), filters=units, padded=config.padded, **options)
    elif config.model == "transformer":
        options["dim"] = options.pop("embed_dim")
        model = models.TransformerClassifier(len(vocabulary), **options)
    else:
        reader = {"bilstm": models.BiLSTMClassifier, "gru": models.GRUClassifier}[config.model]
        model = reader(len(vocabulary), hidden_size=units, **options)
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        inputs="tokens",
        metrics={
            "accuracy": metrics.Accuracy.from_batch,
            "positive": lambda *batch: metrics.PrecisionRecall.from_batch(*batch, average="binary"),
        },
    )
    trainer = train.make(objective, optax.adam(config.learning_rate))
    example = next(data.batches(splits["train"], 1))
    state = trainer.init(jax.random.key(config.seed), example)
    if table is not None:
        state = state.replace(params=models.with_vectors(state.params, table))

    with runs.open(
        config, name="sentiment", out=config.out, resume=config.resume, data=splits
    ) as run:
        run.note(f"{len(vocabulary)} words; train {counts['train']}, test {counts['test']}")
        if table is not None:
            run.note(f"{without} of them without a vector in {config.vectors_file}")
        result = train.fit(
            trainer,
            splits["train"],
            state,
            epochs=min(config.epochs, 2) if config.smoke else config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": splits["test"]},
            run=run,
        )
        some = slice(None, None, max(1, len(splits["test"]) // 500))
        rows, texts = splits["test"].take(some), raw["test"]["text"][some]
        logits = model.apply({"params": result.state.params}, rows["tokens"], train=False)
        p = np.asarray(jax.nn.softmax(logits))[:, 1]
        for i in np.argsort(-np.abs(p - rows["label"]))[:3]:  # what it got most wrong
            text = re.sub(r"\s+", " ", texts[i])[:150]
            run.note(f"label {rows['label'][i]}, probability of 1 {p[i]:.3f}: {text}")
        run.figure("curves", plots.curves(result.history))
        final = train.evaluate(trainer, result.state, splits["test"])
        majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
        return run.finish({**train.scalars(final, "test/"), "majority/accuracy": majority})


if __name__ == "__main__":
    cli.run(main, Config)
