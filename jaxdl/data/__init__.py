"""Data sets and what turns them into batches.

    splits = data.load("digits")
    for batch in data.batches(splits["train"], 128, seed=0): ...

A batch is a dict of arrays with one leading axis and a boolean "mask" that is False on padding;
batch k is a function of `(seed, k)` alone.
"""

from jaxdl.data._augment import (
    augmentation,
    cutout,
    random_affine,
    random_colour,
    random_crop,
    random_flip,
    random_noise,
    random_resized_crop,
)
from jaxdl.data._bag_of_words import bag_of_words, fit_vocabulary
from jaxdl.data._batches import (
    batch_indices,
    batches,
    host_batch,
    num_batches,
    num_steps,
    resident_batch,
    shuffled,
)
from jaxdl.data._builders import Builder, cache_folder, prepare
from jaxdl.data._corpus import Corpus, load_corpus, sentences
from jaxdl.data._csv import describe, format_table, read_csv
from jaxdl.data._idx import read_idx, read_mnist
from jaxdl.data._images import to_unit
from jaxdl.data._interactions import (
    Interactions,
    ItemLists,
    interactions,
    sample_negatives,
    split_folds,
    split_last,
    split_per_user,
    split_random,
)
from jaxdl.data._labels import check_labels, majority_share
from jaxdl.data._load import SOURCES, Source, load
from jaxdl.data._masks import (
    CAMVID,
    UNLABELLED,
    VOC,
    read_camvid,
    read_palette_mask,
    read_voc_masks,
    voc_palette,
)
from jaxdl.data._movielens import load_interactions, low_rank_truth, read_movielens
from jaxdl.data._pairs import (
    BOS,
    EOS,
    RESERVED,
    encode_pairs,
    load_pairs,
    normalise_sentence,
    read_pairs,
)
from jaxdl.data._photos import CIFAR10, open_image, read_cifar10, read_image_folders
from jaxdl.data._polynomial import polynomial_features
from jaxdl.data._records import RandomAccess, Records, read_ahead
from jaxdl.data._reviews import encode_texts, read_reviews, review_words, vector_table
from jaxdl.data._scattered import scatter_digits
from jaxdl.data._splits import DataError, Info, Split, Splits
from jaxdl.data._synthetic_text import FONTS, GlyphSheet, draw_text, glyph_sheet
from jaxdl.data._tables import manual_paragraphs, whole
from jaxdl.data._tabular import (
    Affine,
    Bins,
    Bounds,
    Categories,
    Fill,
    binarise,
    complete_rows,
    fill_backward,
    fill_forward,
    fit_bins,
    fit_bounds,
    fit_fill,
    fit_min_max,
    fit_robust,
    fit_standard,
    missing_share,
)
from jaxdl.data._text import (
    PAD,
    UNKNOWN,
    Vocabulary,
    bucket_batch,
    length_buckets,
    load_text,
    num_bucket_batches,
    pad_sequences,
    streams,
    windows,
)
from jaxdl.data._tokens import characters, letters, words
from jaxdl.data._vectors import WordVectors, read_questions, read_similarities
from jaxdl.data._voc import read_voc

__all__ = [
    "BOS",
    "CAMVID",
    "CIFAR10",
    "EOS",
    "FONTS",
    "PAD",
    "RESERVED",
    "SOURCES",
    "UNKNOWN",
    "UNLABELLED",
    "VOC",
    "Affine",
    "Bins",
    "Bounds",
    "Builder",
    "Categories",
    "Corpus",
    "DataError",
    "Fill",
    "GlyphSheet",
    "Info",
    "Interactions",
    "ItemLists",
    "RandomAccess",
    "Records",
    "Source",
    "Split",
    "Splits",
    "Vocabulary",
    "WordVectors",
    "augmentation",
    "bag_of_words",
    "batch_indices",
    "batches",
    "binarise",
    "bucket_batch",
    "cache_folder",
    "characters",
    "check_labels",
    "complete_rows",
    "cutout",
    "describe",
    "draw_text",
    "encode_pairs",
    "encode_texts",
    "fill_backward",
    "fill_forward",
    "fit_bins",
    "fit_bounds",
    "fit_fill",
    "fit_min_max",
    "fit_robust",
    "fit_standard",
    "fit_vocabulary",
    "format_table",
    "glyph_sheet",
    "host_batch",
    "interactions",
    "length_buckets",
    "letters",
    "load",
    "load_corpus",
    "load_interactions",
    "load_pairs",
    "load_text",
    "low_rank_truth",
    "majority_share",
    "manual_paragraphs",
    "missing_share",
    "normalise_sentence",
    "num_batches",
    "num_bucket_batches",
    "num_steps",
    "open_image",
    "pad_sequences",
    "polynomial_features",
    "prepare",
    "random_affine",
    "random_colour",
    "random_crop",
    "random_flip",
    "random_noise",
    "random_resized_crop",
    "read_ahead",
    "read_camvid",
    "read_cifar10",
    "read_csv",
    "read_idx",
    "read_image_folders",
    "read_mnist",
    "read_movielens",
    "read_pairs",
    "read_palette_mask",
    "read_questions",
    "read_reviews",
    "read_similarities",
    "read_voc",
    "read_voc_masks",
    "resident_batch",
    "review_words",
    "sample_negatives",
    "scatter_digits",
    "sentences",
    "shuffled",
    "split_folds",
    "split_last",
    "split_per_user",
    "split_random",
    "streams",
    "to_unit",
    "vector_table",
    "voc_palette",
    "whole",
    "windows",
    "words",
]
