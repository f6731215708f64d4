"""Tables: scaling, filling, bins and indicators fitted on one split and applied to all."""

from jaxdl.data.readers._csv import describe, format_table
from jaxdl.data.tabular._polynomial import polynomial_features
from jaxdl.data.tabular._tables import whole
from jaxdl.data.tabular._tabular import (
    Bounds,
    Discretizer,
    Imputer,
    OneHotEncoder,
    Scaler,
    binarize,
    complete_rows,
    fill_backward,
    fill_forward,
    fit_bounds,
    fit_discretizer,
    fit_imputer,
    fit_min_max,
    fit_robust,
    fit_standard,
    missing_share,
)

__all__ = [
    "Bounds",
    "Discretizer",
    "Imputer",
    "OneHotEncoder",
    "Scaler",
    "binarize",
    "complete_rows",
    "describe",
    "fill_backward",
    "fill_forward",
    "fit_bounds",
    "fit_discretizer",
    "fit_imputer",
    "fit_min_max",
    "fit_robust",
    "fit_standard",
    "format_table",
    "missing_share",
    "polynomial_features",
    "whole",
]
