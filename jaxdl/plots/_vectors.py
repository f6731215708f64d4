"""Figures of word vectors."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxdl.plots._style import add_panel


def word_map(
    words: Sequence[str], vectors: ArrayLike, *, method: Literal["pca", "tsne"] = "pca"
) -> Any:
    """Draws words where their vectors fall in two dimensions, by principal components or t-SNE.

    >>> vectors = [[1.0, 0.1, 0.0], [1.0, 0.2, 0.1], [0.0, 0.1, 1.0]]
    >>> figure = word_map(["cat", "dog", "car"], vectors)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['cat', 'dog', 'car']

    Args:
        words: N of them, at least 2 (t-SNE: 3).
        vectors: `[N, D]`; only their directions count.
    """
    from matplotlib.figure import Figure

    vectors = np.asarray(vectors, np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    if method == "pca":
        from sklearn.decomposition import PCA

        places = PCA(2, svd_solver="full").fit_transform(unit)
    else:
        from sklearn.manifold import TSNE

        places = TSNE(perplexity=min(30, (len(words) - 1) / 3), random_state=0).fit_transform(unit)
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    axes = add_panel(figure)
    axes.scatter(places[:, 0], places[:, 1], s=8, color="0.6")
    for word, (x, y) in zip(words, places, strict=True):
        axes.annotate(word, (x, y), xytext=(2, 2), textcoords="offset points", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure
