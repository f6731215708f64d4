import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxdl import word_vectors

V, D, W = 9, 6, 2
KEY = jax.random.key(1)
COUNTS = np.array([0, 40, 20, 10, 8, 6, 4, 2, 1.0])


@pytest.fixture(scope="module")
def params():
    random = np.random.default_rng(0)
    table = random.normal(0, 0.5, (2, V, D)).astype(np.float32)
    return {"input": jnp.asarray(table[0]), "output": jnp.asarray(table[1])}


def pairs_of(tokens, sentences):
    """All (center, context) places of a fixed window."""
    return [
        (i, j)
        for i, j in itertools.product(range(len(tokens)), repeat=2)
        if 0 < abs(i - j) <= W and sentences[i] == sentences[j]
    ]


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def test_losses_follow_their_formulas(params):
    """Values in float64 NumPy; a negative that is the target counts for nothing (T15)."""
    v, u = (np.asarray(params[name], np.float64) for name in ("input", "output"))
    center, target = np.array([1, 2, 3]), np.array([4, 1, 1])
    negatives = np.array([1, 5, 5, 4])
    h, out = params["input"][center], params["output"]
    got = word_vectors.word2vec.negative_sampling_loss(
        out, h, jnp.asarray(target), jnp.asarray(negatives)
    )
    want = [
        -log_sigmoid(v[c] @ u[t]) - sum(log_sigmoid(-v[c] @ u[k]) for k in negatives if k != t)
        for c, t in zip(center, target, strict=True)
    ]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    want = special.logsumexp(v[center] @ u.T, axis=1) - np.sum(v[center] * u[target], axis=1)
    np.testing.assert_allclose(
        word_vectors.word2vec.softmax_loss(out, h, jnp.asarray(target)), want, rtol=1e-5
    )
    mask = jnp.array([[True, True], [True, False], [False, False]])
    contexts = jnp.array([[1, 2], [3, 4], [5, 6]])
    mean = word_vectors.word2vec.context_vector(params["input"], contexts, mask)
    total = word_vectors.word2vec.context_vector(params["input"], contexts, mask, combine="sum")
    np.testing.assert_allclose(mean[0], (v[1] + v[2]) / 2, rtol=1e-5)
    np.testing.assert_allclose(total[0], v[1] + v[2], rtol=1e-5)
    np.testing.assert_allclose(mean[1:], [v[3], np.zeros(D)], rtol=1e-5)


def test_hierarchical_probabilities_sum_to_one(params):
    tree = word_vectors.word2vec.HuffmanTree.build(COUNTS)
    h = params["input"][:3]
    each = [
        word_vectors.word2vec.hierarchical_loss(params["output"], h, jnp.full(3, t), tree)
        for t in range(V)
    ]
    np.testing.assert_allclose(np.sum(np.exp(-np.array(each)), axis=0), 1, rtol=1e-5)
    lengths = np.asarray(tree.mask.sum(1))
    assert lengths[1] == lengths.min()  # the most frequent word is nearest to the root
    assert (np.asarray(tree.nodes)[:, 0] == V - 2).all()
    # The mean length of a Huffman code lies within one bit of the entropy.
    share = COUNTS / COUNTS.sum()
    assert 0 <= share @ lengths - stats.entropy(share, base=2) < 1


def test_negatives_that_avoid_every_context_of_their_center(params):
    """All noise is word 1: a center with word 1 among its contexts has no negatives at all."""
    tokens, sentences = np.array([2, 1, 3, 4, 5, 3]), np.zeros(6, int)
    epoch = word_vectors.make_word2vec(
        COUNTS, window=1, shrink=False, negatives=3, pool=4, power=100.0, subsample=0, group=4,
        chunk=8, avoid="contexts",
    )  # fmt: skip

    def objective(params):
        total, count = 0.0, 0
        for i, center in enumerate(tokens):
            near = [tokens[j] for j in (i - 1, i + 1) if 0 <= j < len(tokens)]
            for target in near:
                noise = jnp.full(3, target if 1 in near else 1)  # its own target counts as none
                total += word_vectors.word2vec.negative_sampling_loss(
                    params["output"], params["input"][center][None], jnp.array([target]), noise
                )[0]
                count += 1
        return total, count

    (total, count), grads = jax.value_and_grad(objective, has_aux=True)(params)
    want = jax.tree.map(lambda p, g: p - 0.05 * g, params, grads)
    fresh = jax.tree.map(jnp.copy, params)
    got, loss = epoch(
        fresh, jnp.asarray(tokens), jnp.asarray(sentences), jax.random.key(0), 0.05, 0.05
    )
    np.testing.assert_allclose(loss.compute(), total / count, rtol=1e-5)
    for name in ("input", "output"):
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["skip_gram", "cbow"])
@pytest.mark.parametrize("output", ["negative", "hierarchical", "softmax"])
def test_one_chunk_is_one_step_of_gradient_descent(method, output, params):
    """The products under band masks against the plain losses of all pairs, differentiated."""
    random = np.random.default_rng(1)
    tokens = random.integers(1, V, 11)
    tokens[-3:] = [3, 3, 3]
    sentences = np.array([0] * 5 + [1] * 6)
    tree = word_vectors.word2vec.HuffmanTree.build(COUNTS)
    # All noise is word 1, so the pool is known: 3 negatives a pair, none where 1 is the target.
    epoch = word_vectors.make_word2vec(
        COUNTS,
        method=method,
        output=output,
        window=W,
        shrink=False,
        negatives=3,
        pool=4,
        power=100.0,
        subsample=0,
        group=12 if output == "softmax" else 4,
        chunk=12,
    )

    def objective(params):
        places = pairs_of(tokens, sentences)
        if method == "skip_gram":
            h = params["input"][tokens[[i for i, _ in places]]]
            targets = jnp.asarray(tokens[[j for _, j in places]])
        else:
            near = [[j for i, j in places if i == place] for place in range(len(tokens))]
            ids = np.array([[tokens[j] for j in row] + [0] * (2 * W - len(row)) for row in near])
            mask = np.array([[True] * len(row) + [False] * (2 * W - len(row)) for row in near])
            h = word_vectors.word2vec.context_vector(
                params["input"], jnp.asarray(ids), jnp.asarray(mask)
            )
            targets = jnp.asarray(tokens)
        if output == "negative":
            noise = jnp.ones(3, int)
            each = word_vectors.word2vec.negative_sampling_loss(params["output"], h, targets, noise)
        elif output == "hierarchical":
            each = word_vectors.word2vec.hierarchical_loss(params["output"], h, targets, tree)
        else:
            each = word_vectors.word2vec.softmax_loss(params["output"], h, targets)
        return jnp.sum(each), len(each)

    (total, count), grads = jax.value_and_grad(objective, has_aux=True)(params)
    want = jax.tree.map(lambda p, g: p - 0.05 * g, params, grads)
    fresh = jax.tree.map(jnp.copy, params)
    got, loss = epoch(
        fresh, jnp.asarray(tokens), jnp.asarray(sentences), jax.random.key(0), 0.05, 0.05
    )
    np.testing.assert_allclose(loss.compute(), total / count, rtol=1e-5)
    for name in ("input", "output"):
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-6)
        assert float(jnp.abs(grads[name]).sum()) > 0


@pytest.mark.parametrize("method", ["skip_gram", "cbow"])
@pytest.mark.parametrize("output", ["negative", "hierarchical", "softmax"])
def test_few_words_met_often_in_a_chunk_do_not_go_apart(method, output):
    """With 30 words, none thinned out, a chunk adds up hundreds of pulls on every row."""
    random, size, topics = np.random.default_rng(0), 30, 5
    topic = np.repeat(random.integers(topics, size=400), 20)  # of every token, a sentence each
    tokens = jnp.asarray(random.integers(size // topics, size=topic.size) * topics + topic)
    sentences = jnp.asarray(np.repeat(np.arange(400), 20))
    counts = np.bincount(tokens, minlength=size)
    epoch = word_vectors.make_word2vec(counts, method=method, output=output, subsample=0)
    params = word_vectors.word2vec.init(jax.random.key(0), size, 20)
    for rate in (0.025, 0.05, 0.2):
        moved, first = epoch(jax.tree.map(jnp.copy, params), tokens, sentences, KEY, rate, rate)
        moved, second = epoch(moved, tokens, sentences, KEY, rate, rate)
        assert all(jnp.isfinite(x).all() for x in moved.values())
        assert second.compute() < first.compute()
        vectors = moved["input"] / jnp.linalg.norm(moved["input"], axis=1, keepdims=True)
        alike = (vectors @ vectors.T).reshape(6, topics, 6, topics).mean((0, 2))
        assert np.diag(alike).min() > alike[~np.eye(topics, dtype=bool)].max()


def test_keep_probability_of_the_paper_and_of_the_c_program():
    """T15: 0.316 in the paper, 0.416 in its program, where f is ten times the threshold."""
    counts = [10, 990]
    assert word_vectors.word2vec.keep_probability(counts, 1e-3)[0] == pytest.approx(
        0.3162, abs=1e-4
    )
    assert word_vectors.word2vec.keep_probability(counts, 1e-3, rule="c")[0] == pytest.approx(
        0.4162, abs=1e-4
    )
    assert (word_vectors.word2vec.keep_probability(counts, 0) == 1).all()


def test_alias_table_draws_its_distribution():
    weights = COUNTS**0.75
    drawn = word_vectors.word2vec.AliasTable.build(weights).draw(jax.random.key(1), (20_000,))
    seen = np.bincount(np.asarray(drawn), minlength=V)
    assert seen[0] == 0
    assert stats.chisquare(seen[1:], 20_000 * weights[1:] / weights.sum()).pvalue > 1e-3


def corpus():
    """Two topics: words 1-4 and 5-8 never meet."""
    random = np.random.default_rng(2)
    topic = random.integers(0, 2, 200)
    tokens = (random.integers(1, 5, (200, 10)) + 4 * topic[:, None]).ravel().astype(np.int32)
    return tokens, np.repeat(np.arange(200, dtype=np.int32), 10)


def learn(sharding=None, **options):
    tokens, sentences = corpus()
    counts = np.bincount(tokens, minlength=V)
    epoch = word_vectors.make_word2vec(
        counts, window=2, subsample=0.1, chunk=16, sharding=sharding, **options
    )
    params = word_vectors.word2vec.init(jax.random.key(0), V, D)
    first = last = None
    for k in range(12):
        key = jax.random.key(k)
        params, loss = epoch(params, jnp.asarray(tokens), jnp.asarray(sentences), key, 0.03, 0.03)
        first, last = first or float(loss.compute()), float(loss.compute())
    return np.asarray(params["input"]), first, last


def test_words_of_one_topic_come_together_on_one_and_eight_devices():
    vectors, first, last = learn(group=2)
    assert last < first
    found = word_vectors.WordVectors(tuple("abcdefgh"), vectors[1:])
    for word in "abcdefgh":
        topic = "abcd" if word in "abcd" else "efgh"
        assert {near for near, _ in found.nearest(word, 3)} == set(topic) - {word}
    mesh = jax.make_mesh((8,), ("data",), (jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    np.testing.assert_allclose(learn(spread, group=2)[0], vectors, rtol=1e-3, atol=1e-4)


def test_subsampling_keeps_its_share_and_padding_is_no_text():
    """Frequent words are dropped before windows are cut, and blocks of padding change nothing."""
    epoch = word_vectors.make_word2vec(
        [1, 2], window=1, shrink=False, subsample=1e-9, output="softmax", group=16
    )
    tokens, sentences = jnp.ones(64, int), jnp.zeros(64, int)
    params, loss = epoch(
        word_vectors.word2vec.init(jax.random.key(0), 2, 4),
        tokens,
        sentences,
        jax.random.key(0),
        1.0,
        1.0,
    )
    assert loss.weight == 0  # nothing kept has a neighbor
    assert not np.asarray(params["output"]).any()
    epoch = word_vectors.make_word2vec(
        [1, 2], window=1, shrink=False, subsample=0, output="softmax", group=16
    )
    _, whole = epoch(
        word_vectors.word2vec.init(jax.random.key(0), 2, 4),
        tokens,
        sentences,
        jax.random.key(0),
        0.0,
        0.0,
    )
    _, padded = epoch(
        word_vectors.word2vec.init(jax.random.key(0), 2, 4),
        tokens,
        sentences.at[5:].set(-1),
        jax.random.key(0),
        0.0,
        0.0,
    )
    assert padded.weight == 8  # five words in a row have eight neighbors
    assert whole.weight == 126  # 64 in a row


def test_subsampling_keeps_the_documented_share_inside_the_program():
    """Keep sqrt(t / f) of the paper: half of a word of share 2/3 at t = 1/6; 30 draws of 64."""
    epoch = word_vectors.make_word2vec(
        [1, 2], window=1, shrink=False, subsample=1 / 6, output="softmax", group=16
    )
    tokens, sentences = jnp.ones(64, int), jnp.zeros(64, int)
    kept = []
    for seed in range(30):
        params = word_vectors.word2vec.init(jax.random.key(0), 2, 4)
        _, loss = epoch(params, tokens, sentences, jax.random.key(seed), 0.0, 0.0)
        kept.append(loss.weight / 2 + 1)  # n words in a row make 2 (n - 1) pairs
    assert abs(np.mean(kept) / 64 - 0.5) < 4 * np.sqrt(0.25 / (30 * 64))


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: word_vectors.make_word2vec([5.0]), "need 2 words that occur, got 1"),
        (lambda: word_vectors.make_word2vec([5.0, 2], window=0), "window must be positive, got 0"),
        (lambda: word_vectors.word2vec.HuffmanTree.build([5.0]), "at least 2 words, got 1"),
        (lambda: word_vectors.word2vec.AliasTable.build([0.0, 0]), "not all zero"),
        (lambda: word_vectors.word2vec.init(jax.random.key(0), 3, 0), "dim=0"),
        (lambda: word_vectors.word2vec.keep_probability([1], -1), "threshold must not be negative"),
    ],
)
def test_what_cannot_be_learned_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
