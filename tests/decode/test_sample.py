import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import decode

V = 6
LOGITS = jnp.array([1.0, 3.0, -1.0, 3.0, 0.0, 2.0])


def draws(num=4000, seed=0, **options):
    """Relative frequencies of many draws."""
    ids = decode.sample(jax.random.key(seed), jnp.tile(LOGITS, (num, 1)), **options)
    return np.bincount(np.asarray(ids), minlength=V) / num


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax_at_that_temperature(temperature):
    want = jax.nn.softmax(LOGITS / temperature)
    np.testing.assert_allclose(draws(temperature=temperature), want, atol=0.03)


def test_temperature_zero_is_greedy_and_below_zero_an_error():
    assert decode.sample(jax.random.key(0), LOGITS, temperature=0) == 1
    with pytest.raises(ValueError, match="0 or more"):
        decode.sample(jax.random.key(0), LOGITS, temperature=-0.1)
    with pytest.raises(ValueError, match=r"1\.\.6"):
        decode.sample(jax.random.key(0), LOGITS, top_k=7)
    with pytest.raises(ValueError, match="top_p"):
        decode.sample(jax.random.key(0), LOGITS, top_p=0.0)


def test_top_k_keeps_the_greatest():
    got = draws(top_k=3)
    want = np.where(LOGITS >= 2, np.exp(LOGITS), 0)
    np.testing.assert_allclose(got, want / want.sum(), atol=0.03)
    assert set(np.flatnonzero(draws(top_k=1))) == {1, 3}  # a tie stays a tie


def test_nucleus_of_equal_logits_is_the_first_of_them():
    ids = decode.sample(jax.random.key(0), jnp.zeros((500, 4)), top_p=0.5)
    assert set(np.asarray(ids).tolist()) == {0, 1}
    assert set(np.asarray(decode.sample(jax.random.key(0), jnp.zeros((500, 4)), top_p=1e-9))) == {0}


@pytest.mark.parametrize("top_p", [0.5, 0.9, 0.999, 0.99999, 1.0])
def test_nucleus_of_a_large_vocabulary_against_float64(top_p, monkeypatch):
    """At 1 nothing is cut, near 1 only what float64 cuts as well."""
    kept = {}
    monkeypatch.setattr(jax.random, "categorical", lambda key, z, axis: kept.update(z=z) or z[0])
    logits = np.random.default_rng(0).normal(size=50_000).astype(np.float32) * 4
    decode.sample(jax.random.key(0), logits, top_p=top_p)
    num = int(np.sum(np.isfinite(kept["z"])))
    p = np.exp(logits.astype(float))
    descending = np.sort(p / p.sum())[::-1]
    least, most = (
        np.searchsorted(np.cumsum(descending), top_p * (1 - e)) + 1 for e in (1e-7, -1e-7)
    )
    assert least <= num <= min(most, 50_000)
    if top_p == 1:
        assert num == 50_000


@hypothesis.given(st.floats(0.05, 1.0))
def test_nucleus_is_the_smallest_set_that_holds_top_p(top_p):
    p = np.asarray(jax.nn.softmax(LOGITS), np.float64)
    order = np.argsort(-p, kind="stable")
    size = np.searchsorted(np.cumsum(p[order]), top_p - 1e-6) + 1
    nucleus = set(order[:size].tolist())
    if nucleus & {1, 3}:
        nucleus |= {1, 3}  # equal logits stand or fall together
    assert set(np.flatnonzero(draws(500, top_p=top_p))) <= nucleus


def test_generation_feeds_back_and_is_seeded():
    def step(carry, token):  # after token t comes t + 1, and the carry counts
        return carry + 1, jax.nn.one_hot((token + 1) % V, V) * 50.0

    start = jax.nn.one_hot(jnp.array([4, 0]), V) * 50.0
    tokens, carry = decode.generate(step, jnp.int32(0), start, jax.random.key(0), 4)
    np.testing.assert_array_equal(tokens, [[4, 5, 0, 1], [0, 1, 2, 3]])
    assert carry == 4
    flat = lambda carry, token: (carry, jnp.zeros((2, V)))  # noqa: E731
    run = lambda n: decode.generate(flat, 0, jnp.zeros((2, V)), jax.random.key(7), n)[0]  # noqa: E731
    np.testing.assert_array_equal(run(12)[:, :5], run(5))
    assert len(set(run(12).ravel().tolist())) > 3
