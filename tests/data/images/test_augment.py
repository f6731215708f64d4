"""Augmentation: a key fixes the picture, and boxes and masks stay on the object."""

import functools
import re

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from jaxdl import data, ops

H, W = 48, 64
PHOTO = jnp.asarray(load_sample_images().images[1][200 : 200 + H, 300 : 300 + W]) / 255.0
COLOR = data.images.augmentation(data.images.random_flip, data.images.random_color)
GEOMETRY = {
    "flip": data.images.random_flip,
    "flip up": functools.partial(data.images.random_flip, vertical=True),
    "crop": functools.partial(data.images.random_resized_crop, size=(40, 56), area=(0.3, 1.0)),
    "affine": functools.partial(
        data.images.random_affine, degrees=30, translate=0.15, scale=(0.7, 1.4), fill=0.0
    ),
}


@functools.cache
def marked_batch(name):
    """32 copies of a white box on black with its box and its mask, moved by 32 keys."""
    image = jnp.zeros((H, W, 1)).at[14:27, 20:47].set(1.0)
    one = {
        "image": image,
        "boxes": jnp.array([[20 / W, 14 / H, 47 / W, 27 / H]]),
        "segmentation": image[..., 0].astype(jnp.int32),
    }
    batch = {n: jnp.stack([a] * 32) for n, a in one.items()}
    keys = jax.random.split(jax.random.key(7), 32)
    return jax.jit(data.images.augmentation(GEOMETRY[name]))(keys, batch)


@pytest.mark.parametrize("name", GEOMETRY)
def test_boxes_and_masks_stay_on_the_object(name):
    moved = marked_batch(name)
    height, width = moved["image"].shape[1:3]
    assert len({float(b) for b in moved["boxes"][:, 0, :2].sum(axis=-1)}) > 1  # it does something
    for image, box, labels in zip(
        moved["image"], moved["boxes"], moved["segmentation"], strict=True
    ):
        shown = np.asarray(image[..., 0]) > 0.5
        assert (shown == np.asarray(labels)).mean() > 0.97
        if not shown.any():
            continue
        ys, xs = np.nonzero(shown)
        seen = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        at = np.asarray(box[0]) * [width, height, width, height]
        np.testing.assert_allclose(at, seen, atol=2.0)


def test_a_key_fixes_the_picture_whatever_the_split():
    batch = {"image": jnp.stack([PHOTO] * 4), "label": jnp.arange(4)}
    keys = jax.random.split(jax.random.key(0), 4)
    augment = jax.jit(
        data.images.augmentation(
            data.images.random_flip,
            functools.partial(data.images.random_resized_crop, size=(32, 32)),
            data.images.random_color,
            functools.partial(data.images.random_noise, specks=0.02),
            functools.partial(data.images.cutout, size=8),
        )
    )
    whole = augment(keys, batch)
    assert whole["image"].shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(whole["label"], batch["label"])
    pieces = [augment(keys[i : i + 1], {"image": batch["image"][i : i + 1]}) for i in range(4)]
    # Another batch size is another program, which may round differently.
    np.testing.assert_allclose(
        whole["image"], jnp.concatenate([p["image"] for p in pieces]), atol=1e-5
    )
    np.testing.assert_array_equal(augment(keys, batch)["image"], whole["image"])
    assert (jnp.abs(whole["image"][1:] - whole["image"][:1]).mean(axis=(1, 2, 3)) > 0.01).all()
    assert whole["image"].min() >= 0
    assert whole["image"].max() <= 1
    one_key = augment(jax.random.key(3), batch)["image"]
    assert (one_key[0] != one_key[1]).any()


def test_photometric_transforms_have_gradients():
    batch = {"image": jnp.stack([PHOTO[:16, :16]] * 2)}

    def brightness_of(image):
        return COLOR(jax.random.key(1), {"image": image})["image"].mean()

    slope = jax.jit(jax.grad(brightness_of))(batch["image"])
    assert np.isfinite(slope).all()
    assert (slope != 0).mean() > 0.5
    flat = jax.jit(jax.grad(brightness_of))(jnp.full_like(batch["image"], 0.5))
    assert np.isfinite(flat).all()  # gray pixels: hue and saturation are undefined


def test_crop_of_everything_is_antialiased_resizing():
    crop = functools.partial(data.images.random_resized_crop, area=(1.0, 1.0), ratio=(W / H, W / H))
    for size in ((24, 32), (60, 80)):
        got = crop(jax.random.key(0), {"image": PHOTO}, size=size)["image"]
        np.testing.assert_allclose(got, ops.resize(PHOTO, size), atol=1e-4)


def test_crops_are_cut_as_they_are_and_small_images_are_padded():
    """T24: of an image smaller than the crop nothing is lost; around it there is void."""
    numbers = jnp.arange(1.0, 31.0).reshape(5, 6, 1)
    example = {"image": numbers, "segmentation": numbers[..., 0].astype(int) % 3}
    example["boxes"] = jnp.array([[0, 0, 1, 1.0]])
    crop = jax.jit(functools.partial(data.images.random_crop, size=(3, 8)))
    places = set()
    for seed in range(20):
        got = jax.tree.map(np.asarray, crop(jax.random.key(seed), example))
        real = got["image"][..., 0] != 0
        assert real.sum() == 18  # three whole rows
        np.testing.assert_array_equal(got["segmentation"] == 255, ~real)
        np.testing.assert_array_equal(
            got["segmentation"][real], got["image"][..., 0][real].astype(int) % 3
        )
        top, left = (got["image"][real][0, 0] - 1) // 6, np.flatnonzero(real[0])[0]
        np.testing.assert_allclose(got["boxes"][0], [left / 8, 0, (left + 6) / 8, 1], atol=1e-6)
        places.add((int(top), int(left)))
    assert {row for row, _ in places} == {column for _, column in places} == {0, 1, 2}


def test_crops_cover_the_area_and_the_ratios_asked_for():
    """10-100 % of the area and ratios of 1/2-2, measured on a ramp."""
    y, x = jnp.mgrid[:H, :W].astype(jnp.float32)
    ramp = jnp.stack([x, y], axis=-1)
    crop = functools.partial(data.images.random_resized_crop, size=(32, 32))
    keys = jax.random.split(jax.random.key(0), 2000)
    middle = jax.jit(jax.vmap(lambda k: crop(k, {"image": ramp})["image"][15:17, 15:17]))(keys)
    width = 32 * (middle[:, 0, 1, 0] - middle[:, 0, 0, 0])
    height = 32 * (middle[:, 1, 0, 1] - middle[:, 0, 0, 1])
    share, ratio = width * height / (H * W), width / height
    assert 0.09 < share.min() < 0.13
    assert share.max() > 0.9
    assert 0.47 < ratio.min() < 0.55
    assert 1.8 < ratio.max() < 2.1


def test_rotation_is_dm_pixs():
    turn = functools.partial(data.images.random_affine, degrees=40)
    key = jax.random.key(2)
    angle = jax.random.uniform(key, (4,), minval=-1.0)[0] * np.deg2rad(40)
    got = turn(key, {"image": PHOTO})["image"]
    want = dm_pix.rotate(PHOTO, angle, mode="constant")
    assert (np.abs(got - want) < 1e-4).mean() > 0.95  # dm-pix treats the rim in another way


def test_cutout_and_noise():
    white = {"image": jnp.ones((H, W, 1))}
    holes = jax.vmap(lambda k: data.images.cutout(k, white, size=9)["image"])(
        jax.random.split(jax.random.key(0), 200)
    )
    missing = (holes == 0).sum(axis=(1, 2, 3))
    assert missing.max() == 81
    assert missing.min() >= 16  # at least the quarter that a corner leaves
    noisy = data.images.random_noise(
        jax.random.key(0), {"image": jnp.full((H, W, 1), 0.5)}, sigma=0.1
    )
    np.testing.assert_allclose(noisy["image"].std(), 0.1, rtol=0.1)


@pytest.mark.parametrize(
    "transform, message",
    [
        (
            functools.partial(data.images.random_flip, probability=1.5),
            "probability must lie in 0..1",
        ),
        (
            functools.partial(data.images.random_resized_crop, size=(8, 8), area=(0, 1)),
            "area must rise",
        ),
        (
            functools.partial(data.images.random_resized_crop, size=(8, 8), ratio=(2, 1)),
            "ratio must rise",
        ),
        (functools.partial(data.images.random_crop, size=(8, 0)), "size must be (height, width)"),
        (
            functools.partial(data.images.random_affine, scale=(0, 1)),
            "scale must rise and be positive",
        ),
        (
            functools.partial(data.images.random_affine, degrees=-1),
            "degrees and translate must not be",
        ),
        (
            functools.partial(data.images.random_color, contrast=2),
            "contrast must lie in 0..1, got 2",
        ),
        (functools.partial(data.images.random_color, hue=-1), "must not be negative"),
        (functools.partial(data.images.cutout, size=0), "size must be at least 1"),
    ],
)
def test_mistakes_name_the_argument(transform, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        transform(jax.random.key(0), {"image": PHOTO})


def test_batches_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="see data.images.to_unit"):
        COLOR(jax.random.key(0), {"image": jnp.zeros((2, 8, 8, 3), jnp.uint8)})
    with pytest.raises(ValueError, match="need one key or 2, one an example"):
        COLOR(jax.random.split(jax.random.key(0), 3), {"image": jnp.zeros((2, 8, 8, 3))})
    with pytest.raises(ValueError, match="need three channels"):
        COLOR(jax.random.key(0), {"image": jnp.zeros((2, 8, 8, 1))})
