"""What holds for every loss: half precision is only a type of input, nothing is a fine batch."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import losses, word_vectors

B, K = 4, 8
rng = np.random.default_rng(0)
Z = rng.normal(size=(B, K)).astype(np.float32)
P = rng.dirichlet(np.ones(K), B).astype(np.float32)
ONES = rng.integers(0, 2, (B, K))
MASK = rng.random((B, K)) < 0.7
LABELS = rng.integers(0, K, B)
IMAGES, GRAMS = rng.random((B, 3, 3, 2)).astype(np.float32), np.ones((B, 2, 2), np.float32)
OFFSETS, CLASSES = rng.normal(size=(B, 6, 4)).astype(np.float32), rng.integers(0, 3, (B, 6))


def multibox(**options):
    def loss(logits, offsets, targets, classes):
        parts = losses.multibox_loss(logits, offsets, classes, targets, **options)
        return parts.classification + parts.localization

    return loss


ANCHORS = rng.normal(size=(B, 6, 3)).astype(np.float32), OFFSETS, -OFFSETS, CLASSES
# name: (the loss, its floating arguments and then the others, all [B, ...])
LOSSES = {
    "absolute_error": (losses.absolute_error, (Z, P)),
    "bpr_loss": (losses.bpr_loss, (Z, P)),
    "content_loss": (losses.content_loss, (IMAGES, 2 * IMAGES)),
    "glove_loss": (word_vectors.glove_loss, (Z, 10 * P)),
    "gram_matrix": (losses.gram_matrix, (IMAGES,)),
    "hierarchical_softmax_loss": (word_vectors.hierarchical_softmax_loss, (Z, ONES, MASK)),
    "hinge_loss": (losses.hinge_loss, (Z, 2 * ONES - 1)),
    "huber_loss": (losses.huber_loss, (Z, P)),
    "softmax_kl_divergence": (losses.softmax_kl_divergence, (Z, P)),
    "masked_sigmoid_cross_entropy": (losses.masked_sigmoid_cross_entropy, (Z, P, MASK)),
    "mean_squared_error": (losses.mean_squared_error, (Z, P)),
    "multibox_loss": (multibox(), ANCHORS),
    "multibox_loss focal": (multibox(focal_gamma=2.0), ANCHORS),
    "multiclass_hinge_loss": (losses.multiclass_hinge_loss, (Z, LABELS)),
    "negative_sampling_loss": (word_vectors.negative_sampling_loss, (Z[:, 0], Z, MASK)),
    "pairwise_hinge_loss": (losses.pairwise_hinge_loss, (Z, P)),
    "sampled_softmax_loss": (
        lambda p, n, lp, ln, mask: losses.sampled_softmax_loss(
            p, n, log_expected_positive=lp, log_expected_negatives=ln, mask=mask
        ),
        (Z[:, 0], Z, P[:, 0], P, MASK),
    ),
    "sigmoid_cross_entropy": (losses.sigmoid_cross_entropy, (Z, P)),
    "sigmoid_focal_loss": (losses.sigmoid_focal_loss, (Z, P)),
    "smooth_l1_loss": (losses.smooth_l1_loss, (Z, P)),
    "softmax_cross_entropy": (losses.softmax_cross_entropy, (Z, LABELS)),
    "softmax_cross_entropy of shares": (losses.softmax_cross_entropy, (Z, P)),
    "softmax_focal_loss": (losses.softmax_focal_loss, (Z, LABELS)),
    "squared_error": (losses.squared_error, (Z, P)),
    "style_loss": (losses.style_loss, (IMAGES, GRAMS)),
    "sum_squared_error": (losses.sum_squared_error, (Z, P)),
    "total_variation": (losses.total_variation, (IMAGES,)),
}


def test_the_family_is_whole():
    functions = {n for n in losses.__all__ if not isinstance(getattr(losses, n), type)}
    wing = {name for name in word_vectors.__all__ if name.endswith("_loss")}
    mining = {"hard_negative_mining"}
    assert functions - mining | wing == {name.split()[0] for name in LOSSES}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name, dtype):
    """Rounded inputs give what the same numbers give in float32, and not a rounded loss."""
    loss, args = LOSSES[name]
    half = [jnp.asarray(x, dtype) if x.dtype == np.float32 else x for x in args]
    same = [x.astype(jnp.float32) if x.dtype == dtype else x for x in half]
    got = loss(*half)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, loss(*same), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_nothing_has_no_loss(name):
    loss, args = LOSSES[name]
    none = [x[:0] for x in args]
    got = loss(*none)
    assert got.shape == (0, *loss(*args).shape[1:])
    grads = jax.grad(lambda z, *rest: jnp.sum(loss(z, *rest)))(*none)
    assert grads.shape == none[0].shape


def masked(name):
    """Every floating argument of a loss with a mask, and NaN where the mask is False."""
    loss, args = LOSSES[name]
    hidden = ~MASK
    if name == "glove_loss":
        args = args[0], np.where(hidden, 0, args[1]).astype(np.float32)
    if name.startswith("multibox"):
        hidden = CLASSES == 0
        args, spoiled = (
            args,
            [args[0], *(np.where(hidden[..., None], np.nan, x) for x in args[1:3]), args[3]],
        )
        return loss, args, spoiled
    spoil = lambda x: np.where(hidden, np.nan, x) if x.shape == hidden.shape else x  # noqa: E731
    last = len(args) - 1
    keep = {"glove_loss": 1, "hierarchical_softmax_loss": 1}.get(name, last)
    return loss, args, [spoil(x) if i < keep else x for i, x in enumerate(args)]


@pytest.mark.parametrize(
    "name",
    [
        "glove_loss",
        "hierarchical_softmax_loss",
        "masked_sigmoid_cross_entropy",
        "multibox_loss",
        "multibox_loss focal",
        "negative_sampling_loss",
        "sampled_softmax_loss",
    ],
)
def test_nan_behind_a_mask_reaches_no_gradient(name):
    """T39: masked after the loss, the value is right and the gradient is NaN."""
    loss, args, spoiled = masked(name)
    floating = tuple(i for i, x in enumerate(args) if x.dtype == np.float32)
    if name == "glove_loss":
        floating = (0,)
    value = lambda *args: jnp.sum(loss(*args))  # noqa: E731
    want = jax.value_and_grad(value, argnums=floating)(*args)
    got = jax.value_and_grad(value, argnums=floating)(*spoiled)
    chex.assert_trees_all_close(got, want, rtol=1e-6)


def test_kl_divergence_of_half_precision_by_hand():
    """The entropy in bfloat16 is off by more than the divergence itself."""
    p = jnp.asarray(P, jnp.bfloat16)
    p64 = np.asarray(p, float)
    z = np.log(p64) + 1e-3 * np.asarray(Z)
    log_q = z - np.log(np.sum(np.exp(z), -1, keepdims=True))
    want = np.sum(p64 * (np.log(p64) - log_q), -1)
    np.testing.assert_allclose(
        losses.softmax_kl_divergence(z.astype(np.float32), p), want, atol=2e-6
    )
