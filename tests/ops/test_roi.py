"""Regions of interest, against torchvision's documented definitions written out in loops (T20)."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import ops
from tests.references import reference

torch = reference("torch")
H, W, C = 8, 12, 3  # stride 8 of a 64 x 96 image
BOXES = np.array(
    [
        [[3.0, 5, 60, 41], [0, 0, 95, 63], [20, 20, 27, 60]],
        [[80, 40, 120, 90], [-30, -9, 20.5, 30.2], [33, 17, 90, 19]],
    ],
    np.float32,
)
ODD = np.array([[[200, 200, 300, 300], [40, 40, 40, 40], [60, 30, 50, 20]]] * 2, np.float32)


def features():
    return np.random.default_rng(0).normal(size=(2, H, W, C)).astype(np.float32)


def half_away(x):
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def pool_by_hand(image, box, p, scale, disjoint):
    """torchvision's roi_pool: rounded corners, last cell included, floor and ceil, empty is 0."""
    x1, y1, x2, y2 = (half_away(float(c) * scale) for c in box)
    h, w = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)

    def limits(k, n, parts, start, size):
        low = -(-k * n // parts) if disjoint else k * n // parts
        high = -(-(k + 1) * n // parts)
        return (min(max(c + start, 0), size) for c in (low, high))

    rows = []
    for i in range(p[0]):
        top, bottom = limits(i, h, p[0], y1, image.shape[0])
        for j in range(p[1]):
            left, right = limits(j, w, p[1], x1, image.shape[1])
            cut = image[top:bottom, left:right]
            rows.append(cut.amax((0, 1)) if cut.numel() else torch.zeros(image.shape[2]))
    return torch.stack(rows).reshape(*p, -1)


def align_by_hand(image, box, p, scale, ratio, aligned):
    """torchvision's roi_align, sample by sample."""
    x1, y1, x2, y2 = (float(c) * scale - 0.5 * aligned for c in box)
    least = 0.0 if aligned else 1.0
    h, w = max(y2 - y1, least), max(x2 - x1, least)
    height, width = image.shape[:2]

    def sample(y, x):
        if y < -1 or y > height or x < -1 or x > width:
            return torch.zeros(image.shape[2])
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        i, j = min(int(y), height - 1), min(int(x), width - 1)
        i2, j2 = min(i + 1, height - 1), min(j + 1, width - 1)
        a, b = y - i, x - j
        upper = (1 - b) * image[i, j] + b * image[i, j2]
        return (1 - a) * upper + a * ((1 - b) * image[i2, j] + b * image[i2, j2])

    rows = []
    for i in range(p[0]):
        for j in range(p[1]):
            ys = [y1 + (i + (k + 0.5) / ratio) * h / p[0] for k in range(ratio)]
            xs = [x1 + (j + (k + 0.5) / ratio) * w / p[1] for k in range(ratio)]
            rows.append(torch.stack([sample(y, x) for y in ys for x in xs]).mean(0))
    return torch.stack(rows).reshape(*p, -1)


CASES = {
    "overlapping": (ops.roi_pool, {}, lambda *a: pool_by_hand(*a, False)),
    "disjoint": (ops.roi_pool, {"bins": "disjoint"}, lambda *a: pool_by_hand(*a, True)),
    "aligned": (ops.roi_align, {}, lambda *a: align_by_hand(*a, 2, True)),
    "not aligned": (
        ops.roi_align,
        {"aligned": False, "sampling_ratio": 3},
        lambda *a: align_by_hand(*a, 3, False),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("boxes", [BOXES, ODD], ids=["usual", "odd"])
def test_values_and_gradients_are_those_of_loops(case, boxes):
    op, options, by_hand = CASES[case]
    p, scale, x = (4, 3), 1 / 8, features()
    forward = jax.jit(lambda x: op(x, boxes, p, spatial_scale=scale, **options))
    y, vjp = jax.vjp(forward, x)
    g = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    tx = torch.tensor(x, requires_grad=True)
    want = [[by_hand(tx[b], box, p, scale) for box in boxes[b]] for b in range(2)]
    ty = torch.stack([torch.stack(row) for row in want])
    np.testing.assert_allclose(y, ty.detach(), atol=1e-5)
    if ty.requires_grad:
        ty.backward(torch.tensor(g))
    wanted = np.zeros_like(x) if tx.grad is None else tx.grad
    np.testing.assert_allclose(vjp(g)[0], wanted, atol=1e-4)
    flat, index = boxes.reshape(-1, 4)[::-1], np.array([1, 1, 1, 0, 0, 0])
    by_index = op(x, flat, p, spatial_scale=scale, image_index=index, **options)
    np.testing.assert_allclose(by_index[::-1].reshape(y.shape), y, atol=1e-6)


def test_bins_of_three_rows_in_two():
    """The notes give rows 1-2 and row 3 to two bins; torchvision shares the middle row."""
    x = jnp.array([[9.0, 8], [7, 6], [1, 2]])[None, :, :, None]
    box = jnp.array([[[0.0, 0, 1, 2]]])
    disjoint = ops.roi_pool(x, box, (2, 1), bins="disjoint")
    np.testing.assert_array_equal(disjoint.ravel(), [9, 2])
    np.testing.assert_array_equal(ops.roi_pool(x, box, (2, 1)).ravel(), [9, 7])
    empty = ops.roi_pool(x, box, (5, 1), bins="disjoint").ravel()  # 3 rows in 5 bins: two are empty
    np.testing.assert_array_equal(empty, [9, 7, 0, 2, 0])


def test_regions_outside_and_without_area():
    x = features() + 10
    outside, point, turned = ops.roi_pool(x, ODD, (2, 2), spatial_scale=1 / 8)[0]
    np.testing.assert_array_equal(outside, 0)
    np.testing.assert_array_equal(point, np.broadcast_to(x[0, 5, 5], (2, 2, C)))
    assert np.all(turned > 0)
    np.testing.assert_array_equal(ops.roi_align(x, ODD, (2, 2), spatial_scale=1 / 8)[0, 0], 0)
    slopes = jax.grad(lambda b: jnp.sum(ops.roi_align(x, b, (2, 2), spatial_scale=1 / 8)))(ODD)
    chex.assert_tree_all_finite(slopes)


def test_half_a_cell_of_alignment():
    """The mean over a box on a ramp is the ramp at its center; not aligned, half a cell off."""
    ramp = jnp.broadcast_to(jnp.arange(16.0)[None, None, :, None], (1, 16, 16, 1))
    box = jnp.array([[[4.0, 4, 10, 10]]])
    mean = jnp.mean(ops.roi_align(ramp, box, (3, 3)))
    np.testing.assert_allclose(mean, 6.5, atol=1e-5)  # cell 6 has its center at 6.5, box's at 7
    np.testing.assert_allclose(jnp.mean(ops.roi_align(ramp, box, (3, 3), aligned=False)), 7)


def test_boxes_have_the_gradient_of_alignment():
    x = np.cumsum(np.cumsum(features()[:1], axis=1), axis=2)
    jax.test_util.check_grads(
        lambda b: ops.roi_align(x, b, (2, 2)),
        (jnp.array([[[1.3, 1.2, 7.9, 6.1]]]),),
        order=1,
        modes=["rev"],
        eps=1e-3,
        atol=0.05,
        rtol=0.05,
    )


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: ops.roi_pool(x, BOXES[0], (2, 2)), r"\(3, 4\) and None"),
        (lambda x: ops.roi_pool(x, BOXES[:1], (2, 2)), r"\(1, 3, 4\)"),
        (lambda x: ops.roi_pool(x, BOXES, (0, 2)), r"\(0, 2\)"),
        (lambda x: ops.roi_pool(x, BOXES, (2, 2), bins="some"), "got 'some'"),
        (lambda x: ops.roi_align(x, BOXES, (2, 2), sampling_ratio=0), "at least 1"),
        (lambda x: ops.roi_align(x, BOXES[0], (2, 2), image_index=np.zeros(2, int)), r"\(2,\)"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(features())
