"""Recommenders: interactions, neighbors, factorizations, AutoRec and NeuMF, and their training.

    ratings = recommenders.Interactions.from_splits(data.load("movielens"))
    model = recommenders.MatrixFactorization(ratings.num_users, ratings.num_items)

The rest of the library does not use this room.
"""

from jaxdl.data.tabular._low_rank import low_rank_truth
from jaxdl.recommenders._factors import pairwise_sgd, pointwise_sgd
from jaxdl.recommenders._interactions import (
    Interactions,
    ItemLists,
    interactions,
    sample_negatives,
    split_folds,
    split_last,
    split_per_user,
    split_random,
)
from jaxdl.recommenders._models import (
    AutoRec,
    MatrixFactorization,
    NeuMF,
    factor_scores,
    recommend,
    similar_items,
)
from jaxdl.recommenders._neighbors import neighbor_ratings, rating_similarity
from jaxdl.recommenders._objectives import pairwise, reconstruction
from jaxdl.recommenders._ranking import rank_catalog

__all__ = [
    "AutoRec",
    "Interactions",
    "ItemLists",
    "MatrixFactorization",
    "NeuMF",
    "factor_scores",
    "interactions",
    "low_rank_truth",
    "neighbor_ratings",
    "pairwise",
    "pairwise_sgd",
    "pointwise_sgd",
    "rank_catalog",
    "rating_similarity",
    "recommend",
    "reconstruction",
    "sample_negatives",
    "similar_items",
    "split_folds",
    "split_last",
    "split_per_user",
    "split_random",
]
