import dataclasses
import itertools

import numpy as np
import pytest

from experiments import fasttext, glove, skip_gram, word_vectors
from jaxdl import cli, plots, runs
from jaxdl import word_vectors as jaxdl_word_vectors

NUMBER = 30  # words of each topic
TOPICS = tuple(
    ["".join(letters) + end for letters in itertools.product(first, "aeiou", "lrn")][:NUMBER]
    for first, end in (("bdg", "o"), ("kpt", "i"))
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """1,500 sentences, each on one of two topics, its ten words uniform among the topic's.

    So a word's neighbors are uniform among 30: log 30 is what a softmax can reach at best.
    """
    folder = tmp_path_factory.mktemp("text")
    random = np.random.default_rng(0)
    sentences = [" ".join(random.choice(TOPICS[random.integers(2)], 10)) for _ in range(1500)]
    (folder / "text.txt").write_text("\n\n".join(sentences))
    pairs = itertools.combinations(sorted(TOPICS[0] + TOPICS[1]), 2)
    alike = [(a, b, 10 * ((a in TOPICS[0]) == (b in TOPICS[0]))) for a, b in pairs]
    (folder / "pairs.txt").write_text("".join(f"{a}\t{b}\t{k}\n" for a, b, k in alike))
    return folder


# Spearman's correlation of yes and no with ranks, when every pair of one topic (a share p of all)
# is nearer than any pair of two: sqrt(3 p (1 - p)).
SHARE = (NUMBER - 1) / (2 * NUMBER - 1)
APART = np.sqrt(3 * SHARE * (1 - SHARE))


def config_of(experiment, text, folder, **options):
    some = {"data": "text", "data_dir": text / "text.txt", "similarities": (text / "pairs.txt",)}
    return experiment.Config(smoke=True, out=folder, **some, **options)


@pytest.mark.parametrize(
    "experiment, file, options",
    [
        (word_vectors, "vectors.txt", {"subsample": 0.0, "learning_rate": 0.005}),
        (glove, "vectors.txt", {}),
        (fasttext, "vectors.vec", {"subsample": 0.0, "learning_rate": 0.025}),
    ],
    ids=["word_vectors", "glove", "fasttext"],
)
@pytest.mark.parametrize("seed", range(2))
def test_words_of_a_topic_come_together_and_a_record_is_left(
    experiment, file, options, seed, text, tmp_path
):
    folder = tmp_path / "run"
    results = experiment.main(config_of(experiment, text, folder, seed=seed, **options))
    assert results["test/pairs"] == pytest.approx(APART, abs=1e-3)
    rows = runs.read_metrics(folder)
    assert rows[-1]["train/loss"] < 0.9 * rows[0]["train/loss"]
    vectors = jaxdl_word_vectors.WordVectors.load(folder / file)
    assert sorted(vectors.words) == sorted(TOPICS[0] + TOPICS[1])
    assert vectors.vectors.shape == (2 * NUMBER, 16)
    for word in vectors.words:
        topic = TOPICS[0] if word in TOPICS[0] else TOPICS[1]
        assert {near for near, _ in vectors.nearest(word, 5)} < set(topic)
    assert (folder / "map.png").exists()


@pytest.mark.parametrize(
    "method, output", [("cbow", "negative"), ("cbow", "hierarchical"), ("skip_gram", "softmax")]
)
@pytest.mark.parametrize("seed", range(3))
def test_every_way_learns_in_blocks_and_answers_questions(method, output, seed, text, tmp_path):
    """The text is fixed: what ships with Python differs from version to version."""
    questions = tmp_path / "questions.txt"
    a, b, c, d = TOPICS[0][:4]
    questions.write_text(f": some\n{a} {b} {c} {d}\n{a} {b} {c} nowhere\n")
    ways = {"method": method, "output": output, "block": 10_000, "seed": seed}
    config = config_of(word_vectors, text, tmp_path / "run", subsample=0.0, epochs=5, **ways)
    results = word_vectors.main(dataclasses.replace(config, questions=questions))
    rows = runs.read_metrics(tmp_path / "run")
    assert len(rows) == 5
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    if output != "negative":  # nothing can be known but the topic
        assert np.log(NUMBER) < results["train/loss"] < 1.02 * np.log(NUMBER)
    assert results["test/pairs"] == pytest.approx(APART, abs=1e-3)
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


def test_skip_gram_written_out_is_the_formula(tmp_path):
    results = skip_gram.main(skip_gram.Config(smoke=True, out=tmp_path / "run"))
    assert results["distance from the formula"] < 1e-4
    assert results["tree/distance of the sum from 1"] < 1e-4
    assert results["train/loss"] < results["untrained/loss"]
    assert (tmp_path / "run" / "curves.png").exists()
    with pytest.raises(ValueError, match="at least 1"):
        skip_gram.main(skip_gram.Config(window=0, out=tmp_path / "bad"))
