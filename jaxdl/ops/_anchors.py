"""Anchors: their layout, which ground truth each is matched to, and offsets between boxes.

N anchors, M ground-truth boxes (padded, with a mask), B images. Boxes are x1, y1, x2, y2 in shares
of the image's width and height.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxdl.ops._boxes import box_iou, coordinates
from jaxdl.ops._vectorize import vectorized

VARIANCES = (0.1, 0.2)  # of the center, in anchor sizes, and of the logarithm of the size
LOG_RATIO_MAX = 16.0  # e^16: decoded boxes stay finite whatever a network says


def anchor_boxes(
    height: int,
    width: int,
    sizes: Sequence[float],
    ratios: Sequence[float],
    *,
    aspect: float = 1.0,
) -> jax.Array:
    """Anchors of n sizes and m ratios, n + m - 1 around the center of each cell of a grid.

    Their order is (s1, r1), (s1, r2), ..., (s1, rm), (s2, r1), ..., (sn, r1), cells row by row, and
    `w = s sqrt(r) / aspect`, `h = s / sqrt(r)`, both in shares of the image.

    >>> anchor_boxes(1, 1, [0.5], [1.0, 4.0])
    Array([[ 0.25 ,  0.25 ,  0.75 ,  0.75 ],
           [ 0.   ,  0.375,  1.   ,  0.625]], dtype=float32)

    Args:
        height, width: cells of the grid, the size of a feature map.
        sizes: side of the square of equal area, in shares (of the image's height if `aspect` is
            its own).
        ratios: width over height.
        aspect: width over height of the image, so that ratio 1 is a square of pixels, which the
            D2L book's code takes from the feature map; 1 gives the book's formula, shares alone.
    Returns: `[height * width * (n + m - 1), 4]`; those at the border hang over it.
    Raises: ValueError if there is no cell, size or ratio, or a number is not positive.
    """
    pairs = _pairs(sizes, ratios)
    if aspect <= 0:
        raise ValueError(f"aspect must be positive, got {aspect}")
    widths = [s * math.sqrt(r) / aspect for s, r in pairs]
    return _lay(height, width, widths, [s / math.sqrt(r) for s, r in pairs])


def cell_anchor_boxes(
    height: int, width: int, sizes: Sequence[float], ratios: Sequence[float]
) -> jax.Array:
    """Anchors measured in cells: `h = s sqrt(r) / height`, `w = s / sqrt(r) / width`.

    A size of 1 is one cell of the grid, and the ratio is height over width (in cells). Else as
    `anchor_boxes`.

    >>> cell_anchor_boxes(1, 2, [1.0], [1.0])
    Array([[0. , 0. , 0.5, 1. ],
           [0.5, 0. , 1. , 1. ]], dtype=float32)
    """
    pairs = _pairs(sizes, ratios)
    widths = [s / math.sqrt(r) / width for s, r in pairs]
    return _lay(height, width, widths, [s * math.sqrt(r) / height for s, r in pairs])


def pyramid_anchor_boxes(
    maps: Sequence[tuple[int, int]],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[Sequence[float]],
    *,
    aspect: float = 1.0,
) -> jax.Array:
    """`anchor_boxes` of several feature maps `(height, width)`, one after the other.

    >>> pyramid_anchor_boxes([(2, 2), (1, 1)], [[0.5], [1.0]], [[1.0], [1.0, 2.0]]).shape
    (6, 4)

    Args: one entry a map in each; `aspect` as there.
    Raises: ValueError if the lengths differ.
    """
    if not len(maps) == len(sizes) == len(ratios):
        raise ValueError(
            f"need sizes and ratios of each of {len(maps)} maps, got {len(sizes)} and {len(ratios)}"
        )
    levels = zip(maps, sizes, ratios, strict=True)
    return jnp.concatenate([anchor_boxes(*hw, s, r, aspect=aspect) for hw, s, r in levels])


def match_anchors(
    anchors: ArrayLike,
    boxes: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    iou_threshold: float = 0.5,
) -> jax.Array:
    """The ground-truth box each anchor answers for, or -1.

    First each box gets an anchor of its own: the greatest IoU of all pairs is taken, its anchor and
    its box are out, and so on until boxes or anchors run out. Then every other anchor gets the box
    of its greatest IoU, if that is at least the threshold. Among equals the lower anchor comes
    first, then the lower box. A box that is padding, has no area or meets no anchor gets none.

    >>> anchors = jnp.array([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    >>> match_anchors(anchors, jnp.array([[0.6, 0.0, 1.0, 1.0]]))
    Array([-1, 0], dtype=int32)

    Args:
        anchors: `[N, 4]`.
        boxes: `[M, 4]` or `[B, M, 4]`.
        mask: boolean `[M]` or `[B, M]`, False where a box is padding.
        iou_threshold: above 0, at most 1.
    Returns: int32 `[N]` or `[B, N]`: an index into the boxes, or -1 for background.
    Raises: ValueError if the shapes do not fit or the threshold is outside (0, 1].
    Reference: Liu et al. 2016, SSD, arXiv:1512.02325, sec. 2.2.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must lie in (0, 1], got {iou_threshold}")
    anchors, boxes = jnp.asarray(anchors), jnp.asarray(boxes)
    if anchors.ndim != 2 or boxes.ndim not in (2, 3):
        raise ValueError(
            f"need anchors [N, 4] and boxes [M, 4] or [B, M, 4], got {anchors.shape}, {boxes.shape}"
        )
    mask = jnp.ones(boxes.shape[:-1], bool) if mask is None else jnp.asarray(mask)
    if mask.shape != boxes.shape[:-1] or mask.dtype != bool:
        raise ValueError(
            f"mask must be boolean of shape {boxes.shape[:-1]}, got {mask.dtype} {mask.shape}"
        )

    return _match_images(anchors, boxes, mask, iou_threshold)


class AnchorTargets(NamedTuple):
    """What each anchor is to predict."""

    classes: jax.Array  # int32 [..., N]: 0 background, else 1 + the label of its box
    offsets: jax.Array  # [..., N, 4], see `encode_boxes`; 0 for background
    positive: jax.Array  # bool [..., N]: the anchor answers for a box


def anchor_targets(
    anchors: ArrayLike,
    boxes: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    iou_threshold: float = 0.5,
    variances: tuple[float, float] = VARIANCES,
) -> AnchorTargets:
    """Classes and offsets of anchors `[N, 4]` for the boxes of an image, or of each of B.

    >>> anchors = jnp.array([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    >>> anchor_targets(anchors, jnp.array([[0.6, 0.0, 1.0, 1.0]]), jnp.array([4])).classes
    Array([0, 5], dtype=int32)

    Args:
        anchors, boxes, mask, iou_threshold: as `match_anchors`.
        labels: integers `[M]` or `[B, M]`, 0..K-1 without background; negative ones are padding,
            as what the mask leaves out.
        variances: as `encode_boxes`.
    Raises: ValueError as `match_anchors`, or if the labels do not fit the boxes.
    """
    boxes, labels = jnp.asarray(boxes), jnp.asarray(labels)
    if labels.shape != boxes.shape[:-1]:
        raise ValueError(f"need one label a box {boxes.shape[:-1]}, got {labels.shape}")
    real = labels >= 0 if mask is None else (labels >= 0) & jnp.asarray(mask)
    matched = match_anchors(anchors, boxes, real, iou_threshold=iou_threshold)
    positive = matched >= 0
    if boxes.shape[-2] == 0:
        nothing = jnp.zeros((*matched.shape, 4), jnp.promote_types(boxes.dtype, jnp.float32))
        return AnchorTargets(jnp.zeros_like(matched), nothing, positive)
    index = jnp.maximum(matched, 0)
    classes = jnp.where(positive, 1 + jnp.take_along_axis(labels, index, axis=-1), 0)
    own = jnp.take_along_axis(boxes, index[..., None], axis=-2)
    anchors = jnp.broadcast_to(jnp.asarray(anchors), own.shape)
    offsets = jnp.where(positive[..., None], encode_boxes(own, anchors, variances=variances), 0)
    return AnchorTargets(classes.astype(jnp.int32), offsets, positive)


def encode_boxes(
    boxes: ArrayLike, anchors: ArrayLike, *, variances: tuple[float, float] = VARIANCES
) -> jax.Array:
    """Offsets `((cx - ax) / aw, (cy - ay) / ah) / v0, (ln(w / aw), ln(h / ah)) / v1`.

    >>> anchor = jnp.array([0.0, 0.0, 1.0, 1.0])
    >>> encode_boxes(jnp.array([0.1, 0.0, 1.1, 1.0]), anchor)
    Array([1., 0., 0., 0.], dtype=float32)

    Args:
        boxes, anchors: one shape `[..., 4]`, corners.
        variances: v0 and v1.
    Returns: `[..., 4]`, the inverse of `decode_boxes`; 0 where one of the two has no area.
    Raises: ValueError if the shapes differ.
    """
    (cx, cy, w, h), (ax, ay, aw, ah) = _centers(boxes, anchors)
    some = (w > 0) & (h > 0) & (aw > 0) & (ah > 0)
    w, h, aw, ah = (jnp.where(some, side, 1) for side in (w, h, aw, ah))
    v0, v1 = variances
    shift = (cx - ax) / aw / v0, (cy - ay) / ah / v0
    offsets = jnp.stack([*shift, jnp.log(w / aw) / v1, jnp.log(h / ah) / v1], axis=-1)
    return jnp.where(some[..., None], offsets, 0)


def decode_boxes(
    offsets: ArrayLike, anchors: ArrayLike, *, variances: tuple[float, float] = VARIANCES
) -> jax.Array:
    """Boxes `[..., 4]` from offsets of anchors, corners: the inverse of `encode_boxes`.

    A side is at most e^16 times its anchor's, so that boxes stay finite.

    >>> decode_boxes(jnp.array([1.0, 0.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 1.0, 1.0]))
    Array([0.1, 0., 1.1, 1.], dtype=float32)

    Raises: ValueError if the shapes differ.
    """
    dx, dy, dw, dh = coordinates("offsets", offsets)
    _, (ax, ay, aw, ah) = _centers(offsets, anchors)
    v0, v1 = variances
    cx, cy = ax + dx * v0 * aw, ay + dy * v0 * ah
    w, h = (side * jnp.exp(jnp.minimum(d * v1, LOG_RATIO_MAX)) for d, side in ((dw, aw), (dh, ah)))
    return jnp.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=-1)


def first_argmax(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The maximum over the last axis and its first index, as two reductions.

    XLA's argmax is a scalar loop on a CPU. The values are no NaN.
    """
    size = values.shape[-1]
    best = jnp.max(values, axis=-1)
    index = lax.broadcasted_iota(jnp.int32, values.shape, values.ndim - 1)
    return best, jnp.min(jnp.where(values == best[..., None], index, size), axis=-1)


def each_image(function: Callable, batch_axes: int, *args: jax.Array):
    """`function` of one image over the leading axes of a batch.

    One image after the other on a CPU, where a loop then ends early for each and the arrays stay in
    the cache, all at once elsewhere.
    """
    for _ in range(batch_axes):
        function = _mapped(function)
    return function(*args)


def _mapped(function: Callable) -> Callable:
    return lambda *args: vectorized(lambda image: function(*image), args)


@jax.jit
def _match_images(
    anchors: jax.Array, boxes: jax.Array, mask: jax.Array, iou_threshold: ArrayLike
) -> jax.Array:
    def match(boxes: jax.Array, mask: jax.Array) -> jax.Array:
        # Padding becomes boxes without area, of IoU 0; a mask over all pairs would cost most of it.
        iou = box_iou(jnp.where(mask[:, None], boxes, 0), anchors)  # [M, N], anchors along lanes
        return _match(iou, iou_threshold)

    return each_image(match, boxes.ndim - 2, boxes, mask)


def _match(iou: jax.Array, iou_threshold: ArrayLike) -> jax.Array:
    """`match_anchors` from the IoU `[M, N]`, 0 where there is no match to make."""
    num_boxes, num_anchors = iou.shape
    if not num_boxes or not num_anchors:
        return jnp.full(num_anchors, -1, jnp.int32)

    # Each box keeps its best anchor. Taking anchors away can only lower a best, so the greatest of
    # them is the greatest free pair unless its anchor is taken; only then is its row read again.
    # (Masks in place of indexed updates: a scatter is a loop of its own on a CPU.)
    boxes, anchors = jnp.arange(num_boxes), jnp.arange(num_anchors)

    def step(state):
        best, anchor, matched = state
        first = jnp.min(jnp.where(best == jnp.max(best), anchor, num_anchors))
        box = jnp.min(jnp.where((best == jnp.max(best)) & (anchor == first), boxes, num_boxes))
        free = lax.dynamic_index_in_dim(matched, first, keepdims=False) < 0

        def look_again():
            row = lax.dynamic_index_in_dim(iou, box, keepdims=False)
            return first_argmax(jnp.where(matched < 0, row, 0))

        value, again = lax.cond(free, lambda: (jnp.zeros((), iou.dtype), first), look_again)
        return (
            jnp.where(boxes == box, value, best),
            jnp.where(boxes == box, again, anchor),
            jnp.where(free & (anchors == first), box, matched),
        )

    empty = jnp.full(num_anchors, -1, jnp.int32)
    start = (*first_argmax(iou), empty)
    _, _, matched = lax.while_loop(lambda state: jnp.max(state[0]) > 0, step, start)
    best = jnp.max(iou, axis=0)
    rows = lax.broadcasted_iota(jnp.int32, iou.shape, 0)
    box = jnp.min(jnp.where(iou == best[None], rows, num_boxes), axis=0)
    return jnp.where(matched >= 0, matched, jnp.where(best >= iou_threshold, box, -1))


def _pairs(sizes: Sequence[float], ratios: Sequence[float]) -> list[tuple[float, float]]:
    if not sizes or not ratios or min(*sizes, *ratios) <= 0:
        raise ValueError(f"need positive sizes and ratios, got {sizes} and {ratios}")
    return [(sizes[0], r) for r in ratios] + [(s, ratios[0]) for s in sizes[1:]]


def _lay(height: int, width: int, widths: list[float], heights: list[float]) -> jax.Array:
    if height < 1 or width < 1:
        raise ValueError(f"need a grid of at least 1 x 1 cells, got {height} x {width}")
    y, x = np.meshgrid(
        (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
    )
    center = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
    half = np.stack([widths, heights], axis=-1) / 2
    boxes = center + np.concatenate([-half, half], axis=-1)[None]
    return jnp.asarray(boxes.reshape(-1, 4), jnp.float32)


def _centers(boxes: ArrayLike, anchors: ArrayLike):
    if jnp.shape(boxes) != jnp.shape(anchors):
        raise ValueError(
            f"need one anchor a box, got shapes {jnp.shape(boxes)} and {jnp.shape(anchors)}"
        )
    return tuple(
        ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
        for x1, y1, x2, y2 in (coordinates("boxes", boxes), coordinates("anchors", anchors))
    )
