"""Batch k is a function of (seed, k): order, padding and both drivers' copies of it."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import data
from tests.references import reference

stats = reference("scipy.stats")


def split_of(n: int) -> data.Dataset:
    return data.Dataset(
        {"x": np.arange(3 * n, dtype=np.float32).reshape(n, 3) + 1, "label": np.arange(n) + 1}
    )


@hypothesis.settings(max_examples=8)  # every n is a compilation
@hypothesis.given(n=st.integers(1, 70), seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation_with_the_same_bits_in_numpy_and_jax(n, seed, epoch):
    on_host = data.shuffled(np.arange(n), n, seed, epoch)
    assert sorted(on_host) == list(range(n))
    np.testing.assert_array_equal(on_host, data.shuffled(jnp.arange(n), n, seed, epoch))


def test_positions_are_uniform_over_seeds_and_epochs():
    """Chi-square of where example 3 of 20 goes, and of which neighbor follows it."""
    n = 20
    orders = np.stack([data.shuffled(np.arange(n), n, s, e) for s in range(60) for e in range(60)])
    place = np.bincount(np.argmax(orders == 3, axis=1), minlength=n)
    assert stats.chisquare(place).pvalue > 1e-3
    follower = [row[(np.flatnonzero(row == 3)[0] + 1) % n] for row in orders]
    assert stats.chisquare(np.delete(np.bincount(follower, minlength=n), 3)).pvalue > 1e-3


def test_every_example_comes_once_an_epoch_and_padding_is_zero_and_masked():
    split = split_of(10)
    for epoch in range(3):
        made = list(data.batches(split, 4, seed=1, start=3 * epoch, epochs=epoch + 1))
        assert len(made) == 3
        assert sorted(np.concatenate([b["label"][b["mask"]] for b in made])) == list(range(1, 11))
        last = made[-1]
        np.testing.assert_array_equal(last["mask"], [True, True, False, False])
        assert not last["x"][2:].any()
        assert not last["label"][2:].any()


def test_batch_k_does_not_depend_on_where_one_starts():
    split = split_of(23)
    whole = list(data.batches(split, 5, seed=7, epochs=3))
    for k, batch in enumerate(data.batches(split, 5, seed=7, epochs=3, start=6), start=6):
        np.testing.assert_array_equal(batch["label"], whole[k]["label"])
        np.testing.assert_array_equal(
            batch["x"], data.host_batch(split, k, batch_size=5, seed=7)["x"]
        )
    assert any((whole[0]["label"] != whole[5]["label"]).tolist())  # epochs differ


@pytest.mark.parametrize("seed", [None, 3])
def test_resident_batches_are_the_streamed_ones(seed):
    split = split_of(11)
    columns = jax.device_put(dict(split.columns))
    gather = jax.jit(lambda columns, k: data.resident_batch(columns, k, batch_size=4, seed=seed))
    for k, batch in enumerate(data.batches(split, 4, seed=seed, epochs=2)):
        jax.tree.map(np.testing.assert_array_equal, batch, dict(gather(columns, k)))


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_batch_size_out_of_range_is_named(size):
    with pytest.raises(ValueError, match=f"between 1 and 10 examples, got {size}"):
        data.batches(split_of(10), size)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        data.Dataset({"x": np.zeros(3), "y": np.zeros(4)})
