import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import decode
from jaxdl.decode import _search

B, V, N, END = 3, 3, 4, 1
SPACE = 31  # sequences of three tokens, one of them the end, up to length 4: 1 + 2 + 4 + 8 + 16
PENALTIES = {
    "power": decode.power_penalty(),
    "gnmt": decode.gnmt_penalty(),
    "none": decode.power_penalty(0),
}


def random_model(seed):
    """A tiny recurrent model whose logits depend on all that was read."""
    rng = np.random.default_rng(seed)
    embed, w, out = rng.normal(size=(V, 4)), rng.normal(size=(4, 4)), rng.normal(size=(4, V))
    embed, w, out = (jnp.asarray(2 * x, jnp.float32) for x in (embed, w, out))

    def step(h, token):
        h = jnp.tanh(h @ w + embed[token])
        return h, h @ out

    return step, jnp.asarray(rng.normal(size=(B, 4)), jnp.float32)


def searcher(search, **options):
    @jax.jit
    def run(seed_arrays):
        embed, w, out, h = seed_arrays

        def step(h, token):
            h = jnp.tanh(h @ w + embed[token])
            return h, h @ out

        return search(step, h, jnp.zeros(len(h), jnp.int32), N, end_id=END, **options)

    return run


def arrays(seed):
    rng = np.random.default_rng(seed)
    shapes = (V, 4), (4, 4), (4, V), (B, 4)
    return [jnp.asarray(2 * rng.normal(size=shape), jnp.float32) for shape in shapes]


SEARCHES = {
    name: (
        searcher(decode.beam_search, beam_size=SPACE, penalty=penalty),
        searcher(decode.exhaustive, vocab_size=V, num_best=SPACE, penalty=penalty),
    )
    for name, penalty in PENALTIES.items()
}


@pytest.mark.parametrize("penalty", PENALTIES)
@hypothesis.given(st.integers(0, 2**32 - 1))
def test_a_beam_as_wide_as_the_space_is_exhaustive(penalty, seed):  # T21
    beam, every = (search(arrays(seed)) for search in SEARCHES[penalty])
    np.testing.assert_allclose(beam.scores, every.scores, rtol=1e-5, atol=1e-5)
    for b in range(B):
        gaps = np.diff(np.asarray(every.scores[b]))
        apart = np.flatnonzero((np.r_[-1, gaps] < -1e-4) & (np.r_[gaps, -1] < -1e-4))
        for field in ("tokens", "lengths", "ended"):
            np.testing.assert_array_equal(
                getattr(beam, field)[b][apart], getattr(every, field)[b][apart]
            )


FINISHED = (
    searcher(decode.beam_search, beam_size=SPACE, finished_only=True),
    searcher(decode.beam_search, beam_size=2, finished_only=True),
)


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_a_wide_beam_of_finished_sequences_is_exhaustive_among_them(seed):  # T21
    every, beam = SEARCHES["power"][1](arrays(seed)), FINISHED[0](arrays(seed))
    for b in range(B):
        kept = np.asarray(every.scores[b])[np.asarray(every.ended[b])]
        n = len(kept)
        assert n == 15  # 1 + 2 + 4 + 8 that end within four steps
        np.testing.assert_allclose(beam.scores[b, :n], kept, rtol=1e-5, atol=1e-5)
        assert bool(beam.ended[b, :n].all())
        assert not bool(beam.ended[b, n:].any())
        assert bool((beam.scores[b, n:] == -jnp.inf).all())
        assert bool((beam.lengths[b, n:] == 0).all())


def finished_by_loops(weights, b, beam_size):
    """The textbook's search: K live ones at every step, those that end are put aside."""
    embed, w, out, h = (np.asarray(x, np.float64) for x in weights)
    live, done = [((), 0.0, h[b], 0)], []
    for n in range(1, N + 1):
        grown = []
        for tokens, total, state, last in live:
            state = np.tanh(state @ w + embed[last])
            logits = state @ out
            log_p = logits - np.log(np.exp(logits).sum())
            grown += [((*tokens, t), total + log_p[t], state, t) for t in range(V)]
        grown.sort(key=lambda found: -found[1])
        kept = grown[:beam_size]
        done += [(total / n**0.75, tokens) for tokens, total, _, t in kept if t == END]
        live = [found for found in kept if found[3] != END]
    return sorted(done, reverse=True)[:beam_size]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_narrow_beam_of_finished_sequences_puts_them_aside(seed):
    found = FINISHED[1](arrays(seed))
    for b in range(B):
        want = finished_by_loops(arrays(seed), b, 2)
        assert int(found.ended[b].sum()) == len(want)
        for k, (score, tokens) in enumerate(want):
            assert found.scores[b, k] == pytest.approx(score, rel=1e-4)
            assert tuple(found.tokens[b, k, : len(tokens)].tolist()) == tokens
            assert found.lengths[b, k] == len(tokens)


GREEDY = searcher(decode.greedy), searcher(decode.beam_search, beam_size=1)


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_a_beam_of_one_is_greedy(seed):
    greedy, beam = (search(arrays(seed)) for search in GREEDY)
    for got, want in zip(beam, greedy, strict=True):
        np.testing.assert_allclose(got[:, 0], want, rtol=1e-6, atol=1e-6)


def test_scores_and_lengths_by_hand():
    """After token t come fixed probabilities; the end token counts in length and score."""
    p = jnp.array([[0.1, 0.6, 0.3], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])  # END is 1

    def step(carry, token):
        return carry, jnp.log(p)[token] + 5  # logits need not be normalized

    start = jnp.zeros(1, jnp.int32)
    best = decode.beam_search(step, jnp.zeros((1, 1)), start, 2, beam_size=9, end_id=END)
    want = {  # tokens: (score, length, ended)
        (1, 1): (np.log(0.6), 1, True),
        (2, 1): (np.log(0.3 * 0.8) / 2**0.75, 2, True),
        (0, 1): (np.log(0.1 * 0.6) / 2**0.75, 2, True),
        (2, 0): (np.log(0.3 * 0.1) / 2**0.75, 2, False),
        (2, 2): (np.log(0.3 * 0.1) / 2**0.75, 2, False),
        (0, 2): (np.log(0.1 * 0.3) / 2**0.75, 2, False),
        (0, 0): (np.log(0.1 * 0.1) / 2**0.75, 2, False),
    }
    for k in range(7):
        score, length, ended = want[tuple(best.tokens[0, k].tolist())]
        assert best.scores[0, k] == pytest.approx(score, rel=1e-5)
        assert (best.lengths[0, k], best.ended[0, k]) == (length, ended)
    assert (best.scores[0, 7:] == -jnp.inf).all()  # two places, and no sequence for them
    assert (best.lengths[0, 7:] == 0).all()
    assert (best.tokens[0, 7:] == END).all()
    assert (jnp.diff(best.scores[0, :7]) <= 0).all()


def test_an_example_does_not_depend_on_the_others():
    narrow = searcher(decode.beam_search, beam_size=3)
    *weights, h = arrays(5)
    together = narrow((*weights, h))
    others = narrow((*weights, h.at[1:].set(99.0)))
    for got, want in zip(others, together, strict=True):
        np.testing.assert_array_equal(got[0], want[0])


def test_carry_with_layers_first_and_a_forbidden_token():
    step, h = random_model(3)

    def layered(state, token):
        h, logits = step(state[0][0], token)
        return (h[None],), logits.at[:, 2].set(-jnp.inf)

    def plain(h, token):
        h, logits = step(h, token)
        return h, logits.at[:, 2].set(-jnp.inf)

    start = jnp.zeros(B, jnp.int32)
    options = {"beam_size": 4, "end_id": END}
    got = decode.beam_search(layered, (h[None],), start, N, carry_axis=1, **options)
    want = decode.beam_search(plain, h, start, N, **options)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert not jnp.any(got.tokens == 2)
    assert not jnp.any(jnp.isnan(got.scores))


@pytest.mark.parametrize("size", [1, 2, 7, 31, 60])
@pytest.mark.parametrize("k", [1, 4])
def test_top_k_by_blocks_is_top_k(size, k):
    x = jnp.asarray(np.random.default_rng(size).integers(0, 4, (2, 3, size)), jnp.float32)  # ties
    offset = jnp.array([[0.0, 1.0, -jnp.inf], [2.0, 0.0, 0.0]])
    got, index = _search.top_k_of_rows(x, _search.block_maxima(x), offset, k)
    flat = (x + offset[..., None]).reshape(2, -1)
    want, place = jax.lax.top_k(flat, min(k, flat.shape[1]))
    np.testing.assert_array_equal(got[:, : want.shape[1]], want)
    real = want > -jnp.inf
    np.testing.assert_array_equal(index[:, : want.shape[1]][real], place[real])
    assert (got[:, want.shape[1] :] == -jnp.inf).all()


def test_bad_arguments():
    step, h = random_model(0)
    start = jnp.zeros(B, jnp.int32)
    with pytest.raises(ValueError, match="beam_size"):
        decode.beam_search(step, h, start, N, beam_size=0, end_id=END)
    with pytest.raises(ValueError, match="num_steps"):
        decode.greedy(step, h, start, 0, end_id=END)
    with pytest.raises(ValueError, match=r"start needs shape \[B\]"):
        decode.greedy(step, h, jnp.zeros((B, 1), jnp.int32), N, end_id=END)
    with pytest.raises(ValueError, match="too many"):
        decode.exhaustive(step, h, start, 20, vocab_size=V, num_best=1, end_id=END)
