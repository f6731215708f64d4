"""N-gram language models of order 1 to 3, counted and scored by NumPy on the host.

Additive smoothing with a back-off chain (after D2L), V words, N of them in the text:

    P(x)          = (n(x) + e1 / V) / (N + e1)
    P(x' | x)     = (n(x, x') + e2 P(x')) / (n(x) + e2)
    P(x''| x, x') = (n(x, x', x'') + e3 P(x'' | x')) / (n(x, x') + e3)

The note writes `P(x' | x)` in the third, which does not depend on x'' and does not add up to one;
D2L writes `P(x'')`. Here each order backs off to the next lower one. A context counts where a word
follows it, so that every conditional distribution adds up to one exactly (the last word of the text
is a word but no context).
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class NGram:
    """Counts of a text; made by `fit_ngram`.

    Tables hold only what was seen: sorted keys, words as digits to the base V, and their counts.
    """

    vocab_size: int
    order: int
    smoothing: tuple[float, ...]  # e1, ..., one for each order
    keys: tuple[np.ndarray, ...]  # of the n-grams of each order, int64
    counts: tuple[np.ndarray, ...]
    contexts: tuple[np.ndarray, ...]  # keys of contexts of each order; those of order 1 are [0]
    context_counts: tuple[np.ndarray, ...]

    def log_prob(self, tokens: np.ndarray, order: int | None = None) -> np.ndarray:
        """Scores every token of a text given those before it.

        Args:
            tokens: ids `[S]`, each in 0..V-1.
            order: 1, 2 or 3, up to the model's (its default); the first tokens have less context.
        Returns: nats `[S]`, float64; -inf where nothing was seen and smoothing is 0.
        """
        order = self.order if order is None else order
        if not 1 <= order <= self.order:
            raise ValueError(f"order must lie in 1..{self.order}, got {order}")
        tokens = _checked(tokens, self.vocab_size)
        p = np.full(len(tokens), 1 / self.vocab_size)
        for n in range(1, order + 1):
            keys = _keys(tokens, n, self.vocab_size)  # of the n-gram that ends at token n-1, n, ...
            seen = _look_up(self.keys[n - 1], self.counts[n - 1], keys)
            context = keys // self.vocab_size if n > 1 else np.zeros_like(keys)
            total = _look_up(self.contexts[n - 1], self.context_counts[n - 1], context)
            p[n - 1 :] = _smooth(seen, total, self.smoothing[n - 1], p[n - 1 :])
        with np.errstate(divide="ignore"):
            return np.log(p)

    def perplexity(self, tokens: np.ndarray, order: int | None = None) -> float:
        """`exp` of the mean negative log-probability of all tokens."""
        if len(tokens) == 0:
            raise ValueError("the perplexity of no tokens is not defined")
        return math.exp(-np.mean(self.log_prob(tokens, order)))

    def distribution(self, context: np.ndarray) -> np.ndarray:
        """Probabilities `[V]` of the next word after `context` (its last `order - 1` words)."""
        V = self.vocab_size
        context = _checked(context, V)[max(0, len(context) - self.order + 1) :]
        p = np.full(V, 1 / V)
        for n in range(1, len(context) + 2):
            key = 0
            for word in context[len(context) - n + 1 :]:
                key = key * V + int(word)
            low, high = np.searchsorted(self.keys[n - 1], [key * V, (key + 1) * V])
            seen = np.zeros(V)
            seen[self.keys[n - 1][low:high] - key * V] = self.counts[n - 1][low:high]
            p = _smooth(seen, seen.sum(), self.smoothing[n - 1], p)
        return p

    def sample(self, seed: int, num_words: int, start: np.ndarray | None = None) -> np.ndarray:
        """Draws words one after the other, each given those before it, `start` first.

        Returns: ids `[num_words]`, int32, without `start`.
        """
        rng = np.random.default_rng(seed)
        text = [] if start is None else [int(word) for word in start]
        begun = len(text)
        for _ in range(num_words):
            p = self.distribution(np.array(text[-self.order :], np.int64))
            text.append(int(rng.choice(self.vocab_size, p=p / p.sum())))
        return np.array(text[begun:], np.int32)


def fit_ngram(
    tokens: np.ndarray, vocab_size: int, *, order: int = 3, smoothing: float | tuple = 1.0
) -> NGram:
    """Counts the n-grams of a text.

    >>> model = fit_ngram(np.array([0, 1, 0, 1, 0, 2]), vocab_size=3, order=2, smoothing=0.0)
    >>> model.distribution(np.array([0]))  # of 0's followers two in three are 1
    array([0.   , 0.667, 0.333])

    Args:
        tokens: ids `[S]` in 0..V-1, S >= order.
        vocab_size: V, below 2 million for order 3 (keys are 63-bit integers).
        order: 1, 2 or 3.
        smoothing: e of every order, or a tuple (e1, e2, ...). The mass it takes grows with it; 0 is
            the maximum likelihood, and falls back on the lower order for unseen contexts only.
    Raises: ValueError for a text shorter than `order`, ids out of range, or a negative smoothing.
    """
    if not 1 <= order <= 3:
        raise ValueError(f"order must be 1, 2 or 3, got {order}")
    if not isinstance(smoothing, tuple):
        smoothing = (smoothing,) * order
    if len(smoothing) != order or not all(0 <= e < math.inf for e in smoothing):
        raise ValueError(f"smoothing needs {order} numbers of 0 or more, got {smoothing}")
    tokens = _checked(tokens, vocab_size)
    if len(tokens) < order:
        raise ValueError(f"a text of {len(tokens)} words has no {order}-gram")
    if vocab_size**order >= 2**63:
        raise ValueError(f"{vocab_size} words are too many for order {order}")
    tables = [
        np.unique(_keys(tokens, n, vocab_size), return_counts=True) for n in range(1, order + 1)
    ]
    contexts = [(np.zeros(1, np.int64), np.array([len(tokens)]))]
    for keys, counts in tables[1:]:
        context, inverse = np.unique(keys // vocab_size, return_inverse=True)
        contexts.append((context, np.bincount(inverse, weights=counts)))
    return NGram(
        vocab_size,
        order,
        tuple(map(float, smoothing)),
        *(tuple(column) for column in zip(*tables, strict=True)),
        *(tuple(column) for column in zip(*contexts, strict=True)),
    )


def _checked(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    tokens = np.asarray(tokens, np.int64)
    if tokens.ndim != 1 or (len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab_size):
        raise ValueError(f"tokens need shape [S] and ids in 0..{vocab_size - 1}")
    return tokens


def _keys(tokens: np.ndarray, n: int, vocab_size: int) -> np.ndarray:
    """The n-gram that starts at each token as one integer, `[S - n + 1]`."""
    keys = np.zeros(max(0, len(tokens) - n + 1), np.int64)
    for i in range(n):
        keys = keys * vocab_size + tokens[i : i + len(keys)]
    return keys


def _look_up(keys: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, counts[place], 0)


def _smooth(seen: np.ndarray, total: np.ndarray, e: float, lower: np.ndarray) -> np.ndarray:
    """`(seen + e lower) / (total + e)`, and `lower` where that is 0 / 0."""
    weight = total + e
    return np.where(weight > 0, (seen + e * lower) / np.where(weight > 0, weight, 1), lower)
