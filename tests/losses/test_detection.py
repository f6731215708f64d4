"""The loss of single-shot detectors: mining without a sort, masks, normalization, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import losses


def by_sorting(values, candidates, counts):
    marked = np.zeros(values.shape, bool)
    for row in range(len(values)):
        order = [a for a in np.argsort(-values[row], kind="stable") if candidates[row, a]]
        marked[row, order[: counts[row]]] = True
    return marked


def test_hardest_agrees_with_a_stable_sort_with_ties_and_extremes():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (40, 30)).astype(np.float32) * 0.3  # many equal, and zeros
    values[20:] = rng.exponential(size=(20, 30)) * 10.0 ** rng.integers(-30, 30, (20, 30))
    values[5, :3] = np.inf
    candidates = rng.random((40, 30)) < 0.7
    counts = rng.integers(0, 35, 40)
    counts[:2] = 0, 99
    got = jax.jit(losses.hard_negative_mining)(values, candidates, counts)
    np.testing.assert_array_equal(got, by_sorting(values, candidates, counts))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    classes = rng.integers(-8, 4, (3, 20)).clip(0)
    classes[2] = 0  # an image without objects
    return {
        "logits": jnp.asarray(rng.normal(size=(3, 20, 4)), jnp.float32),
        "offsets": jnp.asarray(rng.normal(size=(3, 20, 4)), jnp.float32),
        "classes": jnp.asarray(classes),
        "target_offsets": jnp.asarray(rng.normal(size=(3, 20, 4)), jnp.float32),
    }


def test_multibox_loss_against_loops(batch):
    got = losses.multibox_loss(**batch, negative_ratio=2.0)
    for n in range(3):
        logits, classes = np.asarray(batch["logits"][n]), np.asarray(batch["classes"][n])
        nll = np.log(np.exp(logits).sum(-1)) - logits[np.arange(20), classes]
        background = sorted(nll[classes == 0])[::-1][: 2 * (classes > 0).sum()]
        error = np.abs(np.asarray(batch["offsets"][n] - batch["target_offsets"][n]))[classes > 0]
        smooth = np.where(error < 1, 0.5 * error**2, error - 0.5).sum()
        total = nll[classes > 0].sum() + np.sum(background)
        np.testing.assert_allclose(got.classification[n], total, rtol=1e-5)
        np.testing.assert_allclose(got.localization[n], smooth, rtol=1e-5)
        assert got.positives[n] == (classes > 0).sum()
    assert got.classification[2] == got.localization[2] == 0
    absolute = losses.multibox_loss(**batch, beta=0.0).localization[0]
    error = jnp.abs(batch["offsets"] - batch["target_offsets"])[0]
    np.testing.assert_allclose(absolute, error[batch["classes"][0] > 0].sum(), rtol=1e-5)


def test_an_infinite_ratio_counts_every_anchor(batch):
    got = losses.multibox_loss(**batch, negative_ratio=np.inf)
    nll = losses.softmax_cross_entropy(batch["logits"], batch["classes"])
    np.testing.assert_allclose(got.classification, nll.sum(axis=-1), rtol=1e-6)


def test_focal_loss_takes_every_anchor(batch):
    got = losses.multibox_loss(**batch, focal_gamma=2.0)
    want = losses.softmax_focal_loss(batch["logits"], batch["classes"], gamma=2.0).sum(axis=-1)
    np.testing.assert_allclose(got.classification, want, rtol=1e-5)


def test_gradients_reach_what_was_counted_and_nothing_else(batch):
    def total(logits, offsets):
        return sum(
            jnp.sum(part)
            for part in losses.multibox_loss(**{**batch, "logits": logits, "offsets": offsets})[:2]
        )

    of_logits, of_offsets = jax.grad(total, argnums=(0, 1))(batch["logits"], batch["offsets"])
    positive = np.asarray(batch["classes"] > 0)
    assert (np.abs(of_offsets).sum(-1) > 0)[positive].all()
    assert not of_offsets[~positive].any()
    counted = np.abs(of_logits).sum(-1) > 0
    assert counted[positive].all()
    want = np.minimum(3 * positive.sum(1), (~positive).sum(1))
    np.testing.assert_array_equal((counted & ~positive).sum(1), want)


def test_shapes_that_do_not_fit_are_refused(batch):
    with pytest.raises(ValueError, match=r"\(3, 19\)"):
        losses.multibox_loss(**{**batch, "classes": batch["classes"][:, 1:]})
    with pytest.raises(ValueError, match="negative_ratio"):
        losses.multibox_loss(**batch, negative_ratio=-1.0)
    with pytest.raises(ValueError, match="counts"):
        losses.hard_negative_mining(jnp.ones((2, 3)), jnp.ones((2, 3), bool), jnp.ones(3, int))
