"""Augmentation inside the compiled step: one key per example, boxes and masks move along.

    crop = functools.partial(data.images.random_resized_crop, size=(32, 32))
    augment = data.images.augmentation(data.images.random_flip, crop, data.images.random_color)
    batch = augment(key, batch)  # or keys [B], one for each example

A transform is a pure function `(key, example) -> example` of one example, a dict of
    image         float `[H, W, C]` in 0..1 (see `to_unit`)
    boxes         optional, `[N, 4]`: x1, y1, x2, y2 as shares of width and height
    segmentation  optional, labels `[H, W]`
Boxes are cut at the border; one that leaves the image altogether keeps no area.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxdl import ops

Example = dict[str, jax.Array]
Transform = Callable[[jax.Array, Example], Example]


def augmentation(*transforms: Transform) -> Callable[[jax.Array, Example], Example]:
    """Chains transforms of one example into a function of a key and a batch.

    The function takes one key, from which example i gets `fold_in(key, i)`, or keys `[B]`, with
    which an example comes out the same however the examples are split into batches. Columns other
    than image, boxes and segmentation pass through.

    >>> import functools
    >>> augment = jax.jit(augmentation(functools.partial(random_flip, probability=1.0)))
    >>> batch = {"image": jnp.arange(4.0).reshape(2, 1, 2, 1), "label": jnp.array([7, 8])}
    >>> augment(jax.random.key(0), batch)["image"][:, 0, :, 0]
    Array([[1., 0.],
           [3., 2.]], dtype=float32)

    Raises: ValueError, when called, unless images are float `[B, H, W, C]` and keys one or `[B]`.
    """

    def augment(key: jax.Array, batch: Example) -> Example:
        image = batch["image"]
        if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
            raise ValueError(
                f"need float images [B, H, W, C] in 0..1, got {image.dtype} {image.shape}; "
                "see data.images.to_unit"
            )
        keys = key
        if key.ndim == 0:
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(image)))
        elif key.shape != image.shape[:1]:
            raise ValueError(f"need one key or {len(image)}, one an example, got {key.shape}")

        def one(key: jax.Array, example: Example) -> Example:
            for number, transform in enumerate(transforms):
                example = transform(jax.random.fold_in(key, number), example)
            return example

        moved = {n: a for n, a in batch.items() if n in ("image", "boxes", "segmentation")}
        return {**batch, **jax.vmap(one)(keys, moved)}

    return augment


def random_flip(
    key: jax.Array, example: Example, *, vertical: bool = False, probability: float = 0.5
) -> Example:
    """Mirrors left and right (or top and bottom, if `vertical`) with `probability`.

    >>> example = {"image": jnp.arange(3.0).reshape(1, 3, 1), "boxes": jnp.array([[0, 0, 0.2, 1]])}
    >>> flipped = random_flip(jax.random.key(0), example, probability=1.0)
    >>> flipped["image"].ravel(), flipped["boxes"]
    (Array([2., 1., 0.], dtype=float32), Array([[0.8, 0. , 1. , 1. ]], dtype=float32))

    Raises: ValueError if `probability` is not in 0..1.
    """
    flip = jax.random.uniform(key) < _share("probability", probability)
    axis = 0 if vertical else 1

    def mirror(array: jax.Array) -> jax.Array:
        return jnp.where(flip, jnp.flip(array, axis), array)

    moved = {n: mirror(a) for n, a in example.items() if n != "boxes"}
    if "boxes" in example:
        x1, y1, x2, y2 = example["boxes"].T
        turned = (x1, 1 - y2, x2, 1 - y1) if vertical else (1 - x2, y1, 1 - x1, y2)
        moved["boxes"] = jnp.where(flip, jnp.stack(turned, axis=-1), example["boxes"])
    return moved


def random_crop(
    key: jax.Array,
    example: Example,
    *,
    size: Sequence[int],
    fill: float = 0.0,
    fill_label: int = 255,
) -> Example:
    """Cuts out `size` pixels at a random place, without stretching.

    A side of the image that is shorter is not dropped: all of it lies at a random place in the
    crop.

    >>> example = {"image": jnp.arange(12.0).reshape(2, 6, 1)}
    >>> cut = random_crop(jax.random.key(0), example, size=(2, 3))["image"][..., 0]
    >>> cut - cut[0, 0]  # neighbors stay neighbors
    Array([[0., 1., 2.],
           [6., 7., 8.]], dtype=float32)

    Args:
        size: height and width of the crop.
        fill, fill_label: what lies around a smaller image, and its label, void by default.
    Raises: ValueError unless `size` is two numbers of at least 1.
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width), each at least 1, got {tuple(size)}")
    sides = example["image"].shape[:2]
    margins = [max(n - side, 0) for n, side in zip(size, sides, strict=True)]
    top, left = (
        jax.random.randint(k, (), 0, abs(n - side) + 1)
        for k, n, side in zip(jax.random.split(key), size, sides, strict=True)
    )

    def cut(array: jax.Array, fill: float) -> jax.Array:
        rest = array.ndim - 2
        pads = [(m, m) for m in margins] + [(0, 0)] * rest
        array = jnp.pad(array, pads, constant_values=fill)
        return jax.lax.dynamic_slice(array, (top, left, *[0] * rest), (*size, *array.shape[2:]))

    moved = {"image": cut(example["image"], fill)}
    if "segmentation" in example:
        moved["segmentation"] = cut(example["segmentation"], fill_label)
    if "boxes" in example:
        start = jnp.array([left - margins[1], top - margins[0]] * 2)
        old, new = (jnp.array([side[1], side[0]] * 2) for side in (sides, size))
        moved["boxes"] = jnp.clip((example["boxes"] * old[None] - start[None]) / new[None], 0, 1)
    return moved


def random_resized_crop(
    key: jax.Array,
    example: Example,
    *,
    size: Sequence[int],
    area: tuple[float, float] = (0.1, 1.0),
    ratio: tuple[float, float] = (0.5, 2.0),
) -> Example:
    """Cuts out a random part and stretches it to `size`.

    The part's share of the area is uniform in `area`, its width over height log-uniform in `ratio`;
    a side that would be longer than the image's is shortened to it. Interpolation is linear,
    smoothed where the part is larger than `size`: one product of matrices an axis, no gather.

    >>> example = {"image": jnp.ones((8, 12, 3)), "boxes": jnp.array([[0.0, 0.0, 1.0, 1.0]])}
    >>> crop = jax.jit(lambda key: random_resized_crop(key, example, size=(4, 4)))
    >>> crop(jax.random.key(0))["image"].shape, crop(jax.random.key(0))["boxes"]
    ((4, 4, 3), Array([[0., 0., 1., 1.]], dtype=float32))

    Raises: ValueError if `area` or `ratio` falls or is out of range.
    """
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"area must rise within (0, 1], got {area}")
    if not 0 < ratio[0] <= ratio[1] < math.inf:
        raise ValueError(f"ratio must rise and be positive, got {ratio}")
    H, W, _ = example["image"].shape
    pick_area, pick_ratio, pick_y, pick_x = jax.random.uniform(key, (4,))
    pixels = H * W * (area[0] + pick_area * (area[1] - area[0]))
    shape = jnp.exp(math.log(ratio[0]) + pick_ratio * math.log(ratio[1] / ratio[0]))
    height = jnp.minimum(jnp.sqrt(pixels / shape), H)
    width = jnp.minimum(jnp.sqrt(pixels * shape), W)
    top, left = pick_y * (H - height), pick_x * (W - width)

    rows = _interpolation(H, size[0], top, height)  # [h, H]
    columns = _interpolation(W, size[1], left, width)  # [w, W]
    image = jnp.einsum("hH,HWC->hWC", rows, example["image"])
    moved = {"image": jnp.einsum("wW,hWC->hwC", columns, image)}
    if "boxes" in example:
        x1, y1, x2, y2 = example["boxes"].T
        x1, x2 = (jnp.clip((x * W - left) / width, 0, 1) for x in (x1, x2))
        y1, y2 = (jnp.clip((y * H - top) / height, 0, 1) for y in (y1, y2))
        moved["boxes"] = jnp.stack([x1, y1, x2, y2], axis=-1)
    if "segmentation" in example:
        i = jnp.clip(_source(size[0], top, height).round().astype(int), 0, H - 1)
        j = jnp.clip(_source(size[1], left, width).round().astype(int), 0, W - 1)
        moved["segmentation"] = example["segmentation"][i[:, None], j[None]]
    return moved


def random_affine(
    key: jax.Array,
    example: Example,
    *,
    degrees: float = 0.0,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    fill: float = 0.0,
    fill_label: int = 0,
) -> Example:
    """Turns, moves and scales about the center, all in one resampling.

    >>> example = {"image": jnp.zeros((8, 8, 1)), "boxes": jnp.array([[0.25, 0.25, 0.5, 0.5]])}
    >>> enlarge = jax.jit(lambda key: random_affine(key, example, scale=(2.0, 2.0)))
    >>> enlarge(jax.random.key(0))["boxes"]
    Array([[0. , 0. , 0.5, 0.5]], dtype=float32)

    Args:
        degrees: the angle is uniform within plus or minus so many, counter-clockwise.
        translate: each shift is uniform within plus or minus this share of the side.
        scale: log-uniform factor; above 1 enlarges.
        fill, fill_label: what comes in at the border, in the image and in the segmentation.
    A box becomes the upright box around its turned corners.
    """
    if not 0 < scale[0] <= scale[1] < math.inf:
        raise ValueError(f"scale must rise and be positive, got {scale}")
    if not (0 <= degrees < math.inf and 0 <= translate < math.inf):
        raise ValueError(f"degrees and translate must not be negative, got {degrees}, {translate}")
    H, W, _ = example["image"].shape
    pick = jax.random.uniform(key, (4,), minval=-1.0)
    angle = pick[0] * math.radians(degrees)
    size = jnp.array([W, H], jnp.float32)
    shift = pick[1:3] * translate * size
    factor = jnp.exp(
        (math.log(scale[0]) + math.log(scale[1])) / 2
        + pick[3] * (math.log(scale[1]) - math.log(scale[0])) / 2
    )
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    forward = factor * jnp.array([[cos, sin], [-sin, cos]])  # y points down
    back = jnp.array([[cos, -sin], [sin, cos]]) / factor
    center = (size - 1) / 2  # of pixels, in whole numbers at their centers
    offset = center - back @ (center + shift)
    matrix = jnp.concatenate([back, offset[:, None]], axis=1)
    moved = {"image": ops.warp(example["image"], matrix, fill=fill)}
    if "segmentation" in example:
        labels = example["segmentation"][..., None]
        moved["segmentation"] = ops.warp(labels, matrix, method="nearest", fill=fill_label)[..., 0]
    if "boxes" in example:
        corners = example["boxes"][:, jnp.array([[0, 1], [2, 1], [2, 3], [0, 3]])]  # [N, 4, 2]
        middle = jnp.broadcast_to(size / 2, corners.shape)
        at = (corners * size.reshape(1, 1, 2) - middle) @ forward.T + middle
        at = jnp.clip((at + shift.reshape(1, 1, 2)) / size.reshape(1, 1, 2), 0, 1)
        moved["boxes"] = jnp.concatenate([at.min(axis=1), at.max(axis=1)], axis=-1)
    return moved


def random_color(
    key: jax.Array,
    example: Example,
    *,
    brightness: float = 0.2,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
) -> Example:
    """Shifts brightness, then scales contrast and saturation, then turns the hue; clipped to 0..1.

    >>> gray = {"image": jnp.array([[[0.2, 0.2, 0.2], [0.6, 0.6, 0.6]]])}
    >>> tint = jax.jit(lambda key: random_color(key, gray, brightness=0, contrast=0))
    >>> tint(jax.random.key(0))["image"][0]  # gray has neither saturation nor hue
    Array([[0.2, 0.2, 0.2],
           [0.6, 0.6, 0.6]], dtype=float32)

    Args:
        brightness: what is added to every value is uniform within plus or minus this.
        contrast, saturation: the factor is uniform in `1 - it .. 1 + it`; at most 1.
        hue: in turns of the color circle, within plus or minus this.
    Saturation and hue need three channels; set them to 0 for gray images.
    Reference: the adjustments are dm-pix's (those of tf.image).
    """
    import dm_pix

    for name, most in (("contrast", contrast), ("saturation", saturation)):
        _share(name, most)
    if brightness < 0 or hue < 0:
        raise ValueError(f"brightness and hue must not be negative, got {brightness} and {hue}")
    image = example["image"]
    if (saturation or hue) and image.shape[-1] != 3:
        raise ValueError(
            f"saturation and hue need three channels, got {image.shape}; set both to 0 for gray"
        )
    pick = jax.random.uniform(key, (4,), image.dtype, minval=-1.0)
    image = dm_pix.adjust_brightness(image, pick[0] * brightness)
    if contrast:
        image = dm_pix.adjust_contrast(image, 1 + pick[1] * contrast)
    image = jnp.clip(image, 0, 1)
    if saturation:
        image = dm_pix.adjust_saturation(image, 1 + pick[2] * saturation)
    if hue:
        image = dm_pix.adjust_hue(image, pick[3] * hue)
    return {**example, "image": jnp.clip(image, 0, 1)}


def random_noise(
    key: jax.Array, example: Example, *, sigma: float = 0.05, specks: float = 0.0
) -> Example:
    """Adds Gaussian noise, then salt and pepper to a share `specks` of the pixels; clipped.

    >>> example = {"image": jnp.full((8, 8, 1), 0.5)}
    >>> spoil = jax.jit(lambda key: random_noise(key, example, sigma=0.0, specks=1.0))
    >>> sorted(set(spoil(jax.random.key(0))["image"].ravel().tolist()))
    [0.0, 1.0]

    Raises: ValueError for a negative `sigma`, or `specks` that are not in 0..1.
    """
    normal_key, speck_key = jax.random.split(key)
    image = jnp.clip(ops.gaussian_noise(normal_key, example["image"], sigma), 0, 1)
    if specks:
        image = ops.salt_and_pepper(speck_key, image, specks)
    return {**example, "image": image}


def cutout(key: jax.Array, example: Example, *, size: int, fill: float = 0.0) -> Example:
    """Fills a square of `size` pixels around a random pixel (DeVries & Taylor, arXiv:1708.04552).

    The part of the square outside the image is lost; boxes and masks stay as they are.

    >>> example = {"image": jnp.ones((4, 4, 1))}
    >>> cut = jax.jit(lambda key: cutout(key, example, size=1))
    >>> float(cut(jax.random.key(0))["image"].sum())  # one pixel of 16 is lost
    15.0

    Raises: ValueError if `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    image = example["image"]
    row, column = jnp.mgrid[: image.shape[0], : image.shape[1]]
    top, left = (
        jax.random.randint(k, (), 0, n) - size // 2
        for k, n in zip(jax.random.split(key), image.shape[:2], strict=True)
    )
    inside = (row >= top) & (row < top + size) & (column >= left) & (column < left + size)
    return {**example, "image": jnp.where(inside[..., None], jnp.asarray(fill, image.dtype), image)}


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in 0..1, got {value}")
    return value


def _source(size: int, start: jax.Array, length: jax.Array) -> jax.Array:
    """Where the centers of `size` new pixels lie among the old ones, whole at old centers."""
    return start + (jnp.arange(size) + 0.5) * (length / size) - 0.5


def _interpolation(old: int, new: int, start: jax.Array, length: jax.Array) -> jax.Array:
    """Weights `[new, old]` of linear interpolation, a wider triangle where it shrinks."""
    reach = jnp.maximum(length / new, 1.0)
    distance = _source(new, start, length)[:, None] - jnp.arange(old)[None]
    weights = jnp.maximum(1 - jnp.abs(distance) / reach, 0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)
