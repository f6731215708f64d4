import dataclasses

import numpy as np
import pytest

from experiments import fasttext, glove, word_vectors
from jaxdl import cli, data, plots, runs


@pytest.mark.parametrize(
    "experiment, file",
    [(word_vectors, "vectors.txt"), (glove, "vectors.txt"), (fasttext, "vectors.vec")],
    ids=["word_vectors", "glove", "fasttext"],
)
def test_learns_and_leaves_a_record(experiment, file, tmp_path):
    folder, pairs = tmp_path / "run", tmp_path / "pairs.txt"
    pairs.write_text("class\tobject\t5\nlist\tstring\t3\nlist\tnowhere\t1\n")
    config = experiment.Config(smoke=True, epochs=3, similarities=(pairs,), out=folder)
    results = experiment.main(config)
    assert -1 <= results["test/pairs"] <= 1
    rows = runs.read_metrics(folder)
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    vectors = data.WordVectors.load(folder / file)
    assert "class" in vectors
    assert vectors.vectors.shape[1] == 16
    assert (folder / "map.png").exists()


@pytest.mark.parametrize(
    "method, output", [("cbow", "negative"), ("cbow", "hierarchical"), ("skip_gram", "softmax")]
)
def test_every_way_learns_in_blocks_and_answers_questions(method, output, tmp_path):
    questions = tmp_path / "questions.txt"
    questions.write_text(": some\nclass list object type\nclass list object nowhere\n")
    config = word_vectors.Config(smoke=True, epochs=2, method=method, output=output, block=10_000)
    config = dataclasses.replace(config, questions=questions, out=tmp_path / "run")
    results = word_vectors.main(config)
    rows = runs.read_metrics(tmp_path / "run")
    assert rows[1]["train/loss"] < rows[0]["train/loss"]
    assert results["test/analogies_unknown"] == 1


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_map_has_every_word(method):
    words = ["one", "two", "three", "four"]
    figure = plots.word_map(words, np.eye(4), method=method)
    assert [text.get_text() for text in figure.axes[0].texts] == words


@pytest.mark.parametrize(
    "args, message",
    [
        (["--min-count", "1000000"], "an empty vocabulary"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--window", "0"], "window must be positive, got 0"),
        (["--similarities", "/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_are_one_sentence(args, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as error:
        cli.run(word_vectors.main, word_vectors.Config, args=[*args, "--smoke"])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
