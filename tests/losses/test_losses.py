"""Losses against torch (values, gradients, float32 and bfloat16), at the edges, and by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import losses, word_vectors
from tests.references import reference

torch = reference("torch")
F = torch.nn.functional
B, K = 6, 5
rng = np.random.default_rng(0)
LABELS = rng.integers(0, K, B)
ONES = rng.integers(0, 2, (B, K)).astype(np.float32)
P = rng.dirichlet(np.ones(K), B).astype(np.float32)
ONE_HOT = np.eye(K, dtype=np.float32)[LABELS]
COUNTS = rng.integers(0, 200, (B, K)).astype(np.float32)
SCALES = {"unit": 1.0, "extreme": 1e4}


def t(x):
    return torch.tensor(np.asarray(x))


def bce(z, y):
    return F.binary_cross_entropy_with_logits(z, t(y), reduction="none")


def focal(z, alpha):
    nll, p, y = bce(z, ONES), torch.sigmoid(z), t(ONES)
    weight = alpha * y + (1 - alpha) * (1 - y)
    return weight * (p * (1 - y) + (1 - p) * y) ** 2 * nll


def gram(z):
    return torch.einsum("bhwc,bhwd->bcd", z, z) / z[0].numel()


# name: (ours, torch's, shape of the scores)
CASES = {
    "softmax integer": (
        lambda z: losses.softmax_cross_entropy(z, jnp.array(LABELS)),
        lambda z: F.cross_entropy(z, t(LABELS), reduction="none"),
    ),
    "softmax probabilities": (
        lambda z: losses.softmax_cross_entropy(z, P),
        lambda z: F.cross_entropy(z, t(P), reduction="none"),
    ),
    "softmax smoothed": (
        lambda z: losses.softmax_cross_entropy(z, jnp.array(LABELS), label_smoothing=0.1),
        lambda z: F.cross_entropy(z, t(LABELS), reduction="none", label_smoothing=0.1),
    ),
    "sigmoid": (lambda z: losses.sigmoid_cross_entropy(z, ONES), lambda z: bce(z, ONES)),
    "sigmoid masked": (
        lambda z: losses.masked_sigmoid_cross_entropy(z, ONES, ONE_HOT + ONES > 0),
        lambda z: (bce(z, ONES) * t(ONE_HOT + ONES > 0)).sum(-1) / t(ONE_HOT + ONES > 0).sum(-1),
    ),
    "kl": (
        lambda z: losses.softmax_kl_divergence(z, P),
        lambda z: F.kl_div(F.log_softmax(z, -1), t(P), reduction="none").sum(-1),
    ),
    "hinge": (
        lambda z: losses.hinge_loss(z, 2 * ONES - 1),
        lambda z: torch.relu(1 - t(2 * ONES - 1) * z),
    ),
    "hinge squared": (
        lambda z: losses.hinge_loss(z, 2 * ONES - 1, squared=True, margin=0.5),
        lambda z: torch.relu(0.5 - t(2 * ONES - 1) * z) ** 2,
    ),
    "focal": (
        lambda z: losses.sigmoid_focal_loss(z, ONES, alpha=0.25),
        lambda z: focal(z, 0.25),
    ),
    "focal softmax": (
        lambda z: losses.softmax_focal_loss(z, jnp.array(LABELS)),
        lambda z: (
            (1 - torch.softmax(z, -1)[range(B), LABELS]) ** 2
            * F.cross_entropy(z, t(LABELS), reduction="none")
        ),
    ),
    "squared": (lambda z: losses.squared_error(z, P), lambda z: (z - t(P)) ** 2),
    "absolute": (lambda z: losses.absolute_error(z, P), lambda z: (z - t(P)).abs()),
    "mean squared": (
        lambda z: losses.mean_squared_error(z, P),
        lambda z: F.mse_loss(z, t(P), reduction="none").mean(-1),
    ),
    "sum squared": (
        lambda z: losses.sum_squared_error(z, P),
        lambda z: F.mse_loss(z, t(P), reduction="none").sum(-1),
    ),
    "huber": (
        lambda z: losses.huber_loss(z, P, delta=0.7),
        lambda z: F.huber_loss(z, t(P), delta=0.7, reduction="none"),
    ),
    "smooth l1": (
        lambda z: losses.smooth_l1_loss(z, P, beta=0.3),
        lambda z: F.smooth_l1_loss(z, t(P), beta=0.3, reduction="none"),
    ),
    "bpr": (lambda z: losses.bpr_loss(z, P), lambda z: -F.logsigmoid(z - t(P))),
    "pairwise hinge": (
        lambda z: losses.pairwise_hinge_loss(z, P, margin=0.5),
        lambda z: F.margin_ranking_loss(z, t(P), torch.ones(B, K), margin=0.5, reduction="none"),
    ),
    "sampled softmax": (
        lambda z: losses.sampled_softmax_loss(z[:, 0], z[:, 1:]),
        lambda z: F.cross_entropy(z, torch.zeros(B, dtype=torch.long), reduction="none"),
    ),
    "negative sampling": (
        lambda z: word_vectors.negative_sampling_loss(z[:, 0], z[:, 1:], ONES[:, 1:] > 0),
        lambda z: -F.logsigmoid(z[:, 0]) - (F.logsigmoid(-z[:, 1:]) * t(ONES[:, 1:])).sum(-1),
    ),
    "hierarchical softmax": (
        lambda z: word_vectors.hierarchical_softmax_loss(z, ONES, COUNTS > 50),
        lambda z: (bce(z, ONES) * t(COUNTS > 50)).sum(-1),
    ),
    "glove": (
        lambda z: word_vectors.glove_loss(z, COUNTS),
        lambda z: (
            torch.clamp((t(COUNTS) / 100) ** 0.75, max=1)
            * (z - torch.log(t(np.maximum(COUNTS, 1)))) ** 2
        ),
    ),
    "content": (
        lambda z: losses.content_loss(z[:, None, None], P[:, None, None]),
        lambda z: ((z - t(P)) ** 2).mean(-1),
    ),
    "style": (
        lambda z: losses.style_loss(
            z.reshape(2, 3, 1, K), losses.gram_matrix(P.reshape(2, 3, 1, K))
        ),
        lambda z: ((gram(z.reshape(2, 3, 1, K)) - gram(t(P.reshape(2, 3, 1, K)))) ** 2).mean(
            (1, 2)
        ),
    ),
    "total variation": (
        lambda z: losses.total_variation(z.reshape(2, 3, K, 1)),
        lambda z: (
            z.reshape(2, 3, K).diff(dim=1).abs().sum((1, 2))
            + z.reshape(2, 3, K).diff(dim=2).abs().sum((1, 2))
        ),
    ),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_against_torch(name, scale):
    """Both to 1e-6, relative at the extremes; the cotangent weighs every example differently."""
    ours, theirs = CASES[name]
    z = (np.random.default_rng(1).normal(size=(B, K)) * SCALES[scale]).astype(np.float32)
    if scale == "extreme":
        z[0] = [-1e4, 1e4, 1e4, 0.0, -1e4]  # ties and both ends in one row
    want_in = torch.tensor(z, requires_grad=True)
    want = theirs(want_in)
    weights = np.random.default_rng(2).uniform(0.5, 2, want.shape).astype(np.float32)
    want.backward(torch.tensor(weights))

    @jax.jit
    def value_and_gradient(z):
        value, pull = jax.vjp(ours, z)
        return value, pull(jnp.asarray(weights))[0], ours(z.astype(jnp.bfloat16))

    value, gradient, half = value_and_gradient(z)
    assert value.shape == want.shape
    tolerance = {"rtol": 4e-6, "atol": 1e-6 if scale == "unit" else 1e-5}
    np.testing.assert_allclose(value, want.detach().numpy(), **tolerance)
    np.testing.assert_allclose(gradient, want_in.grad.numpy(), **tolerance)
    assert half.dtype == jnp.float32  # from bfloat16: no more than the rounding of the input away
    np.testing.assert_allclose(half, value, rtol=0.1, atol=0.1 * SCALES[scale])


@pytest.mark.parametrize("name", ["softmax integer", "sigmoid", "focal", "focal softmax", "bpr"])
def test_second_derivative_is_finite_at_the_extremes(name):
    ours = CASES[name][0]
    z = jnp.array([[-1e4, 1e4, 0.0, 3.0, -1e4]] * B)

    def directional(z):
        return jnp.sum(jax.jvp(ours, (z,), (jnp.ones_like(z).at[:, 0].set(2.0),))[1])

    chex.assert_tree_all_finite(jax.jit(jax.grad(directional))(z))


def test_second_derivative_of_cross_entropy_by_hand():
    """The Hessian of softmax cross entropy is `diag(p) - p p^T`."""
    z = jnp.array([0.3, -1.0, 2.0])
    p = jax.nn.softmax(z)
    got = jax.hessian(lambda z: losses.softmax_cross_entropy(z, jnp.array(1)))(z)
    np.testing.assert_allclose(got, jnp.diag(p) - jnp.outer(p, p), atol=1e-6)


def test_cross_entropy_is_not_divided_by_the_classes():
    loss = losses.softmax_cross_entropy(jnp.zeros((1, 7)), jnp.array([3]))
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-6)


def test_integer_and_one_hot_labels_agree():
    z = rng.normal(size=(B, K)).astype(np.float32)
    np.testing.assert_allclose(
        losses.softmax_cross_entropy(z, LABELS), losses.softmax_cross_entropy(z, ONE_HOT), rtol=1e-6
    )


def test_a_class_ruled_out_costs_nothing_when_it_is_not_the_target():
    z = jnp.array([[0.0, -jnp.inf, 0.0]])
    loss = losses.softmax_cross_entropy(z, jnp.array([[0.5, 0.0, 0.5]]))
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


def test_sigmoid_cross_entropy_at_the_extremes():
    loss = losses.sigmoid_cross_entropy(jnp.array([1e4, -1e4, 1e4, 0.0]), jnp.array([1, 0, 0, 1]))
    np.testing.assert_allclose(loss, [0, 0, 1e4, np.log(2)], rtol=1e-6)


def test_masked_sigmoid_row_without_a_place_is_zero_whatever_it_holds():
    z = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]])
    mask = jnp.array([[True, True], [False, False]])

    def loss(z):
        return losses.masked_sigmoid_cross_entropy(z, jnp.zeros((2, 2)), mask)

    assert loss(z)[1] == 0
    np.testing.assert_array_equal(jax.jacobian(loss)(z)[1], 0)


def test_squared_error_has_no_half():
    assert losses.squared_error(jnp.array(3.0), jnp.array(1.0)) == 4
    assert losses.sum_squared_error(jnp.full((1, 2), 3.0), jnp.ones((1, 2)))[0] == 8


def test_huber_and_smooth_l1():
    y, zero = jnp.array([0.1, 5.0, -5.0]), jnp.zeros(3)
    np.testing.assert_allclose(
        losses.smooth_l1_loss(y, zero, beta=0.5), losses.huber_loss(y, zero, delta=0.5) / 0.5
    )
    np.testing.assert_allclose(losses.smooth_l1_loss(y, zero, beta=0), abs(y))


def test_multiclass_hinge_against_sklearn():
    metrics = reference("sklearn.metrics")
    scores = rng.normal(size=(50, K)).astype(np.float32)
    labels = rng.integers(0, K, 50)
    got = losses.multiclass_hinge_loss(scores, labels).mean()
    np.testing.assert_allclose(got, metrics.hinge_loss(labels, scores, labels=range(K)), rtol=1e-6)


def test_bpr_far_on_the_wrong_side():
    """T3: `log(sigmoid(-1e4))` is -inf; the loss here is linear with slope 1."""
    value, slope = jax.value_and_grad(losses.bpr_loss)(-1e4, 0.0)
    assert value == 1e4
    assert slope == -1


def test_focal_loss_at_gamma_zero_is_cross_entropy():
    z, y = jnp.linspace(-50, 50, 11), jnp.arange(11) % 2
    np.testing.assert_allclose(
        losses.sigmoid_focal_loss(z, y, gamma=0.0), losses.sigmoid_cross_entropy(z, y), rtol=1e-6
    )
    one = losses.softmax_focal_loss(jnp.ones((2, 1)), jnp.zeros(2, jnp.int32))
    np.testing.assert_array_equal(one, 0)  # a single class cannot be missed


def test_sampled_softmax_corrects_and_masks():
    """`log Q` is subtracted from the scores; a masked negative is as if it had not been drawn."""
    positive, negatives = jnp.array([1.0]), jnp.array([[0.5, 2.0, 9.0]])
    log_q = jnp.log(jnp.array([[0.2, 0.1, 0.7]]))
    got = losses.sampled_softmax_loss(
        positive,
        negatives,
        log_expected_positive=jnp.log(jnp.array([0.3])),
        log_expected_negatives=log_q,
        mask=jnp.array([[True, True, False]]),
    )
    odds = np.exp([1.0 - np.log(0.3), 0.5 - np.log(0.2), 2.0 - np.log(0.1)])
    np.testing.assert_allclose(got, -np.log(odds[0] / odds.sum()), rtol=1e-6)
    alone = losses.sampled_softmax_loss(positive, negatives, mask=jnp.zeros((1, 3), bool))
    assert alone[0] == 0


def test_total_variation_is_a_sum():
    image = jnp.array([[0.0, 1.0], [3.0, 7.0]])[None, :, :, None]
    assert losses.total_variation(image)[0] == (3 + 6) + (1 + 4)


def test_gram_matrix_by_hand():
    features = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 1, 2)
    np.testing.assert_allclose(losses.gram_matrix(features)[0], np.array([[10, 14], [14, 20]]) / 4)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, y: losses.softmax_cross_entropy(z, y),
        lambda z, y: losses.multiclass_hinge_loss(z, y),
        lambda z, y: losses.softmax_focal_loss(z, y),
    ],
)
def test_labels_out_of_range(loss):
    """NaN in a program, with a zero gradient; an error where they can be seen beforehand."""
    z = jnp.ones((3, 4))
    value = jax.jit(loss)(z, jnp.array([0, 4, -1]))
    np.testing.assert_array_equal(jnp.isnan(value), [False, True, True])
    gradient = jax.grad(lambda z: loss(z, jnp.array([0, 4, -1]))[0])(z)
    np.testing.assert_array_equal(gradient[1:], 0)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.3, got -1"):
        loss(z, np.array([0, 1, -1]))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: losses.softmax_cross_entropy(jnp.ones((3, 4)), jnp.ones((3, 1))), r"\(3, 1\)"),
        (lambda: losses.softmax_cross_entropy(jnp.ones((3, 4)), jnp.ones(4, int)), r"\(4,\)"),
        (lambda: losses.softmax_cross_entropy(1.0, 1), "scalar"),
        (
            lambda: losses.softmax_cross_entropy(
                jnp.ones((1, 2)), jnp.ones(1, int), label_smoothing=1
            ),
            r"\[0, 1\)",
        ),
        (lambda: losses.sigmoid_cross_entropy(jnp.ones((3, 1)), jnp.ones(3)), r"\(3, 1\).*\(3,\)"),
        (lambda: losses.squared_error(jnp.ones((3, 1)), jnp.ones(3)), r"\(3, 1\).*\(3,\)"),
        (lambda: losses.bpr_loss(jnp.ones((3, 1)), jnp.ones(3)), r"\(3, 1\).*\(3,\)"),
        (lambda: losses.softmax_kl_divergence(jnp.ones((3, 2)), jnp.ones((1, 2))), r"\(1, 2\)"),
        (lambda: losses.hinge_loss(np.ones(2), np.array([0, 1])), "one of"),
        (lambda: losses.huber_loss(jnp.ones(2), jnp.ones(2), delta=0), "delta"),
        (lambda: losses.smooth_l1_loss(jnp.ones(2), jnp.ones(2), beta=-1), "beta"),
        (lambda: losses.sigmoid_focal_loss(jnp.ones(2), jnp.ones(2), gamma=-1), "gamma"),
        (lambda: losses.softmax_focal_loss(jnp.ones((2, 2)), jnp.ones(2, int), gamma=-1), "gamma"),
        (lambda: word_vectors.negative_sampling_loss(jnp.ones(2), jnp.ones(2)), "one axis more"),
        (lambda: losses.sampled_softmax_loss(jnp.ones(2), jnp.ones(2)), "one axis more"),
        (lambda: word_vectors.glove_loss(jnp.ones(2), np.array([1, -1])), "negative"),
        (lambda: losses.total_variation(jnp.ones((3, 3))), r"\[B, H, W, C\]"),
        (lambda: losses.gram_matrix(jnp.ones((3, 3))), r"\[B, H, W, C\]"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_empty_batches_give_empty_losses():
    assert losses.softmax_cross_entropy(jnp.ones((0, 3)), jnp.ones(0, int)).shape == (0,)
    assert losses.squared_error(jnp.ones(0), jnp.ones(0)).shape == (0,)


def test_z_loss_is_the_square_of_the_log_normalizer():
    z = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32) * 3
    labels = np.array([0, 3, 2, 1])
    squares = jax.nn.logsumexp(z, axis=1) ** 2
    plain = losses.softmax_cross_entropy(z, labels)
    got = losses.softmax_cross_entropy(z, labels, z_loss=0.1)
    np.testing.assert_allclose(got, plain + 0.1 * squares, rtol=1e-5)
    theirs = torch.tensor(z, requires_grad=True)
    (F.cross_entropy(theirs, t(labels)) + 0.1 * (theirs.logsumexp(1) ** 2).mean()).backward()
    grad = jax.grad(lambda z: losses.softmax_cross_entropy(z, labels, z_loss=0.1).mean())(z)
    np.testing.assert_allclose(grad, theirs.grad, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="z_loss must not be negative, got -1"):
        losses.softmax_cross_entropy(z, labels, z_loss=-1)
