"""Rendered characters: a function of the key, of every font and label, and legible."""

import functools
import pathlib

import jax
import numpy as np
import pytest

from jaxdl import data

SHEET = data.images.glyph_sheet("0123456789", data.images.FONTS[:3], size=32)
draw = jax.jit(functools.partial(data.images.draw_text, num_examples=64, size=(16, 20)))


def test_glyphs_lie_in_the_middle_and_differ():
    assert SHEET.images.shape == (3, 10, 32, 32)
    assert len(np.unique(SHEET.images.reshape(30, -1), axis=0)) == 30
    for glyph in SHEET.images.reshape(30, 32, 32):
        ys, xs = np.nonzero(glyph > 64)
        assert abs(ys.min() + ys.max() - 31) <= 3
        assert abs(xs.min() + xs.max() - 31) <= 3


def test_a_batch_is_a_function_of_its_key():
    batch = draw(jax.random.key(1), SHEET)
    np.testing.assert_array_equal(batch["image"], draw(jax.random.key(1), SHEET)["image"])
    assert (batch["image"] != draw(jax.random.key(2), SHEET)["image"]).any()
    assert batch["image"].shape == (64, 16, 20, 1)
    assert batch["image"].min() >= 0
    assert batch["image"].max() <= 1
    assert set(np.asarray(batch["label"]).tolist()) == set(range(10))
    assert set(np.asarray(batch["font"]).tolist()) == {0, 1, 2}


def test_without_distortions_the_glyph_itself_is_drawn():
    plain = data.images.draw_text(
        jax.random.key(0), SHEET, 8, size=(32, 32), height=(1.0, 1.0),
        degrees=0.0, translate=0.0, blur=0.0, noise=0.0,
    )  # fmt: skip
    for image, label, font in zip(*(plain[n] for n in ("image", "label", "font")), strict=True):
        glyph = SHEET.images[font, label].ravel()
        assert np.corrcoef(np.asarray(image).ravel(), glyph)[0, 1] > 0.99


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("00",), "characters must be distinct"),
        (("0", ["Comic"]), "Comic.ttf: not a font that can be read"),
        (("0", [pathlib.Path(__file__)]), "not a font that can be read"),
        ((" ", data.images.FONTS[:1]), "has no picture of ' '"),
        (("漢", data.images.FONTS[:1]), "has no picture of '漢'"),
    ],
)
def test_mistakes_in_a_sheet_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.images.glyph_sheet(*arguments)


def test_mistakes_in_a_drawing_are_named():
    with pytest.raises(ValueError, match="height must rise"):
        data.images.draw_text(jax.random.key(0), SHEET, 2, height=(1.0, 0.5))
    with pytest.raises(ValueError, match="must not be negative"):
        data.images.draw_text(jax.random.key(0), SHEET, 2, noise=-1.0)
