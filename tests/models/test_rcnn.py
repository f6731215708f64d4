"""Detectors in two steps: what they are trained on, propose, classify and detect."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import data, models, nn, objectives, ops
from tests.references import reference
from tests.slopes import assert_slopes

K = 10
VGG = models.VGG(None, depths=(1, 1), widths=(4, 6), norm=nn.BatchNorm, taps=("relu2_1",))
RESNET = models.ResNet(None, stages=(1,), width=4, stem="small", taps=("stem", "layer1"))


def batch_of(num=3):
    """Images of 64 x 96, the last of them without an object."""
    batch = dict(data.images.scatter_digits(num, size=(64, 96)).columns)
    batch["classes"][-1], batch["boxes"][-1] = -1, 0
    batch["image"] = batch["image"].astype(np.float32) / 255
    return {**batch, "mask": np.ones(num, bool)}


def test_samples_are_what_was_asked_for():
    rng = np.random.default_rng(0)
    boxes = np.array([[0.1, 0.1, 0.4, 0.5], [0.6, 0.5, 0.9, 0.9], [0, 0, 0, 0]], np.float32)
    classes = np.array([4, 7, -1])
    near = boxes[rng.integers(0, 2, 20)] + rng.normal(size=(20, 4)).astype(np.float32) * 0.02
    far = near * 0.3
    proposals = np.concatenate([near, far]).astype(np.float32)
    mask = np.arange(40) % 5 > 0

    @jax.jit
    def draw(key):
        return ops.sample_regions(key, proposals, mask, boxes, classes, num_samples=16)

    got = draw(jax.random.key(0))
    positive = np.asarray(got.classes) > 0
    assert positive.sum() == 4  # a quarter of 16
    assert set(got.classes.tolist()) <= {0, 5, 8}
    assert got.mask.all()
    own = boxes[(np.asarray(got.classes) == 8).astype(int)]
    iou = np.diagonal(ops.box_iou(got.boxes, own))
    assert np.all(iou[positive] >= 0.5)
    assert np.all(np.max(ops.box_iou(got.boxes, boxes[:2]), axis=1)[~positive] < 0.5)
    back = ops.decode_boxes(got.offsets, got.boxes)
    np.testing.assert_allclose(back[positive], own[positive], atol=1e-5)
    assert not np.any(np.asarray(got.offsets)[~positive])
    again = draw(jax.random.key(1))
    assert np.any(again.boxes != got.boxes)
    none = ops.sample_regions(
        jax.random.key(0), proposals, mask & False, boxes * 0, classes * 0 - 1, num_samples=16
    )
    assert not none.mask.any()
    assert not none.classes.any()


@pytest.mark.parametrize("body", [VGG, RESNET], ids=["vgg", "resnet"])
def test_joint_training_reaches_every_parameter(body):
    """One step: the loss falls, all gradients are finite and none is missing."""
    model = models.FastRCNN(body, K, (3, 2), dense_size=8, anchor_sizes=(0.3, 0.5))
    batch = batch_of()
    objective = objectives.regions(model, num_proposals=6, num_samples=12)
    params, state = objective.init(jax.random.key(0), batch)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        mean, _ = objective(params, state, batch, jax.random.key(1), train=True)
        return mean.compute()

    before, slopes = loss(params)
    chex.assert_tree_all_finite(slopes)
    for path, slope in jax.tree.leaves_with_path(slopes):
        assert np.any(slope), path
    after, _ = loss(optax.apply_updates(params, jax.tree.map(lambda g: -1e-3 * g, slopes)))
    assert after < before


def test_features_once_then_any_number_of_regions():
    model = models.FastRCNN(VGG, K, (2, 2), dense_size=8, pooling="pool")
    images = batch_of()["image"]
    boxes = np.sort(np.random.default_rng(0).random((3, 7, 2, 2)), axis=2).reshape(3, 7, 4)
    variables = model.init(jax.random.key(0), images, boxes, train=False)
    together = model.apply(variables, images, boxes, train=False)
    maps = model.apply(variables, images, train=False, method="features")
    parts = [
        model.apply(variables, maps, b, method="classify") for b in (boxes[:, :3], boxes[:, 3:])
    ]
    joined = jax.tree.map(lambda *a: jnp.concatenate(a, axis=1), *parts)
    chex.assert_trees_all_close(joined, together, atol=1e-6)
    mask = np.arange(7)[None] < np.array([7, 2, 0])[:, None]
    found = ops.detect_regions(together, boxes, mask, score_threshold=0.0, max_outputs=9)
    assert found.mask.any(axis=1).tolist() == [True, True, False]
    with pytest.raises(ValueError, match="no proposal network"):
        model.apply(variables, maps, method="propose")


def test_proposals_are_the_surest_and_apart():
    anchors = ops.anchor_boxes(4, 6, [0.6, 0.62], [1], aspect=1.5)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, len(anchors), 2)).astype(np.float32)
    offsets = rng.normal(size=(2, len(anchors), 4)).astype(np.float32) / 2
    boxes, mask = ops.best_proposals(logits, offsets, anchors, num_proposals=60)
    assert 10 < mask.sum(1).min() < 48
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    own = boxes[0][mask[0]]
    assert np.all(np.asarray(ops.box_iou(own, own))[~np.eye(len(own), dtype=bool)] <= 0.7 + 1e-6)
    best = np.argmax(logits[0, :, 1] - logits[0, :, 0])
    want = ops.clip_boxes(ops.decode_boxes(offsets[0], anchors))[best]
    np.testing.assert_allclose(boxes[0, 0], want, atol=1e-6)


def test_rcnn_sees_each_region_as_an_image():
    model = models.RCNN(models.VGG(None, depths=(1, 1), widths=(4, 6)), K, crop_size=(64, 96))
    images = batch_of()["image"]
    whole = np.broadcast_to(np.array([0.0, 0, 1, 1], np.float32), (3, 1, 4))
    variables = model.init(jax.random.key(0), images, whole, train=False)
    outputs = model.apply(variables, images, whole, train=False)
    assert outputs.offsets.shape == (3, 1, K, 4)
    body = {"params": variables["params"]["body"]}
    maps = model.body.apply(body, images, train=False)
    head = variables["params"]["head"]
    want = jnp.mean(maps, axis=(1, 2)) @ head["kernel"] + head["bias"][None]
    np.testing.assert_allclose(outputs.logits[:, 0], want, atol=1e-5)


def test_rcnn_is_trained_by_the_objective_of_regions():
    body = models.VGG(None, depths=(1, 1), widths=(4, 6))
    model, batch = models.RCNN(body, K, crop_size=(16, 24)), dict(batch_of())
    batch["image"] = batch["image"].astype(np.float32)
    num = len(batch["image"])
    batch["proposals"] = np.tile(
        np.array([[0.0, 0, 0.5, 0.5], [0.1, 0.1, 1, 1]], np.float32), (num, 1, 1)
    )
    batch["proposal_mask"] = np.ones((num, 2), bool)
    batch["mask"] = np.ones(num, bool)
    params = model.init(jax.random.key(0), batch["image"], batch["proposals"], train=False)[
        "params"
    ]
    objective = objectives.regions(model, num_samples=4)

    def loss(params):
        return objective(params, {}, batch, jax.random.key(1), train=True)[0].total

    assert loss(params) > 0
    assert_slopes(loss, params)


def test_selective_search_finds_a_square():
    reference("cv2")
    image = np.full((1, 64, 96, 3), 30, np.uint8)
    image[0, 16:48, 30:70] = (200, 60, 90)
    boxes, mask = data.images.selective_search(image, 20)
    assert boxes.shape == (1, 20, 4)
    assert 0 < mask.sum() < 20
    iou = ops.box_iou(boxes[0], np.array([[30 / 96, 0.25, 70 / 96, 0.75]], np.float32))
    assert np.max(iou) > 0.85
    assert not boxes[~mask].any()
    with pytest.raises(ValueError, match="float32"):
        data.images.selective_search(image.astype(np.float32))


def test_wrong_arguments_are_named():
    images, boxes = np.zeros((1, 16, 16, 3), np.float32), np.zeros((1, 2, 4), np.float32)
    for model, message in (
        (models.FastRCNN(VGG, K, pooling="mean"), "got 'mean'"),
        (models.FastRCNN(VGG.clone(taps=()), K), "needs taps"),
    ):
        with pytest.raises(ValueError, match=message):
            model.init(jax.random.key(0), images, boxes, train=False)
    with pytest.raises(ValueError, match=r"as models\.FastRCNN does; got VGG"):
        objectives.regions(VGG)
