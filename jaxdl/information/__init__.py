"""Information theory: tables of probabilities, samples, Gaussians, and words of a corpus.

All in nats, or in bits with `base=2`. `0 log 0` is 0, and KL is inf where `q = 0 < p`: no `nansum`
hides it. Gradients are finite wherever the value is.
"""

from jaxdl.information._association import Association, cooccurrence, word_associations
from jaxdl.information._discrete import (
    conditional_entropy,
    cross_entropy,
    entropy,
    joint_entropy,
    js_divergence,
    kl_divergence,
    mutual_information,
    perplexity,
    pointwise_mutual_information,
    self_information,
    table_of,
)
from jaxdl.information._gaussian import (
    gaussian_cross_entropy,
    gaussian_entropy,
    gaussian_kl,
    gaussian_mutual_information,
)

__all__ = [
    "Association",
    "conditional_entropy",
    "cooccurrence",
    "cross_entropy",
    "entropy",
    "gaussian_cross_entropy",
    "gaussian_entropy",
    "gaussian_kl",
    "gaussian_mutual_information",
    "joint_entropy",
    "js_divergence",
    "kl_divergence",
    "mutual_information",
    "perplexity",
    "pointwise_mutual_information",
    "self_information",
    "table_of",
    "word_associations",
]
