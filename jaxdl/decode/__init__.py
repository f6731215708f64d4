"""Decoding: tokens from any `step(carry, token) -> (carry, logits)`."""

from jaxdl.decode._sample import generate, sample

__all__ = ["generate", "sample"]
