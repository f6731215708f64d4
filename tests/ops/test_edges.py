"""Slopes and Canny's edges against scipy, OpenCV and scikit-image, and hysteresis by union-find."""

import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from sklearn.datasets import load_sample_images

from jaxdl import ops
from tests.references import reference

cv2 = reference("cv2")
ndimage = reference("scipy.ndimage")
skimage = reference("skimage")

china, flower = load_sample_images().images
GRAY = (china @ np.array([0.299, 0.587, 0.114]) / 255).astype(np.float32)
CROP = GRAY[100:137, 200:241]
canny = jax.jit(
    ops.canny, static_argnames=["sigma", "low", "high", "border", "norm", "gradient", "neighbors"]
)


@pytest.mark.parametrize("border", ["reflect", "mirror", "nearest", "wrap", "constant"])
@pytest.mark.parametrize("name", ["sobel", "prewitt"])
def test_gradients_agree_with_scipy(name, border):
    gradient = getattr(ops, name)(CROP[..., None], border=border)
    theirs = getattr(ndimage, name)
    np.testing.assert_allclose(gradient.x[..., 0], theirs(CROP, axis=1, mode=border), atol=1e-5)
    np.testing.assert_allclose(gradient.y[..., 0], theirs(CROP, axis=0, mode=border), atol=1e-5)


def test_both_scalings_of_a_unit_step():
    """T9: a unit step is 4 for scipy and OpenCV, 3 for Prewitt, 1 for scikit-image."""
    step = np.zeros((5, 6, 1), np.float32)
    step[:, 3:] = 1
    assert ops.sobel(step).x.max() == 4 == cv2.Sobel(step, cv2.CV_32F, 1, 0).max()
    assert ops.prewitt(step).x.max() == 3
    for name in ("sobel", "prewitt"):
        gradient = getattr(ops, name)(step, normalized=True)
        assert gradient.x.max() == pytest.approx(1)
        filters = skimage.filters
        ours = getattr(ops, name)(CROP[..., None], normalized=True)
        for axis, got in (("v", ours.x), ("h", ours.y)):
            want = getattr(filters, f"{name}_{axis}")(CROP)[1:-1, 1:-1]
            np.testing.assert_allclose(got[1:-1, 1:-1, 0], want, atol=1e-6)
    assert ops.sobel((step * 255).astype(np.uint8)[:, ::-1]).x.min() == -1020  # no overflow


def test_differences_of_a_parabola():
    x = (np.arange(6.0, dtype=np.float32) ** 2)[None, :, None] * np.ones((4, 1, 1), np.float32)
    np.testing.assert_array_equal(ops.forward_difference(x).x[0, :, 0], [1, 3, 5, 7, 9, 0])
    np.testing.assert_array_equal(ops.backward_difference(x).x[0, :, 0], [0, 1, 3, 5, 7, 9])
    np.testing.assert_array_equal(ops.central_difference(x).x[0, :, 0], [0.5, 2, 4, 6, 8, 4.5])
    turned = np.swapaxes(x, 0, 1)
    np.testing.assert_array_equal(ops.central_difference(turned).y[:, 0, 0], [0.5, 2, 4, 6, 8, 4.5])
    assert not ops.forward_difference(x).y.any()


def test_magnitude_angle_and_their_gradients():
    right = ops.Gradient(jnp.float32(3.0), jnp.float32(4.0))
    assert ops.gradient_magnitude(right) == 5
    assert ops.gradient_magnitude(right, norm="l1") == 7
    assert ops.gradient_angle(ops.Gradient(jnp.float32(0), jnp.float32(2))) == pytest.approx(
        np.pi / 2
    )
    energy = jax.jit(jax.grad(lambda x: ops.gradient_magnitude(ops.sobel(x)).sum()))
    assert not energy(jnp.ones((37, 41, 1))).any()  # flat: zero, not NaN
    assert np.isfinite(energy(jnp.asarray(CROP[..., None]))).all()


@pytest.mark.parametrize(
    "image, sigma, low, high, border",
    [
        (GRAY[100:251, 200:403], 1.0, 0.1, 0.2, "constant"),
        (GRAY[100:251, 200:403], 2.0, 0.05, 0.15, "nearest"),
        (GRAY[100:251, 200:403], 1.0, 0.0, 0.3, "wrap"),
        (flower[150:301, 200:403, 0], 1.5, 0.1, 0.4, "reflect"),
    ],
)
def test_canny_agrees_with_scikit_image(image, sigma, low, high, border):
    """Equal in every pixel where it was written; thresholds met within rounding may differ."""
    ours = canny(image[..., None], sigma, low=low, high=high, border=border)[..., 0]
    scale = 255 if image.dtype == np.uint8 else 1
    thresholds = {"low_threshold": low * scale, "high_threshold": high * scale}
    theirs = skimage.feature.canny(image, sigma, mode=border, **thresholds)
    assert 0.01 < theirs.mean() < 0.5
    assert (ours == theirs).mean() >= 0.999


def test_canny_options_and_batches():
    """T9: smoothing, norm and kernel are arguments, and each does something."""
    x = jnp.asarray(np.stack([GRAY[100:151, 200:271], GRAY[200:251, 300:371]])[..., None])
    edges = canny(x)
    assert edges.shape == x.shape
    assert edges.dtype == bool
    np.testing.assert_array_equal(edges[1], canny(x[1]))
    np.testing.assert_array_equal(edges, jax.jit(jax.vmap(ops.canny))(x))
    for options in ({"sigma": 0.0}, {"norm": "l1"}, {"gradient": ops.prewitt}):
        assert (canny(x, **options) != edges).any()
    assert not canny(jnp.zeros((2, 9, 1))).any()
    assert not canny(jnp.zeros((51, 71, 1)), low=0.0, high=0.0).any()


def test_thinning_by_the_nearest_neighbors_looks_at_one_eighth_of_the_circle():
    """Eight sectors of 45 degrees, each about the direction of one neighbor."""
    gray = jnp.asarray(GRAY[100:151, 200:271, None], jnp.float32)
    slope = ops.sobel(ops.gaussian_filter(gray, 1.0))
    magnitude = ops.gradient_magnitude(slope)
    got = np.asarray(ops.thin_edges(slope, magnitude, neighbors="nearest"))[..., 0]
    m, angle = np.asarray(magnitude)[..., 0], np.asarray(ops.gradient_angle(slope))[..., 0]
    want = np.zeros_like(m)
    steps = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]  # y, x
    for i in range(1, m.shape[0] - 1):
        for j in range(1, m.shape[1] - 1):
            di, dj = steps[round(float(angle[i, j]) / (np.pi / 4)) % 8]
            if m[i, j] >= max(m[i + di, j + dj], m[i - di, j - dj]):
                want[i, j] = m[i, j]
    assert (got != want).mean() < 0.002  # a slope of 22.5 degrees to the last bit may differ
    assert (got != np.asarray(ops.thin_edges(slope, magnitude))[..., 0]).any()
    edges = canny(gray, low=0.02, high=0.04)
    assert (canny(gray, low=0.02, high=0.04, neighbors="nearest") != edges).any()
    with pytest.raises(ValueError, match="'interpolated' or 'nearest', got 'all'"):
        ops.thin_edges(slope, magnitude, neighbors="all")


def components(weak, strong):
    """Reference: union-find over 8-neighbors."""
    parent = {p: p for p in zip(*np.nonzero(weak), strict=True)}

    def root(p):
        while parent[p] != p:
            p = parent[p]
        return p

    for i, j in list(parent):
        for q in ((i, j + 1), (i + 1, j - 1), (i + 1, j), (i + 1, j + 1)):
            if q in parent:
                parent[root((i, j))] = root(q)
    alive = {root(p) for p in parent if strong[p]}
    return np.array(
        [[bool(weak[i, j]) and root((i, j)) in alive for j in range(weak.shape[1])]
         for i in range(weak.shape[0])]
    )  # fmt: skip


@hypothesis.given(
    levels=arrays.arrays(np.uint8, (67, 9), elements={"min_value": 0, "max_value": 9})
)
def test_hysteresis_is_union_find(levels):
    weak, strong = levels >= 6, levels == 9
    got = jax.jit(ops.hysteresis)(weak[..., None], strong[..., None])[..., 0]
    np.testing.assert_array_equal(got, components(weak, strong))


def test_hysteresis_follows_a_long_way():
    snake = np.zeros((65, 33), bool)
    snake[::2] = True
    snake[1::4, -1] = snake[3::4, 0] = True
    start = np.zeros_like(snake)
    start[0, 0] = True
    assert (ops.hysteresis(snake[..., None], start[..., None])[..., 0] == snake).all()
    nothing = ops.hysteresis(snake[..., None], ~snake[..., None])
    assert not nothing.any()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: ops.canny(jnp.concatenate([x] * 3, -1)), "canny reads gray images"),
        (lambda x: ops.canny(x, low=0.3, high=0.2), "need 0 <= low <= high, got 0.3 and 0.2"),
        (lambda x: ops.canny(x, -1.0), "sigma must be finite and not negative"),
        (lambda x: ops.canny(x, norm="max"), "norm must be 'l1' or 'l2', got 'max'"),
        (lambda x: ops.hysteresis(x > 0, x), "need boolean weak and strong"),
    ],
)
def test_mistakes_name_the_argument(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.asarray(CROP[..., None]))
