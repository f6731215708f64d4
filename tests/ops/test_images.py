"""Equalizing, stretching, quantizing, resizing, color and noise against their reference."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from jaxdl import ops
from tests.references import reference

cv2 = reference("cv2")
skimage = reference("skimage")

china, flower = load_sample_images().images
CROP = flower[200:237, 300:341]


def test_equalize_in_opencvs_convention():
    """T9: from zero, `(cdf - cdf_min) / (1 - cdf_min)`; equal to the level."""
    for image in (CROP[..., :1], china[..., 1:2]):
        np.testing.assert_array_equal(
            ops.equalize_hist(image)[..., 0], cv2.equalizeHist(image[..., 0])
        )
    flat = np.full((4, 5, 1), 7, np.uint8)
    np.testing.assert_array_equal(ops.equalize_hist(flat)[..., 0], cv2.equalizeHist(flat[..., 0]))


def test_equalize_in_scikit_images_convention():
    """T9: the plain cdf, for levels and for floats."""
    plane = CROP[..., 1]
    theirs = skimage.exposure.equalize_hist(plane)
    ours = ops.equalize_hist(plane[..., None], convention="cdf")[..., 0]
    np.testing.assert_array_equal(ours, np.round(theirs * 255))
    x = np.random.default_rng(0).normal(size=(37, 41)).astype(np.float32)
    for bins in (256, 16):
        theirs = skimage.exposure.equalize_hist(x, nbins=bins)
        ours = ops.equalize_hist(x[..., None], convention="cdf", bins=bins)[..., 0]
        np.testing.assert_allclose(ours, theirs, atol=2 / x.size)  # a pixel on the rim of a bin
    from_zero = ops.equalize_hist(x[..., None])
    np.testing.assert_allclose((from_zero.min(), from_zero.max()), (0, 1), atol=1e-6)
    np.testing.assert_array_equal(
        ops.equalize_hist(jnp.full((3, 4, 1), 0.5)), jnp.full((3, 4, 1), 0.5)
    )
    batch = jnp.stack([CROP, CROP[::-1]])
    np.testing.assert_array_equal(ops.equalize_hist(batch)[1], ops.equalize_hist(batch[1]))


def test_stretch_contrast_is_rescale_intensity():
    x = CROP[..., 2].astype(np.float32) / 255
    for low, high in ((0, 100), (2, 98)):
        limits = tuple(np.percentile(x, (low, high)))
        theirs = skimage.exposure.rescale_intensity(x, in_range=limits, out_range=(0, 1))
        ours = ops.rescale_intensity(x[..., None], low=low, high=high)[..., 0]
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    levels = ops.rescale_intensity(CROP)
    assert levels.dtype == jnp.uint8
    assert (levels.min(axis=(0, 1)) == 0).all()
    assert (levels.max(axis=(0, 1)) == 255).all()
    flat = jnp.full((3, 4, 1), 9, jnp.uint8)
    np.testing.assert_array_equal(ops.rescale_intensity(flat), flat)


def test_quantize():
    x = jnp.array([-1.0, 0.2, 0.3, 0.6, 0.9, 2.0]).reshape(1, 6, 1)
    np.testing.assert_allclose(ops.quantize(x, 3).ravel(), [0, 0, 0.5, 0.5, 1, 1])
    assert np.unique(ops.quantize(CROP, 4)).tolist() == [0, 85, 170, 255]
    np.testing.assert_array_equal(ops.quantize(CROP, 256), CROP)


def test_resize_is_opencvs():
    theirs = cv2.resize(CROP, (20, 50), interpolation=cv2.INTER_LINEAR)
    ours = ops.resize(CROP, (50, 20), antialias=False)
    assert np.abs(np.asarray(ours, int) - theirs).max() <= 1
    x = CROP.astype(np.float32)
    theirs = cv2.resize(x, (61, 50), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(ops.resize(x, (50, 61)), theirs, atol=1e-2)  # of 255
    assert ops.resize(CROP, CROP.shape[:2], method="nearest").dtype == jnp.uint8


def test_letterbox_keeps_the_aspect_and_moves_points():
    image = np.zeros((20, 40, 1), np.float32)
    image[4:8, 30:38] = 1
    boxed = ops.letterbox(image, (50, 60), fill=0.5)
    assert boxed.image.shape == (50, 60, 1)
    assert (boxed.top, boxed.left, boxed.scale_x, boxed.scale_y) == (10, 0, 1.5, 1.5)
    assert (boxed.image[:10] == 0.5).all()
    assert (boxed.image[40:] == 0.5).all()
    ys, xs = np.nonzero(np.asarray(boxed.image[..., 0]) > 0.6)
    assert xs.min() == pytest.approx(30 * 1.5, abs=1)
    assert ys.max() + 1 == pytest.approx(8 * 1.5 + 10, abs=1)
    thin = ops.letterbox(np.zeros((300, 1, 3), np.uint8), (8, 8), fill=9)
    assert thin.image.shape == (8, 8, 3)
    assert thin.image.dtype == jnp.uint8


def test_center_crop():
    x = np.arange(30.0).reshape(5, 6, 1)
    np.testing.assert_array_equal(ops.center_crop(x, (2, 3)), x[1:3, 1:4])
    np.testing.assert_array_equal(ops.center_crop(x, (5, 6)), x)


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_warp_is_opencvs(method):
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if method == "linear" else cv2.INTER_NEAREST)
    x = CROP.astype(np.float32) / 255
    matrix = np.array([[1, 0, 3], [0, 1, -2]], np.float32)
    np.testing.assert_allclose(
        ops.warp(x, matrix, method=method), cv2.warpAffine(x, matrix, (41, 37), flags=flags)
    )
    matrix = np.array([[0.75, -0.5, 8], [0.5, 0.75, -4]], np.float32)  # exact in OpenCV's table
    ours = np.asarray(ops.warp(x, matrix, method=method))
    theirs = cv2.warpAffine(x, matrix, (41, 37), flags=flags)
    same = np.abs(ours - theirs) < 1e-4
    part = ops.warp(x, matrix, size=(9, 50), method=method)
    np.testing.assert_array_equal(part[:, :41], ours[:9])
    assert same.mean() > (0.99 if method == "linear" else 0.8)  # 'nearest' rounds ties otherwise


def test_warp_has_gradients():
    def move(m):
        return (ops.warp(jnp.asarray(CROP[..., :1], jnp.float32), m) ** 2).mean()

    slope = jax.grad(move)(jnp.array([[1.0, 0, 0.3], [0, 1, 0.4]]))
    assert np.isfinite(slope).all()
    assert slope.any()


def test_gray_and_normalize():
    """T9: OpenCV's and scikit-image's weights differ."""
    theirs = cv2.cvtColor(CROP, cv2.COLOR_RGB2GRAY)
    assert np.abs(np.asarray(ops.rgb_to_grayscale(CROP)[..., 0], int) - theirs).max() <= 1
    x = CROP.astype(np.float32) / 255
    theirs = skimage.color.rgb2gray(x)
    np.testing.assert_allclose(ops.rgb_to_grayscale(x, weights="709")[..., 0], theirs, atol=1e-6)
    np.testing.assert_array_equal(ops.rgb_to_grayscale(x[..., :1]), x[..., :1])
    normal = ops.normalize(CROP[None], ops.IMAGENET_MEAN, ops.IMAGENET_STD)
    np.testing.assert_allclose(
        normal[0], (x - ops.IMAGENET_MEAN) / np.array(ops.IMAGENET_STD), atol=1e-5
    )


def test_noise_has_its_moments_and_saturates():
    key = jax.random.key(0)
    x = jnp.full((200, 200, 3), 0.5)
    noise = ops.gaussian_noise(key, x, 0.1) - x
    assert noise.mean() == pytest.approx(0, abs=1e-3)
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    levels = ops.gaussian_noise(key, jnp.full((50, 50, 1), 250, jnp.uint8), 20.0)
    assert levels.dtype == jnp.uint8
    assert levels.min() > 100  # clipped, not wrapped
    specks = ops.salt_and_pepper(key, x, 0.2, salt=0.75)
    assert (specks == 1).mean() == pytest.approx(0.15, abs=0.01)
    assert (specks == 0).mean() == pytest.approx(0.05, abs=0.01)
    assert (specks.min(axis=-1) == specks.max(axis=-1)).all()  # all channels of a pixel together


def test_thin_lens():
    u = jnp.array([3.0, 2.0, 1.0, jnp.inf])
    np.testing.assert_allclose(ops.image_distance(u, 2.0), [6, jnp.inf, -2, 2], rtol=1e-6)
    assert jax.grad(ops.image_distance)(3.0, 2.0) == pytest.approx(-4)  # -(v / u)^2


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda x: ops.rgb_to_grayscale(jnp.concatenate([x, x[..., :1]], -1)),
            "drop the alpha channel",
        ),
        (lambda x: ops.rgb_to_grayscale(x[..., :2]), "must have three channels"),
        (lambda x: ops.rgb_to_grayscale(x, weights="2020"), "weights must be '601' or '709'"),
        (lambda x: ops.normalize(x, [0.5], [0.5]), "one mean and std for each of 3 channels"),
        (lambda x: ops.normalize(x, [0.0] * 3, [1.0, 0.0, 1.0]), "std must be above 0"),
        (lambda x: ops.equalize_hist(x, convention="he"), "convention must be 'cdf_min' or 'cdf'"),
        (lambda x: ops.equalize_hist(x, bins=0), "bins must be at least 1"),
        (lambda x: ops.rescale_intensity(x, low=5, high=5), "need 0 <= low < high <= 100"),
        (lambda x: ops.quantize(x, 1), "levels must be at least 2"),
        (lambda x: ops.center_crop(x, (40, 5)), "cannot crop 40 x 5 from an image of 37 x 41"),
        (lambda x: ops.resize(x, (0, 5)), "size must be (height, width), each at least 1"),
        (lambda x: ops.warp(x, jnp.eye(3)), "need image [H, W, C], matrix [2, 3]"),
        (lambda x: ops.salt_and_pepper(jax.random.key(0), x, 1.5), "amount must lie in 0..1"),
        (lambda x: ops.gaussian_noise(jax.random.key(0), x, -1), "sigma must not be negative"),
    ],
)
def test_mistakes_name_the_argument(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.asarray(CROP))


KEEPING = {
    "box_blur": lambda x: ops.box_blur(x),
    "gaussian_filter": lambda x: ops.gaussian_filter(x, 1.0),
    "bilateral_filter": lambda x: ops.bilateral_filter(x, sigma_color=0.1, sigma_space=1.0),
    "high_pass": lambda x: ops.high_pass(x),
    "unsharp_mask": lambda x: ops.unsharp_mask(x),
    "median_filter": lambda x: ops.median_filter(x),
    "equalize": lambda x: ops.equalize_hist(x),
    "rescale_intensity": lambda x: ops.rescale_intensity(x, low=5, high=95),
    "quantize": lambda x: ops.quantize(x, 7),
    "gray": lambda x: ops.rgb_to_grayscale(x),
    "resize": lambda x: ops.resize(x, (5, 30)),
    "letterbox": lambda x: ops.letterbox(x, (12, 12)).image,
    "warp": lambda x: ops.warp(x, np.array([[1.0, 0.1, 0.3], [0.0, 0.9, 0.2]], np.float32)),
    "warp-matrix": lambda x: ops.warp(x, jnp.array([[1.0, 0, 0.5], [0, 1, 0]], x.dtype)),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.uint8])
@pytest.mark.parametrize("name", KEEPING)
def test_images_keep_their_dtype_and_are_computed_in_float32(name, dtype):
    x = np.random.default_rng(0).uniform(size=(9, 300, 3))
    x = jnp.asarray(255 * x if dtype == jnp.uint8 else x).astype(dtype)
    if name == "warp-matrix" and dtype == jnp.uint8:
        pytest.skip("a matrix of integers moves no half pixels")
    got = KEEPING[name](x)
    assert got.dtype == dtype
    if dtype != jnp.uint8:
        want = KEEPING[name](x.astype(jnp.float32)).astype(dtype)
        np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))
