"""Real tables for the tests, as scikit-learn ships them, standardized in float64."""

import functools

import numpy as np
from sklearn import datasets, preprocessing


@functools.cache
def standardized(name: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return preprocessing.StandardScaler().fit_transform(x), y


def relative(got, want) -> float:
    """Greatest difference over the greatest value wanted."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    return float(np.max(np.abs(got - want)) / np.max(np.abs(want)))
