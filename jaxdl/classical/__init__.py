"""Learners without a network, pure functions: `params, report = fit(x, y, ...)`, `f(params, x)`."""

from jaxdl.classical._calibration import (
    conformal_interval,
    conformal_quantile,
    conformal_sets,
    fit_temperature,
)
from jaxdl.classical._descent import gradient_descent
from jaxdl.classical._diagnosis import Verdict, confused_pairs, diagnose, worst_examples
from jaxdl.classical._linear import (
    Linear,
    Report,
    absolute_trick,
    fit_least_squares,
    fit_ridge,
    linear,
    ridge_path,
    square_trick,
)
from jaxdl.classical._logistic import fit_logistic, fit_softmax
from jaxdl.classical._multiclass import classify, fit_one_vs_rest, one_vs_rest_scores
from jaxdl.classical._naive_bayes import fit_bernoulli_bayes, fit_multinomial_bayes
from jaxdl.classical._nearest import nearest_neighbors, neighbor_votes
from jaxdl.classical._ngram import NGram, fit_ngram
from jaxdl.classical._perceptron import fit_perceptron
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
    train_test_split,
)
from jaxdl.classical._sparse import elastic_net_path, fit_elastic_net, fit_lasso, soft_threshold
from jaxdl.classical._svm import KernelMachine, fit_kernel_svm, fit_linear_svm, kernel_machine

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
    "classify",
    "conformal_interval",
    "conformal_quantile",
    "conformal_sets",
    "confused_pairs",
    "cross_validate",
    "diagnose",
    "elastic_net_path",
    "fit_bernoulli_bayes",
    "fit_elastic_net",
    "fit_kernel_svm",
    "fit_lasso",
    "fit_least_squares",
    "fit_linear_svm",
    "fit_logistic",
    "fit_multinomial_bayes",
    "fit_ngram",
    "fit_one_vs_rest",
    "fit_perceptron",
    "fit_ridge",
    "fit_softmax",
    "fit_temperature",
    "gradient_descent",
    "growing",
    "k_folds",
    "kernel_machine",
    "learning_curve",
    "linear",
    "mean_squared_error",
    "nearest_neighbors",
    "neighbor_votes",
    "one_vs_rest_scores",
    "r_squared",
    "ridge_path",
    "soft_threshold",
    "square_trick",
    "train_test_split",
    "worst_examples",
]
