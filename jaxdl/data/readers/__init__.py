"""Readers of original files: IDX, CIFAR, folders of images, VOC, CamVid, CSV, texts, ratings."""

from jaxdl.data.readers._csv import read_csv
from jaxdl.data.readers._idx import read_idx, read_mnist
from jaxdl.data.readers._masks import read_camvid, read_palette_mask, read_voc_masks
from jaxdl.data.readers._movielens import read_movielens
from jaxdl.data.readers._photos import CIFAR10, open_image, read_cifar10, read_image_folders
from jaxdl.data.readers._voc import read_voc
from jaxdl.data.text._pairs import read_pairs
from jaxdl.data.text._reviews import read_reviews

__all__ = [
    "CIFAR10",
    "open_image",
    "read_camvid",
    "read_cifar10",
    "read_csv",
    "read_idx",
    "read_image_folders",
    "read_mnist",
    "read_movielens",
    "read_pairs",
    "read_palette_mask",
    "read_reviews",
    "read_voc",
    "read_voc_masks",
]
