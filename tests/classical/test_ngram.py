import itertools
import math

import numpy as np
import pytest

from jaxdl import classical

# a b a b c a: n(a) = 3, n(b) = 2, n(c) = 1; as contexts a 2, b 2, c 1 (the last a precedes nothing)
TEXT = np.array([0, 1, 0, 1, 2, 0])
A, B, C = 0, 1, 2


def test_the_three_formulas_by_hand():
    """T22: additive smoothing with back-off, not 1 / (N + V)."""
    model = classical.fit_ngram(TEXT, 3, smoothing=(0.5, 2.0, 4.0))
    p_a = (3 + 0.5 / 3) / 6.5
    p_b = (2 + 0.5 / 3) / 6.5
    p_c = (1 + 0.5 / 3) / 6.5
    p_ab = (2 + 2 * p_b) / (2 + 2)  # P(b | a): "ab" twice, "a" a context twice
    p_bc = (1 + 2 * p_c) / (2 + 2)
    p_bb = (0 + 2 * p_b) / (2 + 2)
    p_aba = (1 + 4 * ((1 + 2 * p_a) / 4)) / (2 + 4)  # P(a | a b)
    p_abc = (1 + 4 * p_bc) / (2 + 4)
    p_cbb = p_bb  # "c b" was never seen: the lower order
    got = np.exp(model.log_prob(np.array([A, B, A])))
    np.testing.assert_allclose(got, [p_a, p_ab, p_aba])
    np.testing.assert_allclose(np.exp(model.log_prob(np.array([A, B, C]))[2]), p_abc)
    np.testing.assert_allclose(np.exp(model.log_prob(np.array([C, B, B]))[2]), p_cbb)
    np.testing.assert_allclose(model.log_prob(np.array([A, B]), order=1), np.log([p_a, p_b]))
    assert model.perplexity(np.array([A, B, A])) == pytest.approx((p_a * p_ab * p_aba) ** (-1 / 3))


@pytest.mark.parametrize("smoothing", [0.0, 1e-3, 1.0, (3.0, 0.0, 0.5)])
def test_every_distribution_sums_to_one_and_is_what_scoring_uses(smoothing):
    model = classical.fit_ngram(TEXT, 4, smoothing=smoothing)  # word 3 was never seen
    for length in range(3):
        for context in itertools.product(range(4), repeat=length):
            p = model.distribution(np.array(context, int))
            assert p.sum() == pytest.approx(1, abs=1e-12)
            scored = [model.log_prob(np.array([*context, word]))[-1] for word in range(4)]
            np.testing.assert_allclose(np.exp(scored), p, atol=1e-12)


def test_sampling_is_seeded_and_follows_the_distribution():
    model = classical.fit_ngram(TEXT, 3, order=2, smoothing=0.1)
    text = model.sample(0, 3000, start=np.array([C]))
    np.testing.assert_array_equal(text[:50], model.sample(0, 50, start=np.array([C])))
    after_a = text[1:][text[:-1] == A]
    got = np.bincount(after_a, minlength=3) / len(after_a)
    np.testing.assert_allclose(got, model.distribution(np.array([A])), atol=0.04)


def test_what_is_wrong_is_named():
    for tokens, options, message in [
        (TEXT[:2], {}, "no 3-gram"),
        (TEXT, {"order": 4}, "order must be"),
        (TEXT + 1, {}, r"0\.\.2"),
        (TEXT, {"smoothing": -1.0}, "0 or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            classical.fit_ngram(tokens, 3, **options)
    model = classical.fit_ngram(TEXT, 3, order=2, smoothing=0.0)
    assert model.log_prob(np.array([B, B]))[1] == -math.inf
    with pytest.raises(ValueError, match="no tokens"):
        model.perplexity(np.array([], int))
