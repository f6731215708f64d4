"""The trainer of GloVe: AdaGrad on the rows that a batch of cells touches, an epoch a program."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import data, metrics, word_vectors
from jaxdl.word_vectors._losses import glove_loss


def make_glove(
    num_cells: int,
    *,
    batch_size: int = 1024,
    learning_rate: float = 0.05,
    max_count: float = 100.0,
    power: float = 0.75,
    seed: int = 0,
) -> Callable[..., tuple[word_vectors.glove.Params, word_vectors.glove.Params, metrics.Mean]]:
    """Builds `epoch(params, squares, cells, k) -> (params, squares, loss)`, compiled.

    Cells come in an order that is a function of (seed, k). `squares` has the structure of params
    and starts at 1, as in GloVe's program (`jax.tree.map(jnp.ones_like, params)`); both are
    donated. The update of a number g is `-rate * g / sqrt(squares)`, squares with g^2 added, where
    g is the gradient of half the loss `word_vectors.glove_loss`. The reported loss is its mean over
    cells.

    >>> from jaxdl.word_vectors import glove
    >>> cells = glove.Cells(np.array([0, 1]), np.array([1, 0]), np.array([1.0, 100.0], np.float32))
    >>> params = jax.tree.map(jnp.zeros_like, glove.init(jax.random.key(0), 2, 3))
    >>> epoch = make_glove(num_cells=2, batch_size=2)
    >>> params, squares, loss = epoch(params, jax.tree.map(jnp.ones_like, params), cells, 0)
    >>> loss.compute()  # (0^2 + log(100)^2) / 2
    Array(10.604, dtype=float32)

    Raises: ValueError if the batch size is not in 1..num_cells, or the rate is not positive.
    """
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be positive and finite, got {learning_rate}")
    num_batches = data.num_batches(num_cells, batch_size)
    weighted = functools.partial(glove_loss, max_count=max_count, power=power)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def epoch(params: Any, squares: Any, cells: word_vectors.glove.Cells, k: Any) -> Any:
        def step(i: jax.Array, carry: Any) -> Any:
            params, squares, total = carry
            at, mask = data.batch_indices(jnp, num_cells, batch_size, k * num_batches + i, seed)
            row, column = cells.rows[at], cells.columns[at]
            counts = jnp.where(mask, cells.counts[at], 0)  # padding: a cell of 0 counts for nothing
            ids = {name: row if "input" in name else column for name in params}

            def half_loss(rows: Any) -> jax.Array:
                return jnp.sum(weighted(word_vectors.glove.scores(rows), counts)) / 2

            gathered = {name: params[name][ids[name]] for name in params}
            half, grads = jax.value_and_grad(half_loss)(gathered)
            squares = {n: squares[n].at[ids[n]].add(jnp.square(grads[n])) for n in params}
            params = {
                n: params[n]
                .at[ids[n]]
                .add(-learning_rate * grads[n] / jnp.sqrt(squares[n][ids[n]]))
                for n in params
            }
            return params, squares, total + 2 * half

        carry = (params, squares, jnp.zeros(()))
        params, squares, total = jax.lax.fori_loop(0, num_batches, step, carry)
        return params, squares, metrics.Mean(total=total, weight=jnp.float32(num_cells))

    return epoch
