"""Average precision against pycocotools, and against PASCAL's rule written out."""

import contextlib
import io

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdl import metrics, ops
from tests.ops.test_boxes import iou_and_giou, random_boxes
from tests.references import reference

coco = reference("pycocotools.coco")
cocoeval = reference("pycocotools.cocoeval")
B, D, M, K = 4, 9, 5, 3
AP = metrics.MeanAveragePrecision


def draw(seed):
    """Images with many equal scores and overlaps, some of them without objects or detections."""
    rng = np.random.default_rng(seed)
    truth = np.stack([random_boxes(seed + b, M) for b in range(B)])
    found = truth[:, rng.integers(0, M, D)] + rng.integers(-2, 3, (B, D, 4)) * (rng.random() < 0.8)
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2] + 1)  # pycocotools: 0 / 0 is a match
    classes = rng.integers(0, K, (B, M)).astype(np.int32)
    found_classes = rng.integers(0, K, (B, D)).astype(np.int32)
    classes[rng.random((B, M)) < 0.2] = -1
    classes[rng.integers(B)] = -1
    mask = rng.random((B, D)) < 0.8
    mask[rng.integers(B)] = False
    scores = rng.integers(1, 6, (B, D)).astype(np.float32) / 8
    detections = ops.Detections(found.astype(np.float32), scores, found_classes, mask)
    return detections, truth.astype(np.float32), classes, rng.random((B, M)) < 0.2


def of_batch(matching="coco", **options):
    def run(detections, truth, classes, ignore, mask=None):
        return AP.from_batch(
            detections,
            truth,
            classes,
            mask,
            ignore=ignore,
            num_classes=K,
            matching=matching,
            **options,
        )

    return jax.jit(run)


STATE = {matching: of_batch(matching) for matching in ("coco", "voc")}


def corner_size(box):
    x1, y1, x2, y2 = (float(c) for c in box)
    return [x1, y1, x2 - x1, y2 - y1]


def pycocotools(detections, truth, classes, ignore, recalls=None):
    """Precision `[T, R, K]`, NaN for classes without ground truth."""
    annotations = [
        {
            "image_id": b,
            "category_id": int(classes[b, m]),
            "bbox": corner_size(truth[b, m]),
            "area": float(np.prod(truth[b, m, 2:] - truth[b, m, :2])),
            "iscrowd": int(ignore[b, m]),
        }
        for b in range(B)
        for m in np.flatnonzero(classes[b] >= 0)
    ]
    results = [
        {
            "image_id": b,
            "category_id": int(detections.classes[b, d]),
            "bbox": corner_size(detections.boxes[b, d]),
            "score": float(detections.scores[b, d]),
        }
        for b in range(B)
        for d in np.flatnonzero(detections.mask[b])
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truths = coco.COCO()
        truths.dataset = {
            "info": {},
            "images": [{"id": b} for b in range(B)],
            "categories": [{"id": k} for k in range(K)],
            "annotations": [{"id": i + 1, **a} for i, a in enumerate(annotations)],
        }
        truths.createIndex()
        run = cocoeval.COCOeval(truths, truths.loadRes(results), "bbox")
        run.params.areaRng = [[0, 1e10]]
        run.params.areaRngLbl = ["all"]
        run.params.maxDets = [100]
        if recalls is not None:
            run.params.recThrs = recalls
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][..., 0, 0]
    return np.where(precision < 0, np.nan, precision)


@given(st.integers(0, 100_000))
def test_average_precision_is_pycocotools(seed):
    """101 and 11 points by its recall thresholds, the area by a threshold at every ground truth."""
    case = draw(seed)
    if not case[0].mask.any() or not (case[2] >= 0).any():
        return  # pycocotools needs one of each
    state = STATE["coco"](*case)
    for interpolation, recalls in (("coco", None), ("voc11", np.arange(11) / 10)):
        want = pycocotools(*case, recalls).mean(axis=1)
        got = state.average_precision(interpolation)
        np.testing.assert_allclose(got, want, atol=1e-6)
    for k, n in enumerate(np.asarray(state.positives)):
        if n:
            want = pycocotools(*case, np.arange(1, n + 1) / n)[..., k].mean(axis=1)
            np.testing.assert_allclose(state.average_precision("voc")[:, k], want, atol=1e-6)
    number = state.compute()
    if state.positives.any():
        want = np.nanmean(pycocotools(*case).mean(axis=1), axis=1)
        np.testing.assert_allclose(number["mAP"], want.mean(), atol=1e-6)
        np.testing.assert_allclose(number["mAP@0.75"], want[5], atol=1e-6)
    else:
        assert np.isnan(number["mAP"])


def voc(detections, truth, classes, ignore, k, threshold):
    """The development kit's loop over the detections of a class, surest first."""
    seen, outcomes = set(), []
    found = [(b, d) for b in range(B) for d in range(D)]
    found = [(b, d) for b, d in found if detections.mask[b, d] and detections.classes[b, d] == k]
    for b, d in sorted(found, key=lambda i: -detections.scores[i]):
        ious = [
            iou_and_giou(detections.boxes[b, d].astype(float), box.astype(float))[0] * (c == k)
            for box, c in zip(truth[b], classes[b], strict=True)
        ]
        m = int(np.argmax(ious))
        if ious[m] < threshold:
            outcomes.append(False)
        elif not ignore[b, m]:
            outcomes.append((b, m) not in seen)
            seen.add((b, m))
    recall = np.cumsum(outcomes) / np.sum((classes == k) & ~ignore)
    return recall, np.cumsum(outcomes) / np.arange(1, len(outcomes) + 1)


@given(st.integers(0, 100_000))
def test_pascals_rule(seed):
    """A second detection of one object is a miss, difficult objects count for nothing."""
    case = draw(seed)
    state = STATE["voc"](*case)
    eleven, area = (state.average_precision(name)[0] for name in ("voc11", "voc"))
    for k in np.flatnonzero(state.positives):
        recall, precision = voc(*case, k, 0.5)
        got = state.curve(k, 0.5)
        np.testing.assert_allclose(got[0], recall)
        np.testing.assert_allclose(got[1], precision)
        points = [max(precision[recall >= r], default=0.0) for r in np.arange(11) / 10]
        np.testing.assert_allclose(eleven[k], np.mean(points), atol=1e-9)
        steps = np.unique(np.append(recall, 0.0))
        best = [max(precision[recall >= r], default=0.0) for r in steps[1:]]
        np.testing.assert_allclose(area[k], np.sum(np.diff(steps) * best), atol=1e-9)


@given(st.integers(0, 1000), st.integers(0, B))
def test_any_split_and_padding_give_the_number_of_the_whole(seed, cut):
    case = draw(seed)
    whole = STATE["coco"](*case)
    parts = AP.empty(K)
    for keep in (np.arange(B) < cut, np.arange(B) >= cut):
        parts = parts.merge(STATE["coco"](*case, keep))
    np.testing.assert_array_equal(parts.average_precision(), whole.average_precision())


def test_a_capacity_is_kept_and_reported():
    case = draw(5)
    within, beyond = of_batch(capacity=B * D), of_batch(capacity=3)
    whole = STATE["coco"](*case).average_precision()
    scanned, _ = jax.lax.scan(
        lambda state, x: (state.merge(of_batch()(*jax.tree.map(lambda a: a[None], x))), None),
        AP.empty(K, capacity=B * D),
        case,
    )
    for state in (within(*case), scanned):
        np.testing.assert_array_equal(state.average_precision(), whole)
        assert state.scores.shape == (B * D,)
    full = beyond(*case)
    assert np.isnan(full.compute()["mAP"])
    with pytest.raises(ValueError, match="found no place in 3"):
        full.curve(0)


def test_predicting_background_everywhere_scores_nothing():
    """T4: over all anchors this predictor would look nearly perfect."""
    anchors = ops.anchor_boxes(8, 12, [0.3, 0.5], [1, 2], aspect=1.5)
    p = jnp.zeros((2, len(anchors), 1 + K)).at[..., 0].set(1.0)
    boxes = jnp.stack([anchors[40:43], anchors[100:103]])
    found = ops.multiclass_nms(jnp.stack([anchors, anchors]), p)
    classes = np.array([[0, 1, 2], [2, 0, -1]])
    assert AP.from_batch(found, boxes, classes, num_classes=K).compute()["mAP"] == 0
    sure = jax.nn.one_hot(jnp.array([[1, 2, 3], [3, 1, 0]]), 1 + K)
    perfect = ops.multiclass_nms(boxes, sure)
    assert AP.from_batch(perfect, boxes, classes, num_classes=K).compute()["mAP"] == 1


def test_ground_truth_without_area_is_never_found_and_detections_without_a_box_are_misses():
    flat = np.array([[[0.2, 0.2, 0.2, 0.8], [0.1, 0.1, 0.5, 0.5]]], np.float32)
    found = ops.Detections(
        flat, np.array([[0.9, np.nan]]), np.zeros((1, 2), int), np.ones((1, 2), bool)
    )
    state = AP.from_batch(found, flat, np.zeros((1, 2), int), num_classes=1, thresholds=(0.5,))
    recall, precision, scores = state.curve(0)
    np.testing.assert_allclose(recall, [0, 0.5])
    np.testing.assert_allclose(precision, [0, 0.5])
    assert scores[1] == -np.inf
    empty = AP.from_batch(found, flat[:, :0], np.zeros((1, 0), int), num_classes=1)
    assert np.isnan(empty.compute()["mAP"])
    chex.assert_shape(empty.hits, (2, 10))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"classes": np.array([[7]])}, r"0\.\.2, got 7"),
        ({"classes": np.zeros((1, 2), int)}, "need detections"),
        ({"thresholds": (0.0,)}, "thresholds must lie"),
        ({"matching": "kitti"}, "got 'kitti'"),
        ({"mask": np.ones(2, bool)}, "need detections"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    zeros = np.zeros((1, 1, 4), np.float32)
    found = ops.Detections(zeros, zeros[..., 0], zeros[..., 0].astype(int), zeros[..., 0] > 1)
    arguments = {"boxes": zeros, "classes": np.zeros((1, 1), int), "num_classes": K}
    with pytest.raises(ValueError, match=message):
        AP.from_batch(found, **{**arguments, **options})
    with pytest.raises(ValueError, match="cannot merge"):
        AP.empty(2).merge(AP.empty(3))
    with pytest.raises(ValueError, match="one of"):
        AP.empty(2).curve(0, 0.51)
    with pytest.raises(ValueError, match="interpolation"):
        AP.empty(2).average_precision("12")
