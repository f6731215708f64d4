"""Filters against scipy and OpenCV on the photographs that scikit-learn ships."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from jaxdl import ops
from tests.references import reference

cv2 = reference("cv2")
ndimage = reference("scipy.ndimage")

china, flower = load_sample_images().images
CROPS = {"odd": china[100:137, 200:241], "even": flower[200:232, 300:348]}
SPIKE = np.outer([0, 1, 0], [0, 1, 0])
BORDERS = ["reflect", "mirror", "nearest", "wrap", "constant"]


def along_hw(apply, image, *, border, **options):
    """A scipy filter on every channel of `[H, W, C]`, in float64."""
    image = image.astype(float)
    planes = [apply(image[..., c], mode=border, **options) for c in range(image.shape[-1])]
    return np.stack(planes, axis=-1)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("crop", ["odd", "even"])
def test_linear_filters_agree_with_scipy(crop, border):
    """T9: the border is an argument, and every mode is scipy's."""
    image = CROPS[crop]
    x = image.astype(np.float32) / 255
    scipy = functools.partial(along_hw, image=x, border=border)
    blurred = scipy(ndimage.gaussian_filter, sigma=1.3, truncate=4.0)
    average = scipy(ndimage.uniform_filter, size=5)
    pairs = [
        (ops.box_blur(x, 5, border=border), average),
        (ops.gaussian_filter(x, 1.3, border=border), blurred),
        (ops.high_frequencies(x, 5, border=border), x - average),
        (ops.high_pass(x, 5, border=border), 2 * x - average),
        (ops.laplacian(x, border=border), scipy(ndimage.laplace)),
        (
            ops.laplacian(x, diagonals=True, border=border),
            scipy(
                ndimage.correlate, weights=np.ones((3, 3)) - 9 * np.eye(3)[1][:, None] * [0, 1, 0]
            ),
        ),
        (ops.unsharp_mask(x, 1.3, 0.7, border=border), x + 0.7 * (x - blurred)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_median_equals_scipy(size):
    for border in BORDERS if size == 3 else ["mirror"]:
        for image in CROPS.values():
            x = image[..., :1] if size == 7 else image
            theirs = along_hw(ndimage.median_filter, x, border=border, size=size)
            ours = ops.median_filter(x, size, border=border)
            assert ours.dtype == jnp.uint8
            np.testing.assert_array_equal(ours, theirs)


def test_uint8_results_are_opencvs_to_a_level():
    """Saturated, not wrapped, and OpenCV's fixed point differs by one level at most."""
    image = CROPS["odd"]
    pairs = [
        (ops.box_blur(image, 3, border="mirror"), cv2.blur(image, (3, 3))),
        (ops.gaussian_filter(image, 1.5, size=7, border="mirror"),
         cv2.GaussianBlur(image, (7, 7), 1.5)),
        (ops.median_filter(image, 5, border="nearest"), cv2.medianBlur(image, 5)),
        (ops.high_pass(image, border="mirror"),
         cv2.filter2D(image, -1, 2.0 * SPIKE - np.full((3, 3), 1 / 9))),
    ]  # fmt: skip
    for ours, theirs in pairs:
        assert ours.dtype == jnp.uint8
        assert np.abs(np.asarray(ours, int) - theirs).max() <= 1
    spike = np.zeros((5, 5, 1), np.uint8)
    spike[2, 2] = 255
    assert ops.high_pass(spike)[2, 2, 0] == 255
    assert ops.high_pass(spike)[2, 1, 0] == 0
    assert ops.laplacian(spike)[2, 2, 0] == -1020


def test_bilateral_is_opencvs_within_its_rounding():
    for image in (CROPS["odd"], CROPS["odd"][..., :1]):
        options = {"sigma_color": 30.0, "sigma_space": 2.0}
        ours = ops.bilateral_filter(image, 5, **options)
        theirs = cv2.bilateralFilter(image, 5, 30.0, 2.0).reshape(image.shape)
        assert np.abs(np.asarray(ours, int) - theirs).max() <= 1
        x = image.astype(np.float32) / 255
        theirs = cv2.bilateralFilter(x, 5, 30 / 255, 2.0).reshape(image.shape)
        ours = ops.bilateral_filter(x, 5, sigma_color=30 / 255, sigma_space=2.0)
        np.testing.assert_allclose(ours, theirs, atol=2e-4)  # OpenCV reads exp from a table


@pytest.mark.parametrize("border", BORDERS)
def test_images_smaller_than_the_kernel_go_on_as_in_scipy(border):
    x = CROPS["odd"][:2, :3].astype(np.float32)
    theirs = along_hw(ndimage.gaussian_filter, x, border=border, sigma=2.0)
    np.testing.assert_allclose(ops.gaussian_filter(x, 2.0, border=border), theirs, atol=1e-3)
    pixel = x[:1, :1]
    share = 1 if border != "constant" else 1 / 9
    np.testing.assert_allclose(ops.box_blur(pixel, border=border), pixel * share, rtol=1e-6)


def test_batches_transformations_dtypes_and_gradients():
    x = jnp.asarray(np.stack([CROPS["odd"]] * 2)[:, None], jnp.float32) / 255
    filters = [
        ops.box_blur,
        functools.partial(ops.gaussian_filter, sigma=0.8),
        functools.partial(ops.bilateral_filter, size=3, sigma_color=0.2, sigma_space=1.0),
        ops.unsharp_mask,
        ops.median_filter,
        ops.laplacian,
    ]
    for apply in filters:
        whole = jax.jit(apply)(x)
        assert whole.shape == x.shape
        one, weight = x[1, 0], jnp.cos(jnp.arange(x[1, 0].size).reshape(x[1, 0].shape))

        def total(x, apply=apply, weight=weight):
            return (weight * apply(x)).sum()

        value, slope = jax.jit(jax.value_and_grad(total))(one)
        np.testing.assert_allclose(value, (weight * whole[1, 0]).sum(), atol=1e-3)
        step = 1e-2 * jnp.sin(7 * weight)
        if apply is not ops.median_filter:  # a central difference along one direction
            rise = (weight * (jax.jit(apply)(one + step) - jax.jit(apply)(one - step))).sum() / 2
            np.testing.assert_allclose(rise, (slope * step).sum(), rtol=0.02, atol=1e-3)
    assert jax.eval_shape(ops.unsharp_mask, x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    sources = jax.grad(lambda x: ops.median_filter(x).sum())(x[0, 0])
    np.testing.assert_allclose(sources.sum(), x[0, 0].size, rtol=1e-3)  # each output has a source
    mapped = jax.vmap(jax.vmap(ops.median_filter))(x)
    np.testing.assert_array_equal(mapped, whole_median := ops.median_filter(x))
    assert whole_median.dtype == x.dtype


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: ops.box_blur(x, 4), "size must be odd and positive, got 4"),
        (lambda x: ops.median_filter(x, 0), "size must be odd and positive, got 0"),
        (lambda x: ops.gaussian_filter(x, -1.0), "sigma must be finite and not negative, got -1"),
        (lambda x: ops.gaussian_filter(x, float("nan")), "sigma must be finite"),
        (lambda x: ops.gaussian_filter(x, 1.0, size=2), "size must be odd"),
        (lambda x: ops.gaussian_filter(x, 1.0, border="edge"), "border must be one of reflect"),
        (
            lambda x: ops.gaussian_filter(x[..., 0], 1.0),
            "must be [..., H, W, C], got (37, 41)",
        ),
        (
            lambda x: ops.gaussian_filter(x.astype(int), 1.0),
            "must be float or uint8, got int",
        ),
        (lambda x: ops.gaussian_filter(x[:0], 1.0), "image must not be empty, got (0, 41, 1)"),
        (
            lambda x: ops.bilateral_filter(x, sigma_color=0, sigma_space=1),
            "must be above 0, got 0",
        ),
    ],
)
def test_mistakes_name_the_argument(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(CROPS["odd"][..., :1])
