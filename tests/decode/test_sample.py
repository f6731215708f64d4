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
