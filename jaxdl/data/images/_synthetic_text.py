"""Characters drawn from the fonts that matplotlib ships: a training set for reading, without end.

    sheet = data.images.glyph_sheet("0123456789", data.images.FONTS)   # once, on the host
    batch = data.images.draw_text(key, sheet, 256, size=(16, 16))   # inside jit, as often as wanted

Batch k of a training set is `draw_text(fold_in(key, k), ...)`: nothing is stored.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import ops

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif"),
    *("DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol"),
    *("STIXGeneralItalic", "cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GlyphSheet:
    """Every character in every font, white on black.

    >>> glyph_sheet("ab", FONTS[:3]).images.shape
    (3, 2, 48, 48)
    """

    images: np.ndarray | jax.Array  # uint8 [fonts, characters, S, S], the ink in the middle
    characters: str = dataclasses.field(metadata={"static": True})  # label k is characters[k]


def glyph_sheet(
    characters: str, fonts: Sequence[str | pathlib.Path] = FONTS, *, size: int = 48
) -> GlyphSheet:
    """Renders each character in each font, its ink in the middle of `size x size` pixels.

    >>> sheet = glyph_sheet("abc", FONTS[:2], size=16)
    >>> sheet.images.shape, sheet.characters
    ((2, 3, 16, 16), 'abc')

    Args:
        characters: distinct characters, which become the labels.
        fonts: names among those that matplotlib ships, or paths of TrueType files.
        size: of a picture; the font is 0.7 times as high.
    Raises: ValueError for repeated or blank characters, an unknown font, or a character that a
        font draws as nothing or does not have.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    if not characters or len(set(characters)) < len(characters):
        raise ValueError(f"characters must be distinct and at least one, got {characters!r}")
    if not fonts or size < 8:
        raise ValueError(f"need at least one font and a size of at least 8, got {fonts}, {size}")
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    images = np.zeros((len(fonts), len(characters), size, size), np.uint8)
    for f, name in enumerate(fonts):
        path = name if isinstance(name, pathlib.Path) else folder / f"{name}.ttf"
        try:
            font = ImageFont.truetype(str(path), round(0.7 * size))
        except OSError as error:
            raise ValueError(f"{path}: not a font that can be read") from error
        missing = bytes(font.getmask("\uffff"))
        for c, character in enumerate(characters):
            left, top, right, bottom = font.getbbox(character)
            if right <= left or bottom <= top or bytes(font.getmask(character)) == missing:
                raise ValueError(f"{path.name} has no picture of {character!r}")
            picture = Image.new("L", (size, size))
            corner = ((size - left - right) / 2, (size - top - bottom) / 2)
            ImageDraw.Draw(picture).text(corner, character, fill=255, font=font)
            images[f, c] = np.asarray(picture)
    return GlyphSheet(images, characters)


def draw_text(
    key: jax.Array,
    sheet: GlyphSheet,
    num_examples: int,
    *,
    size: Sequence[int] = (28, 28),
    height: tuple[float, float] = (0.7, 1.1),
    degrees: float = 12.0,
    translate: float = 0.08,
    blur: float = 1.0,
    noise: float = 0.08,
) -> dict[str, jax.Array]:
    """Draws characters of random font, size, place, turn, blur, ink and noise; runs under jit.

    >>> sheet = glyph_sheet("0123456789", FONTS[:1])
    >>> batch = jax.eval_shape(lambda key: draw_text(key, sheet, 64), jax.random.key(0))
    >>> batch["image"].shape, batch["label"].shape
    ((64, 28, 28, 1), (64,))

    Args:
        key: the whole batch is a function of it.
        sheet: from `glyph_sheet`.
        num_examples: B.
        size: height and width of an image.
        height: the picture of a glyph is so many times as high as the image, uniformly.
        degrees: the turn is uniform within plus or minus this.
        translate: shifts are uniform within plus or minus this share of the image.
        blur: how far toward a Gaussian blur of one pixel an image may go, 0..1.
        noise: greatest deviation of the Gaussian noise.
    Returns: "image" float32 `[B, height, width, 1]` in 0..1, ink light, and "label" and "font",
        int32 `[B]`.
    Raises: ValueError if an option is out of range.
    """
    if not 0 < height[0] <= height[1]:
        raise ValueError(f"height must rise and be positive, got {height}")
    if min(degrees, translate, noise) < 0 or not 0 <= blur <= 1:
        raise ValueError("degrees, translate and noise must not be negative, blur lies in 0..1")
    sheet_images = jnp.asarray(sheet.images)
    side = sheet_images.shape[-1]
    H, W = size

    def one(key: jax.Array) -> dict[str, jax.Array]:
        font_key, label_key, key, noise_key = jax.random.split(key, 4)
        font = jax.random.randint(font_key, (), 0, sheet_images.shape[0])
        label = jax.random.randint(label_key, (), 0, sheet_images.shape[1])
        pick = jax.random.uniform(key, (7,))
        signed = 2 * pick - 1
        step = side / (H * (height[0] + pick[0] * (height[1] - height[0])))  # sheet pixels a pixel
        angle = signed[1] * np.deg2rad(degrees)
        turn = step * jnp.array(
            [[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]]
        )
        center = jnp.array([W - 1, H - 1]) / 2 + signed[2:4] * translate * jnp.array([W, H])
        matrix = jnp.concatenate([turn, ((side - 1) / 2 - turn @ center)[:, None]], axis=1)
        glyph = sheet_images[font, label, :, :, None].astype(jnp.float32) / 255
        glyph = ops.gaussian_filter(glyph, 0.25 * side / H, border="constant")  # before it shrinks
        image = ops.warp(glyph, matrix, size=size)
        share = blur * pick[4]
        image = (1 - share) * image + share * ops.gaussian_filter(image, 1.0, border="constant")
        image = image * (0.6 + 0.4 * pick[5])
        image = image + noise * pick[6] * jax.random.normal(noise_key, image.shape)
        return {"image": jnp.clip(image, 0, 1), "label": label, "font": font}

    return jax.vmap(one)(jax.random.split(key, num_examples))
