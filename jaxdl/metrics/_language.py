"""Metrics of text: perplexity of tokens, BLEU of sentences."""

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from jaxdl import _checks, losses
from jaxdl.metrics._base import Mean, OfMean


@struct.dataclass
class Perplexity(OfMean):
    """`exp` of the mean negative log-likelihood of all tokens together; 1 for no tokens.

    >>> Perplexity.from_batch(jnp.zeros((1, 2, 4)), jnp.array([[0, 3]])).compute()
    Array(4., dtype=float32)
    """

    @classmethod
    def from_batch(
        cls, logits: ArrayLike, tokens: ArrayLike, mask: ArrayLike | None = None
    ) -> Self:
        """From logits `[B, ..., V]` and ids `[B, ...]`; the mask leaves out padding."""
        nll = losses.softmax_cross_entropy(
            _checks.without_masked(logits, mask), jnp.asarray(tokens)
        )
        return cls(mean=Mean.from_values(nll, mask))

    def compute(self) -> jax.Array:
        return jnp.exp(self.mean.compute())


@struct.dataclass
class BLEU:
    """Corpus BLEU in 0..100 by sacrebleu, from sums of n-gram matches; it lives on the host.

    Four n-grams of equal weight, the closest reference length, exponential smoothing: sacrebleu's
    conventions and tokenizer. Books differ in all of them. No sentence at all scores 0.

    >>> round(float(BLEU.from_batch(["the cat sat on it"], [["the cat sat on it"]]).compute()), 1)
    100.0
    """

    matches: np.ndarray  # [4] n-grams found in a reference
    ngrams: np.ndarray  # [4] n-grams of the hypotheses
    lengths: np.ndarray  # [2] tokens of the hypotheses, of the closest references

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros(4, int), np.zeros(4, int), np.zeros(2, int))

    @classmethod
    def from_batch(
        cls,
        hypotheses: Sequence[str],
        references: Sequence[Sequence[str]],
        mask: ArrayLike | None = None,
        *,
        tokenize: str = "13a",
    ) -> Self:
        """Counts n-grams of sentences.

        Args:
            hypotheses: B sentences; an empty one is allowed and matches nothing.
            references: for each its references, at least one.
            mask: boolean `[B]` on the host.
            tokenize: sacrebleu's tokenizer, "none" for text that is already split by spaces.
        Raises: ValueError if the lengths differ or a sentence has no reference.
        """
        from sacrebleu.metrics import BLEU as SacreBLEU

        if len(hypotheses) != len(references):
            raise ValueError(f"{len(hypotheses)} hypotheses, {len(references)} sets of references")
        keep = np.ones(len(hypotheses), bool) if mask is None else np.asarray(mask, bool)
        if keep.shape != (len(hypotheses),):
            raise ValueError(f"mask {keep.shape} does not fit {len(hypotheses)} sentences")
        for given in references:
            if isinstance(given, str) or not given:
                raise ValueError(f"each sentence needs a list of references, got {given!r}")
        kept = [i for i in range(len(hypotheses)) if keep[i]]
        if not kept:
            return cls.empty()
        most = max(len(references[i]) for i in kept)  # sacrebleu wants the j-th of each, or None
        streams: list[list[Any]] = [
            [references[i][j] if j < len(references[i]) else None for i in kept]
            for j in range(most)
        ]
        scorer = SacreBLEU(tokenize=tokenize, force=True)
        score = scorer.corpus_score([hypotheses[i] for i in kept], streams)
        lengths = np.array([score.sys_len, score.ref_len])
        return cls(np.array(score.counts), np.array(score.totals), lengths)

    def merge(self, other: Self) -> Self:
        return dataclasses.replace(
            self,
            matches=self.matches + other.matches,
            ngrams=self.ngrams + other.ngrams,
            lengths=self.lengths + other.lengths,
        )

    def compute(self) -> float:
        return self.details().score if np.any(self.lengths) else 0.0

    def details(self) -> Any:
        """sacrebleu's own score object, with precisions and brevity penalty."""
        from sacrebleu.metrics import BLEU as SacreBLEU

        parts = (self.matches, self.ngrams, self.lengths)
        matches, ngrams, (length, wanted) = (np.asarray(part).tolist() for part in parts)
        return SacreBLEU.compute_bleu(matches, ngrams, length, wanted, smooth_method="exp")


def d2l_bleu(hypothesis: Sequence[str], reference: Sequence[str], k: int = 2) -> float:
    """The score of one sentence in Dive into Deep Learning, to compare with its tables only.

    `exp(min(0, 1 - |reference| / |hypothesis|))` times the precisions of n = 1..k to the power
    `2^-n`. The weights do not sum to one and sentences are averaged: use `BLEU` for the rest.

    Args:
        hypothesis: tokens; none score 0.
        reference: tokens.
        k: the longest n-gram; no longer than the hypothesis.
    Raises: ValueError if `k` is below 1.

    >>> round(d2l_bleu("A B B C D".split(), "A B C D E F".split()), 4)
    0.6815
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if not hypothesis:
        return 0.0
    score = math.exp(min(0.0, 1 - len(reference) / len(hypothesis)))
    for n in range(1, min(k, len(hypothesis)) + 1):
        outputs, wanted = _ngrams(hypothesis, n), _ngrams(reference, n)
        score *= ((outputs & wanted).total() / outputs.total()) ** 0.5**n
    return score


def _ngrams(tokens: Sequence[str], n: int) -> collections.Counter:
    return collections.Counter(zip(*(tokens[i:] for i in range(n)), strict=False))
