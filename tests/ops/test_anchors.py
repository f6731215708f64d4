"""Anchors, their matching and their offsets, against hand-computed cases and written-out loops."""

import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdl import ops
from tests.ops.test_boxes import iou_and_giou, random_boxes

# The five anchors and two boxes on a photo of a dog and a cat, in D2L's section on anchors.
ANCHORS = np.array(
    [
        [0, 0.1, 0.2, 0.3],
        [0.15, 0.2, 0.4, 0.4],
        [0.63, 0.05, 0.88, 0.98],
        [0.66, 0.45, 0.8, 0.8],
        [0.57, 0.3, 0.92, 0.9],
    ],
    np.float32,
)
BOXES = np.array([[0.1, 0.08, 0.52, 0.92], [0.55, 0.2, 0.9, 0.88]], np.float32)


def placed(height, width, sizes, ratios, shape):
    """Center by center: boxes of `shape(s, r)` -> (w, h), the first size with every ratio first."""
    pairs = [(sizes[0], r) for r in ratios] + [(s, ratios[0]) for s in sizes[1:]]
    found = []
    for i, j, (s, r) in itertools.product(range(height), range(width), pairs):
        x, y, (w, h) = (j + 0.5) / width, (i + 0.5) / height, shape(s, r)
        found.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(found)


def test_anchors_of_a_64_by_96_image():
    grid, sizes, ratios = (8, 12), [0.5, 0.25], [1, 2, 0.5]
    aspect = 96 / 64
    shares = placed(*grid, sizes, ratios, lambda s, r: (s * math.sqrt(r), s / math.sqrt(r)))
    pixels = placed(
        *grid, sizes, ratios, lambda s, r: (s * math.sqrt(r) / aspect, s / math.sqrt(r))
    )
    cells = placed(*grid, sizes, ratios, lambda s, r: (s / math.sqrt(r) / 12, s * math.sqrt(r) / 8))
    square = ops.anchor_boxes(*grid, sizes, ratios, aspect=aspect)
    assert square.shape == (8 * 12 * 4, 4)
    np.testing.assert_allclose(ops.anchor_boxes(*grid, sizes, ratios), shares, atol=1e-6)
    np.testing.assert_allclose(square, pixels, atol=1e-6)
    np.testing.assert_allclose(ops.cell_anchor_boxes(*grid, sizes, ratios), cells, atol=1e-6)
    w, h = np.asarray(ops.box_xyxy_to_cxcywh(square * jnp.array([[96.0, 64, 96, 64]])))[:4, 2:].T
    np.testing.assert_allclose(w / h, [1, 2, 0.5, 1], rtol=1e-5)  # in pixels
    np.testing.assert_allclose(w * h, (np.array([0.5, 0.5, 0.5, 0.25]) * 64) ** 2, rtol=1e-5)
    maps = [(8, 12), (4, 6), (1, 1)]
    levels = [sizes, [0.4], [0.8, 0.9]], [ratios, [1], [1, 3]]
    several = ops.pyramid_anchor_boxes(maps, *levels, aspect=aspect)
    parts = [
        ops.anchor_boxes(*m, s, r, aspect=aspect) for m, s, r in zip(maps, *levels, strict=True)
    ]
    chex.assert_trees_all_equal(several, jnp.concatenate(parts))
    assert len(several) == 8 * 12 * 4 + 4 * 6 + 3


def matched(anchors, boxes, mask, threshold):
    """The greedy algorithm on the whole matrix: its maximum out, with row and column, M times."""
    iou = np.array([[iou_and_giou(a, b)[0] for b in boxes] for a in anchors])
    iou = np.where(mask, iou, 0).reshape(len(anchors), len(boxes))
    left, answer = iou.copy(), np.full(len(anchors), -1)
    while left.size and left.max() > 0:
        i, j = divmod(int(left.argmax()), len(boxes))  # integers, never a float division (T4)
        answer[i] = j
        left[i], left[:, j] = 0, 0
    for i in np.flatnonzero(answer < 0):
        if len(boxes) and iou[i].max() >= threshold:
            answer[i] = iou[i].argmax()
    return answer


def test_the_published_example_is_matched_and_encoded():
    boxes, labels = np.stack([BOXES, BOXES]), np.array([[0, 1], [0, 1]])
    got = jax.jit(ops.anchor_targets)(ANCHORS, boxes, labels)
    np.testing.assert_array_equal(got.classes, [[0, 1, 2, 0, 2]] * 2)
    np.testing.assert_array_equal(got.positive, [[False, True, True, False, True]] * 2)
    want = [
        [0, 0, 0, 0],
        [1.40, 10.0, 2.59, 7.18],
        [-1.20, 0.269, 1.68, -1.57],
        [0, 0, 0, 0],
        [-0.571, -1.0, 0, 0.626],
    ]
    np.testing.assert_allclose(got.offsets[1], want, atol=6e-3)


@given(st.integers(0, 10_000), st.sampled_from([(9, 4), (3, 4), (4, 4)]), st.integers(0, 4))
def test_matching_is_the_greedy_algorithm(seed, sizes, real):
    """Ties, duplicates, boxes without area, padding, and more boxes than anchors."""
    num_anchors, num_boxes = sizes
    anchors = random_boxes(seed, num_anchors)
    boxes = np.stack([random_boxes(seed + i, num_boxes) for i in range(2)])
    boxes[1, 1] = boxes[1, 0]
    anchors[2] = anchors[0]
    mask = np.stack([np.arange(num_boxes) < real, np.arange(num_boxes) % 2 == 0])
    got = jax.jit(ops.match_anchors)(anchors, boxes, mask)
    want = [matched(anchors, b, m, 0.5) for b, m in zip(boxes, mask, strict=True)]
    np.testing.assert_array_equal(got, want)
    together = jax.jit(jax.vmap(ops.match_anchors, (None, 0, 0)))(anchors, boxes, mask)
    chex.assert_trees_all_equal(together, got)


@given(st.integers(0, 10_000))
def test_padding_steals_no_anchor(seed):
    """T4: the same targets, whatever the padded boxes hold and however many they are."""
    rng = np.random.default_rng(seed)
    anchors = np.asarray(ops.anchor_boxes(4, 6, [0.3, 0.5], [1, 2], aspect=1.5))
    boxes = random_boxes(seed, 3, 1, 1).astype(np.float32)
    labels = rng.integers(0, 5, 3)
    targets = jax.jit(ops.anchor_targets)
    want = targets(anchors, boxes, labels)
    padding = rng.uniform(-1, 2, (4, 4)).astype(np.float32)
    padded = np.concatenate([boxes, padding])
    more = np.concatenate([labels, [-1, -1, 7, 0]])
    got = targets(anchors, padded, more, np.arange(7) < 3)
    chex.assert_trees_all_equal(got, want)


def test_an_image_without_objects_is_background():
    for boxes, mask in ((np.zeros((0, 4)), np.zeros(0, bool)), (BOXES, np.zeros(2, bool))):
        labels = np.zeros(len(boxes), int)
        got = ops.anchor_targets(ANCHORS, boxes.astype(np.float32), labels, mask)
        chex.assert_trees_all_equal(got, jax.tree.map(jnp.zeros_like, got))


def test_a_box_without_area_or_outside_gets_no_anchor():
    boxes = np.array([[0.3, 0.3, 0.3, 0.9], [1.2, 1.2, 1.5, 1.4], BOXES[1]], np.float32)
    got = ops.anchor_targets(ANCHORS, boxes, np.array([0, 1, 2]))
    np.testing.assert_array_equal(got.classes, [0, 0, 3, 0, 3])
    chex.assert_tree_all_finite(got)


def test_the_threshold_is_met_by_an_equal_iou():
    anchors = np.array([[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 2, 2]], np.float32)
    for threshold, want in ((0.5, [0, 0, -1]), (0.51, [0, -1, -1]), (0.25, [0, 0, 0])):
        got = ops.match_anchors(anchors, anchors[:1], iou_threshold=threshold)
        np.testing.assert_array_equal(got, want)


def test_decode_is_the_inverse_of_encode():
    """T4: no epsilon goes in that does not come out."""
    rng = np.random.default_rng(0)
    lower = rng.uniform(0, 1, (2, 200, 2))
    sides = 10 ** rng.uniform(-3, 0.5, (2, 200, 2))
    boxes, anchors = np.concatenate([lower, lower + sides], axis=-1).astype(np.float32)
    for variances in ((0.1, 0.2), (1.0, 1.0)):
        offsets = ops.encode_boxes(boxes, anchors, variances=variances)
        back = ops.decode_boxes(offsets, anchors, variances=variances)
        np.testing.assert_allclose(back, boxes, atol=3e-6)
    far = ops.decode_boxes(np.full((200, 4), 1e30, np.float32), anchors)
    chex.assert_tree_all_finite(ops.clip_boxes(far))
    flat = anchors * np.array([[1, 0, 1, 0]], np.float32)
    for pair in ((flat, anchors), (anchors, flat)):
        slopes = jax.grad(lambda a, b: jnp.sum(ops.encode_boxes(a, b)), argnums=(0, 1))(*pair)
        chex.assert_tree_all_finite(slopes)
        assert not np.any(ops.encode_boxes(*pair))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ops.anchor_boxes(2, 3, [0.5], []), "positive sizes and ratios"),
        (lambda: ops.anchor_boxes(2, 3, [0.5, -1], [1]), "positive sizes and ratios"),
        (lambda: ops.anchor_boxes(0, 3, [0.5], [1]), "got 0 x 3"),
        (lambda: ops.anchor_boxes(2, 3, [0.5], [1], aspect=0), "aspect must be positive"),
        (lambda: ops.pyramid_anchor_boxes([(1, 1)], [[1]], []), "of each of 1 maps, got 1 and 0"),
        (lambda: ops.match_anchors(ANCHORS, BOXES, iou_threshold=0.0), "iou_threshold"),
        (lambda: ops.match_anchors(ANCHORS, BOXES[0]), r"\(4,\)"),
        (lambda: ops.match_anchors(ANCHORS, BOXES, np.ones(2)), "boolean"),
        (lambda: ops.anchor_targets(ANCHORS, BOXES, np.zeros(3, int)), r"\(2,\), got \(3,\)"),
        (lambda: ops.encode_boxes(BOXES, ANCHORS), r"\(2, 4\) and \(5, 4\)"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
