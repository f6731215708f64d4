"""Moving averages, batched products and convolution: against loops and SciPy, and their laws."""

import jax
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdl import ops


def test_moving_average_against_the_recurrence():
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    want, y = [], np.array([5.0, -1.0])
    for step in x.astype(float):
        y = 0.9 * y + (1 - 0.9) * step
        want.append(y)
    got = ops.exponential_moving_average(x, 0.9, initial=np.array([5.0, -1.0]))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_moving_average_of_a_constant_is_the_constant_once_corrected():
    got = ops.exponential_moving_average(np.full(5, 3.0), 0.99, debias=True)
    np.testing.assert_allclose(got, 3, rtol=1e-5)
    assert ops.exponential_moving_average(np.zeros((0, 2)), 0.5).shape == (0, 2)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 0.9999, 0.99999, 0.9999999])
@pytest.mark.parametrize("steps", [2, 5000])
def test_moving_average_of_a_constant_is_the_constant_for_every_decay(decay, steps):
    """Neither `1 - g^t` cancels nor does a step get lost that is short of the last digit."""
    got = ops.exponential_moving_average(np.full(steps, 3.0, np.float32), decay, debias=True)
    np.testing.assert_allclose(got, 3, rtol=3e-7)
    kept = ops.exponential_moving_average(np.full(steps, 0.1, np.float32), decay, initial=0.1)
    np.testing.assert_array_equal(kept, np.float32(0.1))


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9999])
def test_moving_average_of_many_scales_against_float64(decay):
    x = np.random.default_rng(0).normal(size=20_000) * 10.0 ** np.repeat([4, -2], 10_000)
    x = x.astype(np.float32)
    want = scipy.signal.lfilter([1 - decay], [1, -decay], x.astype(float))
    got = ops.exponential_moving_average(x, decay)
    scale = scipy.signal.lfilter([1 - decay], [1, -decay], np.abs(x.astype(float)))
    np.testing.assert_array_less(np.abs(got - want), 4e-7 * scale)


def test_batched_matmul_is_a_loop_of_products():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 3, 5))
    got = ops.batched_matmul(x, y)
    np.testing.assert_allclose(got, [a @ b for a, b in zip(x, y, strict=True)], rtol=1e-5)


@pytest.mark.parametrize("shapes", [((5,), (3,)), ((4, 5), (3, 2))])
@pytest.mark.parametrize("unit", [1, 1 + 1j], ids=["real", "complex"])
def test_convolution_against_scipy(shapes, unit):
    f, g = (unit * np.random.default_rng(i).normal(size=s) for i, s in enumerate(shapes))
    np.testing.assert_allclose(ops.convolve(f, g), scipy.signal.convolve(f, g), atol=1e-5)


@settings(max_examples=5)
@given(st.integers(0, 2**31))
def test_laws_of_convolution(seed):
    """Commutes, associates, distributes, and differences move from one factor to the other."""
    f, g, h = np.random.default_rng(seed).normal(size=(3, 8)).astype(np.float32)
    conv = jax.jit(ops.convolve)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5)  # noqa: E731
    close(conv(f, g), conv(g, f))
    close(conv(conv(f, g), h), conv(f, conv(g, h)))
    close(conv(f, g + h), conv(f, g) + conv(f, h))
    difference = np.array([1, -1], np.float32)
    close(conv(difference, conv(f, g)), conv(conv(difference, f), g))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ops.exponential_moving_average(np.ones(3), 1.0), "decay"),
        (lambda: ops.exponential_moving_average(np.ones((3, 2)), 0.5, initial=np.ones(3)), "step"),
        (lambda: ops.batched_matmul(np.ones((2, 3)), np.ones((3, 2))), r"\[n, a, b\]"),
        (lambda: ops.batched_matmul(np.ones((1, 2, 3)), np.ones((4, 3, 2))), r"\(4, 3, 2\)"),
        (lambda: ops.convolve(np.ones(3), np.ones((2, 2))), "axes"),
        (lambda: ops.convolve(np.ones(0), np.ones(2)), "empty"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
