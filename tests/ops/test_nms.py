"""Suppression against the algorithm written out over Python lists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdl import ops
from tests.ops.test_boxes import iou_and_giou, random_boxes


def brute_force(boxes, scores, mask, classes, threshold, max_outputs):
    """torchvision's `batched_nms`: an IoU above the threshold suppresses, within a class."""
    left = sorted(np.flatnonzero(mask), key=lambda i: (-scores[i], i))
    kept = []
    while left and len(kept) < max_outputs:
        kept.append(left.pop(0))
        best = kept[-1]
        left = [
            i
            for i in left
            if classes[i] != classes[best] or iou_and_giou(boxes[i], boxes[best])[0] <= threshold
        ]
    return kept + [-1] * (max_outputs - len(kept))


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.25, 0.5]), st.booleans())
def test_nms_is_brute_force(seed, threshold, by_class):
    """Duplicates, equal scores, IoU at the threshold, masks, and more outputs than boxes."""
    rng = np.random.default_rng(seed)
    boxes = np.stack([random_boxes(seed + i, 12) for i in range(2)])
    boxes[:, 5] = boxes[:, 3]
    scores = rng.integers(-2, 5, (2, 12)).astype(np.float32)
    mask = rng.random((2, 12)) < 0.8
    classes = rng.integers(0, 2, (2, 12)) * by_class
    for max_outputs in (4, 14):
        got = jax.jit(ops.nms, static_argnames=("iou_threshold", "max_outputs"))(
            boxes,
            scores,
            mask=mask,
            classes=classes,
            iou_threshold=threshold,
            max_outputs=max_outputs,
        )
        for b in range(2):
            want = brute_force(boxes[b], scores[b], mask[b], classes[b], threshold, max_outputs)
            np.testing.assert_array_equal(got[b], want)
    together = jax.vmap(
        lambda *a: ops.nms(*a[:2], mask=a[2], classes=a[3], iou_threshold=threshold, max_outputs=14)
    )(boxes, scores, mask, classes)
    np.testing.assert_array_equal(together, got)


def soft(boxes, scores, sigma, threshold, least):
    """Bodla et al. 2017, figure 2."""
    left, kept = {i: s for i, s in enumerate(scores) if s > least}, []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        kept.append((best, left.pop(best)))
        for i in list(left):
            u = iou_and_giou(boxes[i], boxes[best])[0]
            left[i] *= np.exp(-(u**2) / sigma) if sigma else (1 - u if u > threshold else 1)
            if left[i] <= least:
                del left[i]
    return kept


@pytest.mark.parametrize("sigma", [0.5, None], ids=["gaussian", "linear"])
def test_soft_nms_lowers_scores(sigma):
    boxes = random_boxes(1, 20)
    scores = np.random.default_rng(1).uniform(0.05, 1, 20)
    want = soft(boxes, scores, sigma, 0.3, 0.1)
    index, lowered = ops.soft_nms(
        boxes, scores, max_outputs=20, sigma=sigma, iou_threshold=0.3, score_threshold=0.1
    )
    n = len(want)
    assert n < 20
    assert index[:n].tolist() == [i for i, _ in want]
    np.testing.assert_allclose(lowered[:n], [s for _, s in want], rtol=1e-4)
    assert np.all(index[n:] == -1)
    assert not np.any(lowered[n:])


def test_every_class_is_suppressed_on_its_own_and_background_never_kept():
    """T4: one suppression for all classes would lose the second object, and keep background."""
    boxes = jnp.array([[0, 0, 4, 4], [0, 0, 4, 3.9], [0, 0, 4, 4], [5, 5, 9, 9]], jnp.float32)
    p = jnp.array([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.98, 0.01, 0.01]])
    got = jax.jit(lambda b, p: ops.multiclass_nms(b, p, score_threshold=0.2, max_outputs=5))(
        jnp.stack([boxes, boxes]), jnp.stack([p, p[::-1]])
    )
    np.testing.assert_allclose(got.scores[0], [0.8, 0.6, 0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(got.classes[0], [0, 1, -1, -1, -1])
    np.testing.assert_array_equal(got.mask[0], [True, True, False, False, False])
    np.testing.assert_array_equal(got.boxes[0], [boxes[0], boxes[2], *np.zeros((3, 4))])
    np.testing.assert_array_equal(got.boxes[1, 0], boxes[3])
    alone = ops.multiclass_nms(boxes, p, score_threshold=0.2, max_outputs=5)
    per_class = jnp.stack([boxes, boxes + 1], axis=1)
    moved = ops.multiclass_nms(per_class, p, score_threshold=0.2, max_outputs=5)
    np.testing.assert_array_equal(moved.scores, alone.scores)
    np.testing.assert_array_equal(moved.boxes[:2], [boxes[0], boxes[2] + 1])
    nothing = ops.multiclass_nms(boxes, p, mask=np.zeros(4, bool))
    assert nothing.boxes.shape == (100, 4)
    assert not nothing.mask.any()


@given(st.integers(0, 1000))
def test_multiclass_nms_is_nms_of_each_class(seed):
    rng = np.random.default_rng(seed)
    boxes, p = random_boxes(seed, 10), rng.dirichlet(np.ones(4), 10).astype(np.float32)
    got = ops.multiclass_nms(boxes, p, iou_threshold=0.3, score_threshold=0.25, max_outputs=8)
    want = []
    for k in range(3):
        kept = brute_force(boxes, p[:, 1 + k], p[:, 1 + k] > 0.25, np.zeros(10), 0.3, 10)
        want += [(p[i, 1 + k], k, *boxes[i]) for i in kept if i >= 0]
    want = sorted(want, reverse=True)[:8]
    assert int(got.mask.sum()) == len(want)
    found = zip(got.scores, got.classes, got.boxes, strict=True)
    rows = [[float(s), int(c), *b.tolist()] for s, c, b in found]
    np.testing.assert_allclose(rows[: len(want)], np.reshape(want, (-1, 6)), rtol=1e-6)


def test_scores_that_are_no_numbers_are_never_kept():
    boxes = random_boxes(0, 4)
    scores = np.array([np.nan, -np.inf, -1.0, np.inf])
    got = ops.nms(boxes, scores, iou_threshold=1.0, max_outputs=4)
    np.testing.assert_array_equal(got, [3, 2, -1, -1])
    assert ops.nms(boxes[:0], scores[:0], iou_threshold=0.5, max_outputs=2).tolist() == [-1, -1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda b, s: ops.nms(b, s, iou_threshold=1.5, max_outputs=1), "0..1, got 1.5"),
        (lambda b, s: ops.nms(b[:2], s, iou_threshold=0.5, max_outputs=1), r"\(2, 4\), \(3,\)"),
        (lambda b, s: ops.soft_nms(b, s, max_outputs=1, sigma=0.0), "sigma > 0"),
        (lambda b, s: ops.soft_nms(b, -s, max_outputs=1), "not be negative"),
        (lambda b, s: ops.multiclass_nms(b, s[:, None]), r"\(3, 1\)"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((3, 4)), np.ones(3))
