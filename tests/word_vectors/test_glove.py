import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import word_vectors


def dense(cells, V):
    table = np.zeros((V, V))
    table[cells.rows, cells.columns] = cells.counts
    return table


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_cells_are_those_of_a_plain_count(block):
    random = np.random.default_rng(0)
    tokens = random.integers(0, 5, 60).astype(np.int32)
    sentences = np.repeat([0, 1, 2, -1], 15).astype(np.int32)
    want = np.zeros((5, 5))
    for i in range(60):
        for j in range(60):
            if 0 < abs(i - j) <= 3 and sentences[i] == sentences[j] >= 0:
                want[tokens[i], tokens[j]] += 1 / abs(i - j)
    cells = word_vectors.glove.count_cells(tokens, sentences, 5, window=3, block=block)
    np.testing.assert_allclose(dense(cells, 5), want, rtol=1e-6)


def test_pairs_can_count_as_one_each():
    tokens, sentences = np.array([0, 1, 0, 2]), np.zeros(4, int)
    cells = word_vectors.glove.count_cells(tokens, sentences, 3, window=2, by_distance=False)
    want = [[2, 2, 1], [2, 0, 1], [1, 1, 0]]  # the multisets, repetitions kept
    np.testing.assert_array_equal(dense(cells, 3), want)


def test_the_other_cost_is_the_cross_entropy_of_the_rows():
    params = word_vectors.glove.init(jax.random.key(0), 4, 3)
    counts = np.random.default_rng(0).integers(0, 5, (4, 4)).astype(np.float32)
    v, u, c = (np.asarray(params[n], np.float64) for n in ("input", "output", "output_bias"))
    p = np.exp(v @ u.T + c)
    want = -(counts * np.log(p / p.sum(axis=1, keepdims=True))).sum(axis=1)
    rows = jnp.array([3, 0])
    got = word_vectors.glove.cross_entropy(params, rows, jnp.asarray(counts)[rows])
    np.testing.assert_allclose(got, want[[3, 0]], rtol=1e-5)
    with pytest.raises(ValueError, match=r"counts must be \[2, 4\], got \(4, 4\)"):
        word_vectors.glove.cross_entropy(params, rows, jnp.asarray(counts))


def test_one_step_is_adagrad_on_half_the_loss():
    params = word_vectors.glove.init(jax.random.key(0), 4, 3)
    cells = word_vectors.glove.Cells(
        np.array([0, 0, 2, 2]), np.array([1, 1, 3, 0]), np.array([5, 200, 1, 7.0])
    )
    v, u, b, c = (
        np.asarray(params[n], np.float64) for n in ("input", "output", "input_bias", "output_bias")
    )
    new = [x.copy() for x in (v, u, b, c)]
    squares = [np.ones_like(x) for x in new]
    steps, total = [], 0.0
    for i, j, x in zip(*cells, strict=True):
        error = v[i] @ u[j] + b[i] + c[j] - np.log(x)
        weight = min(1, (x / 100) ** 0.75)
        total += weight * error**2
        pull = weight * error
        some = ((0, i, pull * u[j]), (1, j, pull * v[i]), (2, i, pull), (3, j, pull))
        steps += some
        for table, row, g in some:
            squares[table][row] += g**2
    for table, row, g in steps:
        new[table][row] -= 0.05 * g / np.sqrt(squares[table][row])
    epoch = word_vectors.make_glove(4, batch_size=4)
    got, _, loss = epoch(params, jax.tree.map(jnp.ones_like, params), cells, 0)
    np.testing.assert_allclose(loss.compute(), total / 4, rtol=1e-5)
    for name, want in zip(("input", "output", "input_bias", "output_bias"), new, strict=True):
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6)


def test_a_tiny_table_is_learned_exactly():
    """With as many dimensions as words the minimum is 0: every score is a logarithm of a count."""
    V = 5
    counts = np.random.default_rng(1).integers(1, 90, (V, V)).astype(np.float32)
    rows, columns = np.indices((V, V)).reshape(2, -1)
    cells = word_vectors.glove.Cells(rows, columns, counts.ravel())
    params = word_vectors.glove.init(jax.random.key(0), V, 6)
    squares = jax.tree.map(jnp.ones_like, params)
    epoch = word_vectors.make_glove(
        V * V, batch_size=10, learning_rate=0.2
    )  # the last batch is padded
    for k in range(1500):
        params, squares, loss = epoch(params, squares, cells, k)
    assert loss.compute() < 1e-5
    at = {n: params[n][rows if "input" in n else columns] for n in params}
    np.testing.assert_allclose(word_vectors.glove.scores(at), np.log(counts.ravel()), atol=0.02)
    assert float(word_vectors.glove_loss(word_vectors.glove.scores(at), cells.counts).sum()) < 1e-4
    assert word_vectors.glove.vectors(params).shape == (V, 6)


def test_bad_input():
    with pytest.raises(ValueError, match="no two words meet"):
        word_vectors.glove.count_cells(np.zeros(1, int), np.zeros(1, int), 3)
    with pytest.raises(ValueError, match="window and block must be positive"):
        word_vectors.glove.count_cells(np.zeros(3, int), np.zeros(3, int), 3, window=0)
    with pytest.raises(ValueError, match="learning_rate"):
        word_vectors.make_glove(4, batch_size=4, learning_rate=0)
