"""FCN against a twin in torch; sizes, weights from a file, void pixels, small images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import data, losses, metrics, models, objectives
from jaxdl.models import weights
from tests.references import reference
from tests.slopes import assert_slopes

torch = reference("torch")
F = torch.nn.functional

BODY = models.ResNet(None, stages=(1, 1, 1), width=4)  # strides 4, 8, 16
MODEL = models.fcn8s(BODY, 3)


@pytest.fixture(scope="module")
def fresh():
    return MODEL.init(jax.random.key(0), jnp.zeros((1, 64, 96, 3)), train=False)


@pytest.fixture(scope="module")
def variables(fresh):
    """With scores and kernels that are not zeros or interpolation."""
    rng = np.random.default_rng(0)
    heads = {name: tree for name, tree in fresh["params"].items() if name != "body"}
    heads = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype("f4"), heads)
    return {**fresh, "params": {"body": fresh["params"]["body"], **heads}}


apply = jax.jit(lambda variables, x: MODEL.apply(variables, x, train=False))


def pictures(*size):
    return np.random.default_rng(1).normal(size=(2, *size, 3)).astype(np.float32)


def test_logits_of_an_oblong_image_equal_torchs(variables):
    """Body, scores, transposed convolutions and sums, with torch's operations."""
    x = pictures(64, 96)
    body_variables = {name: tree["body"] for name, tree in variables.items()}
    maps = models.features(BODY, body_variables, x, BODY.pyramid[:3])
    heads, score = variables["params"], 0.0
    for name, factor in (("layer3", 2), ("layer2", 2), ("layer1", 4)):
        kernel, bias = (
            torch.from_numpy(np.array(heads[f"score_{name}"][part])) for part in ("kernel", "bias")
        )
        features = torch.from_numpy(np.array(maps[name])).permute(0, 3, 1, 2)
        score = score + F.conv2d(features, kernel.permute(3, 2, 0, 1), bias)
        up = torch.from_numpy(np.array(heads[f"up_{name}"]["kernel"])).permute(2, 3, 0, 1)
        score = F.conv_transpose2d(score, up, stride=factor, padding=factor // 2)
    got = apply(variables, x)
    assert got.shape == (2, 64, 96, 3)
    np.testing.assert_allclose(got, score.permute(0, 2, 3, 1), atol=1e-4)


def test_sizes_the_stride_does_not_divide_are_padded_and_cut(variables):
    x = pictures(37, 50)
    padded = np.pad(x, ((0, 0), (0, 11), (0, 14), (0, 0)))
    got = apply(variables, x)
    assert got.shape == (2, 37, 50, 3)
    np.testing.assert_allclose(got, apply(variables, padded)[:, :37, :50], atol=1e-5)
    with pytest.raises(ValueError, match=r"FCN needs images of at least 16x16, got \(2, 15, 40"):
        apply(variables, pictures(15, 40))


def test_weights_of_the_body_are_really_loaded(variables, tmp_path):
    """T11: what a file of torch's names holds is what the body computes with."""
    source = models.ResNet(7, stages=(1, 1, 1), width=4)  # a classifier, its head left out
    trained = source.init(jax.random.key(5), jnp.zeros((1, 32, 32, 3)), train=False)
    weights.save(tmp_path / "body.safetensors", source, trained)
    old = {name: tree["body"] for name, tree in variables.items()}
    body, report = weights.load(tmp_path / "body.safetensors", BODY, old)
    assert report.complete
    assert report.unexpected == ("fc.bias", "fc.weight")
    x = pictures(32, 32)
    new = {name: {**tree, "body": body[name]} for name, tree in variables.items()}
    want = models.features(source, trained, x, ("layer3",))["layer3"]
    got = models.features(BODY, body, x, ("layer3",))["layer3"]
    np.testing.assert_array_equal(got, want)
    assert np.abs(apply(new, x) - apply(variables, x)).max() > 1e-3


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_levels_choose_what_is_scored(levels):
    model = models.fcn.fcn(BODY, 5, levels=levels)
    got, variables = jax.eval_shape(
        lambda key: model.init_with_output(key, pictures(32, 40), train=False), jax.random.key(0)
    )
    assert got.shape == (2, 32, 40, 5)
    heads = {f"{kind}_{name}" for kind in ("score", "up") for name in BODY.pyramid[:levels]}
    assert set(variables["params"]) == {"body", *heads}


def test_training_starts_with_the_coarsest_scores_alone(fresh):
    params = fresh["params"]
    assert params["score_layer3"]["kernel"].any()
    assert not params["score_layer2"]["kernel"].any()
    np.testing.assert_array_equal(params["up_layer1"]["kernel"][:, :, 0, 1], 0)  # bilinear


def test_a_vgg_serves_as_body_and_taps_are_checked():
    body = models.VGG(None, depths=(1, 1), widths=(4, 6))
    x = pictures(8, 12)
    got, _ = models.fcn16s(body, 2).init_with_output(jax.random.key(0), x, train=False)
    assert got.shape == (2, 8, 12, 2)
    for taps, message in (((), "needs taps"), (("pool1", "pool2"), "from coarse to fine")):
        with pytest.raises(ValueError, match=message):
            models.FCN(body.clone(taps=taps), 2).init(jax.random.key(0), x, train=False)
    with pytest.raises(ValueError, match=r"levels must lie in 1\.\.2"):
        models.fcn8s(body, 2)


def test_void_pixels_count_nowhere():
    """T24: neither loss, gradient nor metric knows what stands at a void pixel."""
    logits = jnp.asarray(pictures(4, 6))
    labels = np.random.default_rng(2).integers(0, 3, (2, 4, 6))
    labels[:, :2] = data.images.UNLABELED
    labels = jnp.asarray(labels)
    real = labels != data.images.UNLABELED

    def loss(logits):
        values = losses.softmax_cross_entropy(logits, labels)
        return metrics.Mean.from_values(values, real).compute()

    value, slope = jax.value_and_grad(loss)(logits)
    want = losses.softmax_cross_entropy(logits[:, 2:], labels[:, 2:]).mean()
    np.testing.assert_allclose(value, want, rtol=1e-6)
    assert not slope[:, :2].any()
    assert slope[:, 2:].any()
    got = metrics.MeanIoU.from_batch(logits, labels, real).compute()
    cut = metrics.MeanIoU.from_batch(logits[:, 2:], labels[:, 2:]).compute()
    np.testing.assert_allclose(got, cut)


def test_background_alone_is_accurate_but_has_a_poor_mean_iou():
    """T24: pixel accuracy is dominated by background."""
    labels = jnp.zeros((1, 10, 10), int).at[0, :2, :2].set(1).at[0, 8:, 8:].set(2)
    found = metrics.MeanIoU.from_batch(jnp.zeros((1, 10, 10), int), labels, num_classes=3)
    np.testing.assert_allclose(found.pixel_accuracy(), 0.92)
    np.testing.assert_allclose(found.compute(), 0.92 / 3, rtol=1e-6)


def test_it_learns_and_every_leaf_has_a_gradient(variables):
    x, mask = jnp.asarray(pictures(32, 32)), jnp.array([True, False])
    labels = (x.sum(-1) > 0).astype(int)
    objective = objectives.supervised(MODEL, losses.softmax_cross_entropy)
    batch = {"image": x, "label": labels, "mask": mask}
    stats = {"batch_stats": variables["batch_stats"]}

    def total(params, batch):
        return objective(params, stats, batch, jax.random.key(0), train=True)[0].compute()

    gradient = jax.jit(jax.grad(total))
    grads = gradient(variables["params"], batch)
    assert_slopes(functools.partial(total, batch=batch), variables["params"])
    other = {**batch, "image": x.at[1].set(7.0)}  # padding has no part, in batch norm either
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        grads, gradient(variables["params"], other),
    )  # fmt: skip
