"""Text: tokens and vocabularies, windows and streams, buckets of length, pairs of sentences."""

from jaxdl.data.text._bag_of_words import bag_of_words, fit_vocabulary
from jaxdl.data.text._packed import packed
from jaxdl.data.text._pairs import BOS, EOS, RESERVED, encode_pairs, normalize_sentence
from jaxdl.data.text._reviews import encode_texts, review_words, vector_table
from jaxdl.data.text._sources import joined
from jaxdl.data.text._subwords import BytePairs
from jaxdl.data.text._text import (
    PAD,
    UNKNOWN,
    Vocabulary,
    bucket_batch,
    length_buckets,
    num_bucket_batches,
    pad_sequences,
    streams,
    windows,
)
from jaxdl.data.text._tokens import characters, letters, words

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "RESERVED",
    "UNKNOWN",
    "BytePairs",
    "Vocabulary",
    "bag_of_words",
    "bucket_batch",
    "characters",
    "encode_pairs",
    "encode_texts",
    "fit_vocabulary",
    "joined",
    "length_buckets",
    "letters",
    "normalize_sentence",
    "num_bucket_batches",
    "packed",
    "pad_sequences",
    "review_words",
    "streams",
    "vector_table",
    "windows",
    "words",
]
