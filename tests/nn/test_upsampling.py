"""The bilinear transposed convolution against interpolation by jax.image and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxdl import nn, ops


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_equals_bilinear_interpolation_inside(factor):
    x = jax.random.normal(jax.random.key(0), (2, 7, 5, 3))
    layer = nn.Upsample(factor)
    params = layer.init(jax.random.key(1), x)
    shape = (2, 7 * factor, 5 * factor, 3)
    inside = (slice(None), slice(factor, -factor), slice(factor, -factor))

    def learned(x):
        return layer.apply(params, x)[inside]

    def resized(x):
        return jax.image.resize(x, shape, "bilinear")[inside]

    np.testing.assert_allclose(learned(x), resized(x), atol=1e-5)
    grown = scipy.ndimage.zoom(
        np.asarray(x, np.float64), (1, factor, factor, 1), order=1, grid_mode=True, mode="nearest"
    )
    np.testing.assert_allclose(learned(x), grown[inside], atol=1e-5)
    slope = jax.random.normal(jax.random.key(2), resized(x).shape)
    np.testing.assert_allclose(
        jax.vjp(learned, x)[1](slope)[0], jax.vjp(resized, x)[1](slope)[0], atol=1e-5
    )
    assert layer.apply(params, x).shape == shape


@pytest.mark.parametrize(("size", "factor", "padding", "extra"), [(4, 2, 1, 0), (3, 4, 0, 3)])
def test_phases_and_the_dilated_convolution_agree(size, factor, padding, extra):
    """On CPU the transposed convolution is written without the zeros between pixels."""
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 4))

    def ours(x, kernel):
        return ops.conv_transpose(x, kernel, strides=factor, padding=padding, output_padding=extra)

    def dilated(x, kernel):
        before = size - 1 - padding
        return jax.lax.conv_general_dilated(
            x, kernel[::-1, ::-1], (1, 1), [(before, before + extra)] * 2,
            lhs_dilation=(factor, factor), dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    got, pull = jax.vjp(ours, x, kernel)
    want, wanted_pull = jax.vjp(dilated, x, kernel)
    np.testing.assert_allclose(got, want, atol=1e-5)
    for mine, other in zip(pull(jnp.sin(want)), wanted_pull(jnp.sin(want)), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)
    tangent = jax.jvp(ours, (x, kernel), (x, kernel))[1]  # forward mode goes through as well
    np.testing.assert_allclose(tangent, 2 * want, atol=1e-4)


def test_computes_in_the_dtype_asked_for_and_refuses_nonsense():
    x = jnp.ones((1, 4, 4, 2))
    layer = nn.Upsample(2, dtype=jnp.bfloat16)
    assert layer.apply(layer.init(jax.random.key(0), x), x).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"factor of 1 or more, got \(4, 4\)"):
        nn.Upsample(2).init(jax.random.key(0), jnp.ones((4, 4)))
