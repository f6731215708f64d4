"""Gradients held against differences of the loss itself."""

from typing import Any

import jax

from jaxdl import inspect


def assert_slopes(loss: Any, params: Any, *, step: float = 1e-2, tolerance: float = 2e-2) -> None:
    """Every leaf's gradient is the loss's slope at some of its places, and is not zero throughout.

    The step is large, for networks compute in float32 whatever they are given.
    """
    report = inspect.check_gradients(loss, params, samples=3, step=step, tolerance=tolerance)
    assert report.passed, report
    grads = jax.jit(jax.grad(loss))(params)
    for path, leaf in jax.tree.leaves_with_path(grads):
        assert (leaf != 0).any(), path
