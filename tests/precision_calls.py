"""Calls of the functions that promise exact numbers, so that their programs can be read."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, decode, information, metrics, ops, recommenders, word_vectors

r = np.random.default_rng(0)
N, D, K = 23, 5, 3
X, Y = r.normal(size=(N, D)).astype(np.float32), r.normal(size=N).astype(np.float32)
SIGNS, LABELS = np.sign(Y), r.integers(0, K, N)
COUNTS = r.integers(0, 5, (N, D)).astype(np.float32)
IMAGE = r.random((9, 11, 1)).astype(np.float32)
BOXES = np.array([[0.0, 0.0, 0.5, 0.5], [0.2, 0.1, 0.9, 0.8], [0.4, 0.4, 0.7, 1.0]], np.float32)
P, Q = (r.dirichlet(np.ones(K), 4).astype(np.float32) for _ in range(2))
COV, MEAN = np.eye(D, dtype=np.float32) * 2, np.zeros(D, np.float32)
FEATURES = r.random((1, 7, 8, 2)).astype(np.float32)
RATINGS = r.integers(0, 6, (13, 17)).astype(np.float32)
LINEAR = classical.Linear(jnp.ones(D), jnp.zeros(()))
LOGITS, SCORES = r.normal(size=(N, K)).astype(np.float32), r.normal(size=N).astype(np.float32)


def squares(z, y):
    return (z - y) ** 2


def machine():
    return classical.fit_kernel_svm(X, SIGNS, ops.rbf_kernel)


def step(carry, token):
    return carry, jnp.ones((len(token), 4))


def both(state):
    return state.merge(state).compute()


def folds():
    return classical.k_folds(N, 3)


def fit(x, y, w):
    return classical.fit_ridge(x, y, 0.1, w)[0]


def score(params, x, y, w):
    return classical.mean_squared_error(classical.linear(params, x), y, w)


def detected(matching):
    return metrics.MeanAveragePrecision.from_batch(
        DETECTIONS, BOXES[None], np.zeros((1, 3), int), num_classes=1, matching=matching
    )


DETECTIONS = ops.Detections(BOXES[None], P[:1, :3], np.zeros((1, 3), int), np.ones((1, 3), bool))
GRADIENT = ops.Gradient(IMAGE[..., 0], IMAGE[..., 0])
# By room and name: some calls for each way that the function has through its products.
CALLS = {
    "metrics": {
        "bootstrap": [
            lambda: metrics.bootstrap(metrics.Accuracy.from_batch, resamples=4)(
                LOGITS, LABELS, index=np.arange(len(LABELS))
            )
        ],
        "Accuracy": [lambda: both(metrics.Accuracy.from_batch(LOGITS, LABELS))],
        "ApproximateAveragePrecision": [
            lambda: both(metrics.ApproximateAveragePrecision.from_batch(SCORES, SCORES > 0, bits=9))
        ],
        "ApproximateAUROC": [
            lambda: both(metrics.ApproximateAUROC.from_batch(SCORES, SCORES > 0, bits=9))
        ],
        "AveragePrecision": [lambda: both(metrics.AveragePrecision.from_batch(SCORES, SCORES > 0))],
        "CalibrationError": [
            lambda: both(metrics.CalibrationError.from_batch(LOGITS, LABELS, Y**2))
        ],
        "Collection": [
            lambda: metrics.Collection.of(a=metrics.LogLoss.from_batch)(LOGITS, LABELS).compute()
        ],
        "ConfusionMatrix": [lambda: both(metrics.ConfusionMatrix.from_batch(LOGITS, LABELS, Y**2))],
        "LogLoss": [lambda: both(metrics.LogLoss.from_batch(LOGITS, LABELS))],
        "Mean": [lambda: both(metrics.Mean.from_values(Y, Y**2))],
        "MeanAbsoluteError": [lambda: both(metrics.MeanAbsoluteError.from_batch(Y, SCORES))],
        "MeanAveragePrecision": [lambda: detected("coco"), lambda: detected("voc")],
        "MeanIoU": [lambda: both(metrics.MeanIoU.from_batch(LOGITS, LABELS))],
        "MeanSquaredError": [lambda: both(metrics.MeanSquaredError.from_batch(Y, SCORES))],
        "Perplexity": [lambda: both(metrics.Perplexity.from_batch(LOGITS, LABELS))],
        "PrecisionRecall": [lambda: both(metrics.PrecisionRecall.from_batch(LOGITS, LABELS))],
        "R2": [lambda: both(metrics.R2.from_batch(Y, SCORES, Y**2))],
        "AUROC": [lambda: both(metrics.AUROC.from_batch(SCORES, SCORES > 0))],
        "Ranking": [lambda: both(metrics.Ranking.from_batch(LOGITS, LABELS[:, None], ks=(1,)))],
        "RootMeanSquaredError": [lambda: both(metrics.RootMeanSquaredError.from_batch(Y, SCORES))],
        "Total": [lambda: both(metrics.Total.of(1.0))],
        "merge_stacked": [lambda: metrics.merge_stacked(jax.vmap(metrics.Mean.from_values)(X))],
    },
    "information": {
        "conditional_entropy": [lambda: information.conditional_entropy(P)],
        "cooccurrence": [lambda: information.cooccurrence(LABELS, K, window=2)],
        "cross_entropy": [lambda: information.cross_entropy(P, Q)],
        "entropy": [lambda: information.entropy(P)],
        "gaussian_cross_entropy": [
            lambda: information.gaussian_cross_entropy(MEAN, COV, MEAN, COV)
        ],
        "gaussian_entropy": [lambda: information.gaussian_entropy(COV)],
        "gaussian_kl": [lambda: information.gaussian_kl(MEAN, COV, MEAN, COV)],
        "gaussian_mutual_information": [lambda: information.gaussian_mutual_information(COV, 2)],
        "joint_entropy": [lambda: information.joint_entropy(P)],
        "js_divergence": [lambda: information.js_divergence(P, Q)],
        "kl_divergence": [lambda: information.kl_divergence(P, Q)],
        "mutual_information": [lambda: information.mutual_information(P)],
        "perplexity": [lambda: information.perplexity(P)],
        "pointwise_mutual_information": [lambda: information.pointwise_mutual_information(P)],
        "self_information": [lambda: information.self_information(P)],
        "table_of": [
            lambda: information.table_of(LABELS, sizes=(K,)),
            lambda: information.table_of(LABELS, sizes=(K,), weights=Y**2),
        ],
    },
    "decode": {
        "beam_search": [lambda: decode.beam_search(step, (), LABELS, 3, beam_size=2, end_id=0)],
        "exhaustive": [
            lambda: decode.exhaustive(step, (), LABELS, 2, vocab_size=4, num_best=2, end_id=0)
        ],
        "generate": [
            lambda: decode.generate(step, (), jnp.ones((N, 4)), jax.random.key(0), 3, top_p=0.9)
        ],
        "gnmt_penalty": [lambda: decode.gnmt_penalty()(jnp.ones(3))],
        "greedy": [lambda: decode.greedy(step, (), LABELS, 3, end_id=0)],
        "power_penalty": [lambda: decode.power_penalty()(jnp.ones(3))],
        "sample": [lambda: decode.sample(jax.random.key(0), LOGITS, top_k=2, top_p=0.9)],
    },
    "classical": {
        "absolute_trick": [lambda: classical.absolute_trick(LINEAR, X[0], Y[0], 0.1)],
        "accuracy": [lambda: classical.accuracy(LABELS, LABELS, Y**2)],
        "fit_bernoulli_bayes": [
            lambda: classical.fit_bernoulli_bayes(COUNTS > 1, LABELS, num_classes=K)
        ],
        "classify": [lambda: classical.classify(LOGITS)],
        "cross_validate": [lambda: classical.cross_validate(fit, score, X, Y, folds())],
        "fit_elastic_net": [lambda: classical.fit_elastic_net(X, Y, 0.1)],
        "elastic_net_path": [lambda: classical.elastic_net_path(X, Y, np.array([0.1, 0.2]))],
        "gradient_descent": [
            lambda: classical.gradient_descent(squares, LINEAR, X, Y, learning_rate=0.1, epochs=2)
        ],
        "kernel_machine": [lambda: classical.kernel_machine(machine()[0], X)],
        "fit_kernel_svm": [machine],
        "fit_lasso": [lambda: classical.fit_lasso(X, Y, 0.1)],
        "learning_curve": [lambda: classical.learning_curve(fit, score, X, Y, folds(), [5, 9])],
        "fit_least_squares": [
            lambda: classical.fit_least_squares(X, Y),
            lambda: classical.fit_least_squares(X.T, X[0]),
        ],
        "linear": [lambda: classical.linear(LINEAR, X)],
        "fit_linear_svm": [lambda: classical.fit_linear_svm(X, SIGNS, loss="hinge")],
        "fit_logistic": [
            lambda: classical.fit_logistic(X, SIGNS > 0, 0.1),
            lambda: classical.fit_logistic(X.T, SIGNS[:D] > 0, 0.1),
        ],
        "mean_squared_error": [lambda: classical.mean_squared_error(Y, SCORES, Y**2)],
        "fit_multinomial_bayes": [
            lambda: classical.fit_multinomial_bayes(COUNTS, LABELS, num_classes=K)
        ],
        "nearest_neighbors": [lambda: classical.nearest_neighbors(X, X, 2)],
        "neighbor_votes": [lambda: classical.neighbor_votes(X, LABELS, X, 2, num_classes=K)],
        "fit_one_vs_rest": [
            lambda: classical.fit_one_vs_rest(
                lambda x, y: fit(x, y, None), X, LABELS, num_classes=K
            )
        ],
        "one_vs_rest_scores": [
            lambda: classical.one_vs_rest_scores(
                classical.linear, jax.tree.map(lambda x: jnp.stack([x] * K), LINEAR), X
            )
        ],
        "fit_perceptron": [lambda: classical.fit_perceptron(X, SIGNS)],
        "r_squared": [lambda: classical.r_squared(Y, SCORES, Y**2)],
        "fit_ridge": [
            lambda: classical.fit_ridge(X, Y, 0.1),
            lambda: classical.fit_ridge(X.T, X[0], 0.1),
        ],
        "fit_temperature": [lambda: classical.fit_temperature(LOGITS, LABELS)],
        "ridge_path": [lambda: classical.ridge_path(X, Y, np.array([0.1, 0.2]))],
        "soft_threshold": [lambda: classical.soft_threshold(X, 0.1)],
        "fit_softmax": [lambda: classical.fit_softmax(X, LABELS, 0.1, num_classes=K)],
        "square_trick": [lambda: classical.square_trick(LINEAR, X[0], Y[0], 0.1)],
    },
    "ops": {
        "box_blur": [lambda: ops.box_blur(IMAGE)],
        "batched_matmul": [lambda: ops.batched_matmul(FEATURES[0], FEATURES[0].swapaxes(1, 2))],
        "bilateral_filter": [lambda: ops.bilateral_filter(IMAGE, sigma_space=1.0, **SIGMA)],
        "box_area": [lambda: ops.box_area(BOXES)],
        "box_cxcywh_to_xyxy": [lambda: ops.box_cxcywh_to_xyxy(BOXES)],
        "box_xyxy_to_cxcywh": [lambda: ops.box_xyxy_to_cxcywh(BOXES)],
        "box_ioa": [lambda: ops.box_ioa(BOXES, BOXES)],
        "box_iou": [lambda: ops.box_iou(BOXES, BOXES)],
        "clip_boxes": [lambda: ops.clip_boxes(BOXES)],
        "convolve": [lambda: ops.convolve(X, X), lambda: ops.convolve(Y, Y)],
        "exponential_moving_average": [lambda: ops.exponential_moving_average(X, 0.9, debias=True)],
        "gaussian_filter": [lambda: ops.gaussian_filter(IMAGE, 1.0)],
        "generalized_box_iou": [lambda: ops.generalized_box_iou(BOXES, BOXES)],
        "gram": [lambda: ops.gram(ops.linear_kernel, X, X)],
        "high_frequencies": [lambda: ops.high_frequencies(IMAGE)],
        "high_pass": [lambda: ops.high_pass(IMAGE)],
        "laplacian": [lambda: ops.laplacian(IMAGE)],
        "linear_kernel": [lambda: ops.linear_kernel(X[0], X[1])],
        "median_filter": [lambda: ops.median_filter(IMAGE)],
        "polynomial_kernel": [lambda: ops.polynomial_kernel(X[0], X[1])],
        "rbf_kernel": [lambda: ops.rbf_kernel(X[0], X[1])],
        "roi_align": [lambda: ops.roi_align(FEATURES, BOXES[None], (2, 2))],
        "roi_pool": [lambda: ops.roi_pool(FEATURES, BOXES[None], (2, 2))],
        "sigmoid_kernel": [lambda: ops.sigmoid_kernel(X[0], X[1])],
        "unsharp_mask": [lambda: ops.unsharp_mask(IMAGE)],
    },
    "recommenders": {
        "neighbor_ratings": [
            lambda: recommenders.neighbor_ratings(RATINGS, RATINGS > 0, by="user", kind="cosine"),
            lambda: recommenders.neighbor_ratings(RATINGS, RATINGS > 0, by="item", kind="pearson"),
        ],
        "rating_similarity": [
            lambda: recommenders.rating_similarity(RATINGS, RATINGS > 0, [0, 1], kind="cosine"),
            lambda: recommenders.rating_similarity(RATINGS, RATINGS > 0, [0, 1], kind="pearson"),
        ],
    },
}
SIGMA = {"sigma_color": 0.1}
# Run, not traced: arrays of the host come out, or go in. Shapes that nobody else uses, so that
# what they compile is traced here.
ODD = r.normal(size=(37, 19)).astype(np.float32)
ON_HOST = {
    "metrics": {},
    "word_vectors": {
        "analogies": lambda: word_vectors.analogies(ODD, np.array([[0, 1, 2]]), chunk=3),
        "nearest": lambda: word_vectors.nearest(ODD, ODD[:5], 3),
    },
}
WITHOUT_PRODUCTS = {  # records and protocols, and what counts or compares on the host alone
    "metrics": {
        "BLEU", "Metric", "d2l_bleu", "Bootstrap", "Interval", "PairedDifference",
        "bootstrap_states",
    },
    "information": {"Association", "word_associations"},
    "decode": {"Decoded", "Penalty", "Step"},
    "classical": {
        "Folds", "KernelMachine", "Linear", "NGram", "Report", "Scores", "Verdict",
        "conformal_interval", "conformal_quantile", "conformal_sets",  # on the host
        "confused_pairs", "diagnose", "growing", "k_folds", "fit_ngram", "train_test_split",
        "worst_examples",
    },
    "ops": set(),
}  # fmt: skip
