"""Learners without a network, pure functions: `params, report = fit(x, y, ...)`, `f(params, x)`."""

from jaxdl.classical._descent import (
    gradient_descent,
)
from jaxdl.classical._diagnosis import (
    Verdict,
    confused_pairs,
    diagnose,
    worst_examples,
)
from jaxdl.classical._linear import (
    Linear,
    Report,
    absolute_trick,
    least_squares,
    linear,
    ridge,
    ridge_path,
    square_trick,
)
from jaxdl.classical._logistic import (
    logistic,
    softmax,
)
from jaxdl.classical._multiclass import (
    classify,
    one_vs_rest,
    one_vs_rest_scores,
)
from jaxdl.classical._naive_bayes import (
    bernoulli_bayes,
    multinomial_bayes,
)
from jaxdl.classical._nearest import (
    nearest_neighbours,
    neighbour_votes,
)
from jaxdl.classical._neighbours import neighbour_ratings, rating_similarity
from jaxdl.classical._ngram import NGram, ngram
from jaxdl.classical._perceptron import (
    perceptron,
)
from jaxdl.classical._selection import (
    Folds,
    Scores,
    accuracy,
    cross_validate,
    growing,
    k_folds,
    learning_curve,
    mean_squared_error,
    r_squared,
    split,
)
from jaxdl.classical._sparse import (
    elastic_net,
    elastic_net_path,
    lasso,
    soft_threshold,
)
from jaxdl.classical._svm import (
    KernelMachine,
    kernel_machine,
    kernel_svm,
    linear_svm,
)

__all__ = [
    "Folds",
    "KernelMachine",
    "Linear",
    "NGram",
    "Report",
    "Scores",
    "Verdict",
    "absolute_trick",
    "accuracy",
    "bernoulli_bayes",
    "classify",
    "confused_pairs",
    "cross_validate",
    "diagnose",
    "elastic_net",
    "elastic_net_path",
    "gradient_descent",
    "growing",
    "k_folds",
    "kernel_machine",
    "kernel_svm",
    "lasso",
    "learning_curve",
    "least_squares",
    "linear",
    "linear_svm",
    "logistic",
    "mean_squared_error",
    "multinomial_bayes",
    "nearest_neighbours",
    "neighbour_ratings",
    "neighbour_votes",
    "ngram",
    "one_vs_rest",
    "one_vs_rest_scores",
    "perceptron",
    "r_squared",
    "rating_similarity",
    "ridge",
    "ridge_path",
    "soft_threshold",
    "softmax",
    "split",
    "square_trick",
    "worst_examples",
]
