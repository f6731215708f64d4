"""Batch k of a run is a function of `(seed, k)` alone.

The order of an epoch is a keyed bijection of 0..n-1 computed point by point (a Feistel network over
the index, with cycle walking), in NumPy on the host and in JAX on the device with the same bits. So
a position in the data is one integer, nothing is stored to resume, any process can compute its own
share, and both drivers see the same batches. (`jax.random.permutation` would sort all keys for the
few of one batch.)
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.data._dataset import Dataset
from jaxdl.data._records import Records, read_ahead

_ROUNDS = 8


def num_batches(num_examples: int, batch_size: int) -> int:
    """Batches in one epoch, the last ragged one included.

    >>> num_batches(10, batch_size=4)
    3

    Raises: ValueError if the batch size is not in 1..num_examples.
    """
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"batch_size must be between 1 and {num_examples} examples, got {batch_size}"
        )
    return -(-num_examples // batch_size)


def num_steps(num_examples: int, batch_size: int, epochs: int) -> int:
    """Batches in so many epochs: the length of a run, for its schedules.

    >>> num_steps(10, batch_size=4, epochs=2)
    6

    Raises: ValueError if the batch size is not in 1..num_examples, or `epochs` is negative.
    """
    if epochs < 0:
        raise ValueError(f"epochs must not be negative, got {epochs}")
    return epochs * num_batches(num_examples, batch_size)


def shuffled(index: Any, num_examples: int, seed: Any, epoch: Any) -> Any:
    """Sends positions 0..n-1 to examples 0..n-1, a different bijection for every (seed, epoch).

    >>> shuffled(np.arange(5), 5, seed=0, epoch=0)
    array([2, 0, 4, 1, 3], dtype=int32)
    >>> shuffled(np.arange(5), 5, seed=0, epoch=1)
    array([0, 3, 4, 2, 1], dtype=int32)

    Args:
        index: integers `[...]` below `num_examples`, a NumPy array or a JAX one.
        num_examples: n, a Python integer between 1 and 2^31 - 1.
        seed, epoch: integers, traced or not; only their low 32 bits count.
    Returns: integers `[...]`, of the array library of `index`, as int32.
    Reference: Black & Rogaway, Ciphers with arbitrary finite domains, 2002 (cycle walking).
    """
    xp: Any = np if isinstance(index, np.ndarray) else jnp
    bits = max(2, (num_examples - 1).bit_length())
    low_bits = bits // 2
    low_mask, high_mask = xp.uint32((1 << low_bits) - 1), xp.uint32((1 << (bits - low_bits)) - 1)
    keys = _round_keys(xp, seed, epoch)

    def encipher(x: Any) -> Any:
        low, high = x & low_mask, x >> xp.uint32(low_bits)
        for r in range(0, _ROUNDS, 2):
            low = low ^ (_mix(xp, high + keys[r]) & low_mask)
            high = high ^ (_mix(xp, low + keys[r + 1]) & high_mask)
        return (high << xp.uint32(low_bits)) | low

    def walk(x: Any) -> Any:  # outside 0..n-1 the walk goes on, inside it stays
        return xp.where(x >= num_examples, encipher(x), x)

    x = encipher(xp.asarray(index).astype(xp.uint32))
    if xp is np:
        while (x >= num_examples).any():
            x = walk(x)
    else:
        x = jax.lax.while_loop(lambda x: jnp.any(x >= num_examples), walk, x)
    return x.astype(xp.int32)


def _round_keys(xp: Any, seed: Any, epoch: Any) -> list[Any]:
    # One-element arrays, not scalars: NumPy warns when a scalar wraps around, which is meant here.
    def word(value: Any) -> Any:
        if isinstance(value, int):
            value %= 1 << 32
        return xp.asarray(value).astype(xp.uint32).reshape(1)

    key = _mix(xp, _mix(xp, word(seed) + xp.uint32(0x9E3779B9)) + word(epoch))
    golden = xp.asarray([0x9E3779B9], xp.uint32)
    keys = [_mix(xp, key + golden * xp.uint32(r + 1)) for r in range(_ROUNDS)]
    return keys if xp is np else [k[0] for k in keys]


def _mix(xp: Any, x: Any) -> Any:
    """The finalizer of MurmurHash3: every input bit reaches every output bit."""
    x = (x ^ (x >> xp.uint32(16))) * xp.uint32(0x85EBCA6B)
    x = (x ^ (x >> xp.uint32(13))) * xp.uint32(0xC2B2AE35)
    return x ^ (x >> xp.uint32(16))


def batch_indices(
    xp: Any, num_examples: int, batch_size: int, k: Any, seed: int | None
) -> tuple[Any, Any]:
    """Examples `[B]` of batch k and their mask `[B]`, False where the last batch runs over the end.

    `xp` is `numpy` or `jax.numpy`; `seed=None` keeps the order of the split.

    >>> batch_indices(np, num_examples=5, batch_size=2, k=2, seed=None)  # the last one of an epoch
    (array([4, 4]), array([ True, False]))

    Raises: ValueError if the batch size is not in 1..num_examples.
    """
    steps = num_batches(num_examples, batch_size)
    position = (k % steps) * batch_size + xp.arange(batch_size)
    mask = position < num_examples
    index = xp.minimum(position, num_examples - 1)
    if seed is not None:
        index = shuffled(index, num_examples, seed, k // steps)
    return index, mask


def batches(
    split: Dataset | Records,
    batch_size: int,
    *,
    seed: int | None = None,
    start: int = 0,
    epochs: int = 1,
    sharding: Any = None,
) -> Iterator[dict[str, Any]]:
    """Streams batches `start`, `start + 1`, ... until `epochs` epochs of the data have been seen.

    >>> for batch in batches(Dataset({"x": np.array([1, 2, 3])}), batch_size=2):
    ...     print(batch["x"], batch["mask"])
    [1 2] [ True  True]
    [3 0] [ True False]

    Args:
        split: the examples; a whole batch is gathered at a time, of `Records` ahead of its use.
        batch_size: examples per batch, over all devices.
        seed: of the order, another one each epoch; None keeps the order of the split.
        start: number of the first batch, counted from the first epoch (to resume: the step).
        epochs: how often the data is seen, counted from batch 0.
        sharding: where to put the arrays (`jax.device_put`); None leaves them on the host.
    Yields: a dict of arrays `[batch_size, ...]` with a boolean "mask" `[batch_size]`. The last
        batch of an epoch is filled up with zeros whose mask is False; no example is dropped.
    Raises: ValueError if the batch size is not in 1..len(split).
    """
    total = num_steps(len(split), batch_size, epochs)

    # Not a generator itself, so that a wrong batch size is reported at the call.
    make = functools.partial(host_batch, split, batch_size=batch_size, seed=seed)
    ahead = read_ahead(make, start, total) if isinstance(split, Records) else None
    made = ahead or (make(k) for k in range(start, total))
    return made if sharding is None else (jax.device_put(batch, sharding) for batch in made)


def host_batch(
    split: Dataset | Records,
    k: int,
    *,
    batch_size: int,
    seed: int | None = None,
    rows: slice = slice(None),
) -> dict[str, np.ndarray]:
    """Batch k of `batches`, alone; or some rows of it, one process's share.

    >>> host_batch(Dataset({"x": np.array([1, 2, 3])}), 1, batch_size=2)
    {'x': array([3, 0]), 'mask': array([ True, False])}

    Raises: ValueError if the batch size is not in 1..len(split).
    """
    index, mask = batch_indices(np, len(split), batch_size, k, seed)
    index, mask = index[rows], mask[rows]
    made = split.rows(index)
    return {**{name: _fill(column, mask) for name, column in made.items()}, "mask": mask}


def _fill(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    count = int(mask.sum())  # real rows come first
    if count < len(rows):
        rows[count:] = np.zeros((), rows.dtype)
    return rows


def resident_batch(
    columns: Mapping[str, jax.Array], k: jax.Array, *, batch_size: int, seed: int | None = None
) -> dict[str, jax.Array]:
    """The same batch k as `batches` gives, gathered from columns on the device, inside `jit`.

    >>> columns = {"x": jnp.array([1, 2, 3])}
    >>> jax.jit(lambda k: resident_batch(columns, k, batch_size=2))(1)["x"]
    Array([3, 0], dtype=int32)

    Raises: ValueError if the batch size is not in 1..N.
    """
    num_examples = len(next(iter(columns.values())))
    index, mask = batch_indices(jnp, num_examples, batch_size, k, seed)

    def gather(column: jax.Array) -> jax.Array:
        rows = jnp.take(column, index, axis=0, mode="clip")
        return jnp.where(mask.reshape(mask.shape + (1,) * (rows.ndim - 1)), rows, 0)

    return {**{name: gather(column) for name, column in columns.items()}, "mask": mask}
