"""One way to say whether many of the same are computed together or one after the other.

On a CPU "map" keeps small arrays in the cache and lets each member stop when it is done; on an
accelerator "vmap" fills a device that one member cannot. "auto" goes by the platform of the
program, which need not be that of the machine that compiles it.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax

Vectorize = Literal["auto", "map", "vmap"]


def choose_vectorize(vectorize: Vectorize, platform: str) -> Vectorize:
    """What "auto" stands for on a platform ("cpu", "gpu", "tpu").

    >>> choose_vectorize("auto", "cpu"), choose_vectorize("auto", "tpu")
    ('map', 'vmap')

    Raises: ValueError if it is none of "auto", "map" and "vmap".
    """
    if vectorize not in ("auto", "map", "vmap"):
        raise ValueError(f"vectorize must be auto, map or vmap, got {vectorize!r}")
    if vectorize != "auto":
        return vectorize
    return "map" if platform == "cpu" else "vmap"


def vectorized(function: Callable[[Any], Any], xs: Any, vectorize: Vectorize = "auto") -> Any:
    """`function` of each entry along the leading axis of every leaf of `xs`.

    >>> import jax.numpy as jnp
    >>> vectorized(lambda x: x.sum(), jnp.ones((2, 3)), "map")
    Array([3., 3.], dtype=float32)

    Args:
        vectorize: "map" for one after the other in one program (`lax.map`), "vmap" for all
            together, "auto" for what suits the platform that the program runs on.
    """
    choose_vectorize(vectorize, "cpu")

    def one_by_one(xs: Any) -> Any:
        return jax.lax.map(function, xs)

    together = jax.vmap(function)
    if vectorize == "auto":
        return jax.lax.platform_dependent(xs, cpu=one_by_one, default=together)
    return one_by_one(xs) if vectorize == "map" else together(xs)
