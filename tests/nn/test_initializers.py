"""Initializers: measured moments and limits against their formulas, and torch's (T18)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn
from tests.references import reference

torch = reference("torch")
SHAPE = (3, 3, 40, 60)  # HWIO: fan in 360, fan out 540
OTHER = (60, 40, 3, 3)  # the same in torch's order

CASES = {
    "normal": (nn.normal(0.03), lambda w: torch.nn.init.normal_(w, std=0.03), 0.03),
    "uniform": (nn.uniform(0.2), lambda w: torch.nn.init.uniform_(w, -0.2, 0.2), 0.2 / 3**0.5),
    "xavier": (nn.xavier_uniform(), torch.nn.init.xavier_uniform_, (2 / 900) ** 0.5),
    "xavier normal": (nn.xavier_normal(), torch.nn.init.xavier_normal_, (2 / 900) ** 0.5),
    "xavier in": (
        nn.xavier_normal(fan="in"),
        lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="linear"),
        (1 / 360) ** 0.5,
    ),
    "he": (nn.he_normal(), torch.nn.init.kaiming_normal_, (2 / 360) ** 0.5),
    "he uniform": (nn.he_uniform(), torch.nn.init.kaiming_uniform_, (2 / 360) ** 0.5),
    "torch's default": (
        nn.he_uniform(slope=math.sqrt(5)),
        lambda w: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
        (1 / 360 / 3) ** 0.5,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_measured_moments(name):
    """T18: the deviation is the formula's, `sqrt(2 / n)` for MSRA, and the shape of torch's."""
    init, other, deviation = CASES[name]
    got = np.asarray(init(jax.random.key(0), SHAPE))
    torch.manual_seed(0)
    want = other(torch.empty(OTHER)).numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.std(), deviation, rtol=0.01)
    np.testing.assert_allclose(got.mean(), 0, atol=3 * deviation / math.sqrt(got.size))
    np.testing.assert_allclose(want.std(), deviation, rtol=0.01)
    levels = [0.001, 0.25, 0.5, 0.75, 0.999]  # quantiles tell uniform, normal and truncated apart
    quantiles = np.quantile(got, levels), np.quantile(want, levels)
    np.testing.assert_allclose(*quantiles, atol=0.1 * deviation)


@pytest.mark.parametrize("stride", [2, 3])
def test_bilinear_kernel_enlarges_linearly(stride):
    """A ramp stays a ramp, a constant a constant, and channels do not mix."""
    size = 2 * stride - stride % 2
    kernel = nn.bilinear()(jax.random.key(0), (size, size, 2, 2))
    assert kernel[0, 0, 0, 1] == 0
    ramp = jnp.stack([jnp.ones((6, 6)), jnp.broadcast_to(jnp.arange(6.0)[:, None], (6, 6))], -1)
    big = jax.lax.conv_transpose(ramp[None], kernel, (stride, stride), "SAME")[0]
    inner = big[stride:-stride, stride:-stride]
    np.testing.assert_allclose(inner[..., 0], 1, rtol=1e-6)
    np.testing.assert_allclose(np.diff(inner[..., 1], axis=0), 1 / stride, rtol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.normal(0), "deviation"),
        (lambda: nn.uniform(-1), "limit"),
        (lambda: nn.xavier_uniform(fan="out"), "out"),
        (lambda: nn.bilinear()(jax.random.key(0), (2, 2, 3, 4)), r"\(2, 2, 3, 4\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_constant_is_one_number_in_the_dtype_asked_for():
    weights = nn.constant(0.5)(jax.random.key(0), (2, 3), jnp.bfloat16)
    assert weights.dtype == jnp.bfloat16
    np.testing.assert_array_equal(weights, np.full((2, 3), 0.5))
