"""Boxes against torchvision.ops' documented definitions, written out pair by pair in NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdl import ops


def random_boxes(seed, n, height=64, width=96):
    """Corners on a coarse lattice of a 64 x 96 image, so that edges meet and areas vanish."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.integers(0, 13, (n, 2)) * (width / 12), axis=-1)
    y = np.sort(rng.integers(0, 9, (n, 2)) * (height / 8), axis=-1)
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=-1)


def iou_and_giou(a, b):
    """Rezatofighi et al. 2019, algorithm 1; 0 for what is divided by 0."""
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(w, 0) * max(h, 0)
    union = area_a + area_b - intersection
    iou = intersection / union if union else 0.0
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return iou, iou - (hull - union) / hull if hull else iou


@given(st.integers(0, 10_000))
def test_iou_and_giou_of_every_pair(seed):
    a, b = random_boxes(seed, 7), random_boxes(seed + 1, 5)
    want = np.array([[iou_and_giou(x, y) for y in b] for x in a])
    np.testing.assert_allclose(ops.box_iou(a, b), want[..., 0], atol=1e-6)
    np.testing.assert_allclose(ops.generalized_box_iou(a, b), want[..., 1], atol=1e-6)
    both = jax.vmap(ops.box_iou)(jnp.stack([a, a]), jnp.stack([b, b]))
    chex.assert_trees_all_equal(both, ops.box_iou(np.stack([a, a]), np.stack([b, b])))
    side = a[:, 2:] - a[:, :2]
    np.testing.assert_allclose(ops.box_area(a), side[:, 0] * side[:, 1])


def test_forms_are_inverse_and_clipping_cuts_at_the_image():
    boxes = random_boxes(3, 50)
    centers = np.asarray(ops.box_xyxy_to_cxcywh(boxes))
    np.testing.assert_allclose(centers[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2)
    np.testing.assert_allclose(ops.box_cxcywh_to_xyxy(centers), boxes, atol=1e-4)
    some = np.array([[-5, -5, 200, 30], [100, 10, 120, 20], [90, 60, 99, 70]])
    cut = ops.clip_boxes(some, 64, 96)
    np.testing.assert_array_equal(cut, [[0, 0, 96, 30], [96, 10, 96, 20], [90, 60, 96, 64]])
    np.testing.assert_array_equal(ops.box_area(cut), [96 * 30, 0, 6 * 4])


def test_boxes_without_area_have_area_iou_and_gradients_of_zero():
    empty = jnp.array([[1.0, 1, 1, 5], [2, 2, 2, 2], [5, 5, 3, 3], [4, 1, 3, 9]])
    some = jnp.array([[0.0, 0, 6, 6]])
    np.testing.assert_array_equal(ops.box_area(empty), 0)
    np.testing.assert_array_equal(ops.box_iou(empty, some), 0)
    np.testing.assert_array_equal(ops.box_iou(empty, empty), 0)
    for f in (ops.box_iou, ops.generalized_box_iou):
        for other in (empty, some):
            slopes = jax.grad(lambda a, b, f=f: jnp.sum(f(a, b)), argnums=(0, 1))(empty, other)
            chex.assert_tree_all_finite(slopes)


@pytest.mark.parametrize("dtype", ["int32", "bfloat16", "float16"])
def test_pixels_are_computed_in_float32(dtype):
    """300 x 300 pixels overflow float16, and bfloat16 counts only to 256."""
    a = jnp.array([[0, 0, 300, 256]], dtype)
    got = ops.box_iou(a, jnp.array([[0, 0, 150, 256]], dtype))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [[150 / 300]], rtol=0.01)


def test_gradients_are_those_of_finite_differences():
    a = jnp.array([[0.1, 0.2, 0.53, 0.61], [0.3, 0.05, 0.77, 0.9]])
    b = jnp.array([[0.15, 0.1, 0.5, 0.7], [0.8, 0.91, 0.95, 0.99]])
    for f in (ops.box_iou, ops.generalized_box_iou):
        jax.test_util.check_grads(f, (a, b), order=1, modes=["rev"], eps=1e-3, atol=1e-2, rtol=1e-2)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"axis of 4 numbers, got shape \(3, 5\)"):
        ops.box_area(np.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"\(4,\) and \(2, 4\)"):
        ops.box_iou(np.zeros(4), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="equal leading axes"):
        ops.box_iou(np.zeros((2, 3, 4)), np.zeros((3, 4)))
