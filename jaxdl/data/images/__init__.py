"""Images: augmentation, synthetic sets, classes and colors of segmentations, proposals."""

from jaxdl.data.images._augment import (
    augmentation,
    cutout,
    random_affine,
    random_color,
    random_crop,
    random_flip,
    random_noise,
    random_resized_crop,
)
from jaxdl.data.images._images import to_unit
from jaxdl.data.images._palettes import CAMVID, UNLABELED, VOC, voc_palette
from jaxdl.data.images._scattered import scatter_digits
from jaxdl.data.images._selective_search import selective_search
from jaxdl.data.images._synthetic_text import FONTS, GlyphSheet, draw_text, glyph_sheet

__all__ = [
    "CAMVID",
    "FONTS",
    "UNLABELED",
    "VOC",
    "GlyphSheet",
    "augmentation",
    "cutout",
    "draw_text",
    "glyph_sheet",
    "random_affine",
    "random_color",
    "random_crop",
    "random_flip",
    "random_noise",
    "random_resized_crop",
    "scatter_digits",
    "selective_search",
    "to_unit",
    "voc_palette",
]
