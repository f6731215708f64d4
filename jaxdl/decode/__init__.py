"""Decoding: tokens from any `step(carry, token) -> (carry, logits)`."""

from jaxdl.decode._sample import generate, sample
from jaxdl.decode._search import (
    Decoded,
    Penalty,
    beam_search,
    exhaustive,
    gnmt_penalty,
    greedy,
    power_penalty,
)

__all__ = [
    "Decoded",
    "Penalty",
    "beam_search",
    "exhaustive",
    "generate",
    "gnmt_penalty",
    "greedy",
    "power_penalty",
    "sample",
]
