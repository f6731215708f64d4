"""Boxes `[..., 4]`: x1, y1, x2, y2 with x to the right and y down, in any one unit.

A box is the region between its corners, without the +1 of integer pixels, as in torchvision.ops.
One with x2 <= x1 or y2 <= y1 has no area: its IoU with everything is 0, with gradients of 0.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl import _checks


def box_xyxy_to_cxcywh(boxes: ArrayLike) -> jax.Array:
    """Corners `[..., 4]` x1, y1, x2, y2 to center, width, height: cx, cy, w, h.

    >>> box_xyxy_to_cxcywh(jnp.array([0.0, 0.0, 4.0, 2.0]))
    Array([2., 1., 4., 2.], dtype=float32)
    """
    x1, y1, x2, y2 = coordinates("boxes", boxes)
    return jnp.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)


def box_cxcywh_to_xyxy(boxes: ArrayLike) -> jax.Array:
    """Center, width, height `[..., 4]` cx, cy, w, h to corners: x1, y1, x2, y2.

    >>> box_cxcywh_to_xyxy(jnp.array([2.0, 1.0, 4.0, 2.0]))
    Array([0., 0., 4., 2.], dtype=float32)
    """
    cx, cy, w, h = coordinates("boxes", boxes)
    return jnp.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=-1)


def box_area(boxes: ArrayLike) -> jax.Array:
    """`(x2 - x1) (y2 - y1)` of boxes `[..., 4]`, and 0 where a side is not positive.

    >>> box_area(jnp.array([[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 0.0, 2.0]]))
    Array([8., 0.], dtype=float32)
    """
    return _area(*coordinates("boxes", boxes))


def clip_boxes(boxes: ArrayLike, height: ArrayLike = 1.0, width: ArrayLike = 1.0) -> jax.Array:
    """Boxes `[..., 4]` cut at an image of `height` and `width`; one outside of it keeps no area.

    >>> clip_boxes(jnp.array([-0.5, 0.25, 0.5, 1.5]))
    Array([0., 0.25, 0.5, 1.], dtype=float32)
    """
    x1, y1, x2, y2 = coordinates("boxes", boxes)
    x1, x2 = (jnp.clip(x, 0, width) for x in (x1, x2))
    y1, y2 = (jnp.clip(y, 0, height) for y in (y1, y2))
    return jnp.stack([x1, y1, x2, y2], axis=-1)


def box_iou(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """Intersection over union of every pair, `|A n B| / |A u B|`.

    >>> box_iou(jnp.array([[0.0, 0.0, 2.0, 1.0]]), jnp.array([[1.0, 0.0, 3.0, 1.0]]))
    Array([[0.33333334]], dtype=float32)

    Args:
        a: `[..., N, 4]`, computed in float32 or wider.
        b: `[..., M, 4]`, with the same leading axes.
    Returns: `[..., N, M]` in 0..1; 0 where one of the two has no area.
    Raises: ValueError if the shapes do not fit.
    """
    intersection, union, _, _ = _pairs(a, b)
    return ratio(intersection, union)


def generalized_box_iou(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """GIoU of every pair, `IoU - (|hull| - |A u B|) / |hull|`, hull the least box around both.

    >>> beside_and_far = jnp.array([[1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0]])
    >>> generalized_box_iou(jnp.array([[0.0, 0.0, 1.0, 1.0]]), beside_and_far)
    Array([[0., -0.5]], dtype=float32)

    Args, Raises: as `box_iou`.
    Returns: `[..., N, M]` in -1..1; the second term is 0 where the hull has no area.
    Reference: Rezatofighi et al. 2019, arXiv:1902.09630.
    """
    intersection, union, (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = _pairs(a, b)
    hull = _area(
        jnp.minimum(ax1, bx1), jnp.minimum(ay1, by1), jnp.maximum(ax2, bx2), jnp.maximum(ay2, by2)
    )
    return ratio(intersection, union) - ratio(hull - union, hull)


def box_ioa(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """Share of each box of `a` that lies in each of `b`, `|A n B| / |A|`.

    >>> box_ioa(jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[0.0, 0.0, 0.5, 2.0]]))
    Array([[0.5]], dtype=float32)

    Args, Raises: as `box_iou`.
    Returns: `[..., N, M]` in 0..1; 0 where one of the two has no area.
    """
    intersection, _, a_corners, _ = _pairs(a, b)
    return ratio(intersection, _area(*a_corners))


def coordinates(name: str, boxes: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The four numbers of `[..., 4]` as four arrays `[...]`, in float32 or wider."""
    if jnp.ndim(boxes) == 0 or jnp.shape(boxes)[-1] != 4:
        raise ValueError(f"{name} need a last axis of 4 numbers, got shape {jnp.shape(boxes)}")
    x1, y1, x2, y2 = jnp.moveaxis(_checks.wide(boxes), -1, 0)
    return x1, y1, x2, y2


def ratio(part: jax.Array, whole: jax.Array) -> jax.Array:
    """`part / whole`, and 0 with gradients of 0 where the whole is not positive."""
    some = whole > 0
    return jnp.where(some, part / jnp.where(some, whole, 1), 0)


def _area(x1: jax.Array, y1: jax.Array, x2: jax.Array, y2: jax.Array) -> jax.Array:
    return jax.nn.relu(x2 - x1) * jax.nn.relu(y2 - y1)


def _pairs(a: ArrayLike, b: ArrayLike):
    """Intersection and union `[..., N, M]`, and the corners of both, shaped to broadcast."""
    if jnp.ndim(a) < 2 or jnp.shape(a)[:-2] != jnp.shape(b)[:-2]:
        raise ValueError(
            "need boxes [..., N, 4] and [..., M, 4] with equal leading axes, "
            f"got {jnp.shape(a)} and {jnp.shape(b)}"
        )
    ax1, ay1, ax2, ay2 = a_corners = tuple(c[..., :, None] for c in coordinates("boxes", a))
    bx1, by1, bx2, by2 = b_corners = tuple(c[..., None, :] for c in coordinates("boxes", b))
    intersection = _area(
        jnp.maximum(ax1, bx1), jnp.maximum(ay1, by1), jnp.minimum(ax2, bx2), jnp.minimum(ay2, by2)
    )
    union = _area(*a_corners) + _area(*b_corners) - intersection
    return intersection, union, a_corners, b_corners
