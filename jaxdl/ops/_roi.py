"""Features of regions of interest, each cut out of a feature map at one fixed size.

Both are products of one axis with the other: a bin is a range of rows and one of columns, and a
bilinear sample is a weight on rows and one on columns. So they are two masked maxima, or two matrix
products, for any number of regions.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.ops._anchors import each_image
from jaxdl.ops._boxes import coordinates


def roi_pool(
    features: ArrayLike,
    boxes: ArrayLike,
    output_size: tuple[int, int],
    *,
    spatial_scale: float = 1.0,
    image_index: ArrayLike | None = None,
    bins: Literal["overlapping", "disjoint"] = "overlapping",
) -> jax.Array:
    """Maximum over a grid of bins of whole cells (Fast R-CNN).

    >>> map_ = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> roi_pool(map_, jnp.array([[[0.0, 0.0, 3.0, 3.0]]]), (2, 2))[0, 0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]

    Corners are scaled and rounded, half away from 0, to the first and the last cell of a region, so
    that it is `n = last - first + 1` cells wide, and at least 1. Of p bins, bin k is
    `floor(k n / p) .. ceil((k + 1) n / p) - 1`, as in torchvision: neighbors share a cell where p
    does not divide n. Disjoint bins are `ceil(k n / p) .. ceil((k + 1) n / p) - 1`: 3 cells in 2
    bins are 2 and 1. Bins are computed in integers.

    Args:
        features: `[B, H, W, C]`.
        boxes: `[B, R, 4]`, or `[R, 4]` with `image_index`: x1, y1, x2, y2.
        output_size: p of rows and of columns.
        spatial_scale: cells per unit of the boxes: 1/16 for pixels and a stride of 16.
        image_index: integers `[R]`, the image of each box.
        bins: see above.
    Returns: `[B, R, *output_size, C]`, or `[R, *output_size, C]`. Empty bins, those outside the
        map or of fewer cells than bins, are 0. Equal maxima share the gradient, boxes have none.
    Raises: ValueError if the shapes do not fit or the size is not positive.
    Reference: Girshick 2015, arXiv:1504.08083, sec. 2.1.
    """
    if bins not in ("overlapping", "disjoint"):
        raise ValueError(f"bins must be 'overlapping' or 'disjoint', got {bins!r}")
    options = tuple(output_size), spatial_scale, bins
    return _regions(_pool, options, *_arguments(features, boxes, output_size, image_index))


def roi_align(
    features: ArrayLike,
    boxes: ArrayLike,
    output_size: tuple[int, int],
    *,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = True,
    image_index: ArrayLike | None = None,
) -> jax.Array:
    """Mean of bilinear samples on a regular grid in each bin (Mask R-CNN); nothing is rounded.

    >>> map_ = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> roi_align(map_, jnp.array([[[0.0, 0.0, 4.0, 4.0]]]), (2, 2))[0, 0, :, :, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]

    Args:
        features, boxes, output_size, spatial_scale, image_index: as `roi_pool`.
        sampling_ratio: samples a bin along each axis, at least 1. torchvision's default of -1, as
            many as the bin has cells, depends on the boxes and is not offered.
        aligned: the center of cell i is at `i + 1/2`, as boxes in pixels have it. If False it is at
            i, half a cell off, and regions are at least one cell wide: the first version.
    Returns: as `roi_pool`. A sample more than one cell outside the centers is 0, one less far takes
        the border. A region without area samples its point (its corner). Gradients reach features
        and boxes.
    Raises: as `roi_pool`, or if sampling_ratio < 1.
    Reference: He et al. 2017, arXiv:1703.06870, sec. 3; torchvision.ops.roi_align.
    """
    if sampling_ratio < 1:
        raise ValueError(f"sampling_ratio must be at least 1, got {sampling_ratio}")
    options = tuple(output_size), spatial_scale, sampling_ratio, aligned
    return _regions(_align, options, *_arguments(features, boxes, output_size, image_index))


def _pool(
    image: jax.Array, corners: jax.Array, size: tuple[int, int], spatial_scale: float, bins: str
) -> jax.Array:
    x1, y1, x2, y2 = _rounded(corners * spatial_scale)
    rows = _bin_mask(y1, y2, size[0], image.shape[0], bins)
    columns = _bin_mask(x1, x2, size[1], image.shape[1], bins)
    least = jnp.array(-jnp.inf, image.dtype)
    pooled = jnp.max(jnp.where(rows[:, :, None, None], image[None], least), axis=1)
    pooled = jnp.max(jnp.where(columns[None, :, :, None], pooled[:, None], least), axis=2)
    some = jnp.any(rows, axis=1)[:, None] & jnp.any(columns, axis=1)[None]
    return jnp.where(some[..., None], pooled, 0)


def _align(
    image: jax.Array,
    corners: jax.Array,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> jax.Array:
    def weights(low: jax.Array, high: jax.Array, num_bins: int, num_cells: int) -> jax.Array:
        """`[bins, cells]`: the weight of each row (or column) in each bin."""
        low, high = (c * spatial_scale - (0.5 if aligned else 0.0) for c in (low, high))
        extent = jnp.maximum(high - low, 0.0 if aligned else 1.0)
        num_samples = num_bins * sampling_ratio
        at = low + (jnp.arange(num_samples) + 0.5) / num_samples * extent
        inside = (at >= -1) & (at <= num_cells)
        distance = jnp.clip(at, 0, num_cells - 1)[:, None] - jnp.arange(num_cells)[None]
        hat = jnp.where(inside[:, None], jax.nn.relu(1 - jnp.abs(distance)), 0)
        return jnp.mean(hat.reshape(num_bins, sampling_ratio, num_cells), axis=1)

    x1, y1, x2, y2 = corners
    rows = weights(y1, y2, size[0], image.shape[0])
    columns = weights(x1, x2, size[1], image.shape[1])
    wide = image.astype(rows.dtype)  # means of bfloat16 are added up in float32
    means = jnp.einsum("ph,hwc,qw->pqc", rows, wide, columns, precision=jax.lax.Precision.HIGHEST)
    return means.astype(image.dtype)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _regions(
    one: Callable[..., jax.Array],
    options: tuple,
    features: jax.Array,
    corners: jax.Array,
    index: jax.Array | None,
) -> jax.Array:
    """`one(image [H, W, C], corners [4], *options)` for every box of every image."""
    if index is None:
        each = jax.vmap(lambda image, box: one(image, box, *options), (None, 0))
        return each_image(each, 1, features, corners)
    return each_image(lambda box, i: one(features[i], box, *options), 1, corners, index)


def _arguments(
    features: ArrayLike,
    boxes: ArrayLike,
    output_size: tuple[int, int],
    image_index: ArrayLike | None,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    features = jnp.asarray(features)
    corners = jnp.stack(coordinates("boxes", boxes), axis=-1)
    index = None if image_index is None else jnp.asarray(image_index)
    lead = features.shape[:1] if index is None else index.shape
    if (
        features.ndim != 4
        or corners.ndim != (3 if index is None else 2)
        or corners.shape[:1] != lead
    ):
        raise ValueError(
            "need features [B, H, W, C] and boxes [B, R, 4], or boxes [R, 4] and image_index [R], "
            f"got {features.shape}, {corners.shape} and {None if index is None else index.shape}"
        )
    if min(output_size) < 1 or 0 in features.shape:
        raise ValueError(f"need a positive size and features, got {output_size}, {features.shape}")
    return features, corners, index


def _rounded(values: jax.Array) -> jax.Array:
    """The nearest integer, half away from 0, as C's round; int32."""
    nearest = jnp.sign(values) * jnp.floor(jnp.abs(values) + 0.5)
    return jnp.clip(nearest, -(2**20), 2**20).astype(jnp.int32)


def _bin_mask(first: jax.Array, last: jax.Array, num_bins: int, size: int, bins: str) -> jax.Array:
    """Boolean `[bins, size]`: the cells of each bin along one axis."""
    cells = jnp.maximum(last - first + 1, 1)
    k = jnp.arange(num_bins)
    end = -(-(k + 1) * cells // num_bins)
    start = k * cells // num_bins if bins == "overlapping" else -(-k * cells // num_bins)
    at = jnp.arange(size)[None] - first
    return (start[:, None] <= at) & (at < end[:, None])
