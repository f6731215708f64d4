"""T33: what adds up half precision does so in float32, in every public function and class.

The same call on the same numbers in float32 gives the answer; constants make a sum's errors plain:
ones averaged in bfloat16 come out as .326, and float16 has no number above 65,504.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import losses, metrics, nn, ops, word_vectors

MANY = 2**20
SMALL = 2.0**-14  # the least normal number of float16: below it digits are lost
SIDE = 1000


def image(c, *size):
    return c(1, *(size or (64, 64)), 1)


def gradient(f):
    """The gradient of the sum of `f`'s result, whose cotangents are ones in its own dtype."""
    return jax.grad(lambda x: jnp.sum(f(x).astype(jnp.float32)))


def applied(layer, parameter, *args, **kwargs):
    """The layer with every parameter the constant of `parameter`, in its dtype."""
    init = functools.partial(layer.init, **kwargs)
    shapes = jax.eval_shape(init, jax.random.key(0), *args)
    params = jax.tree.map(lambda p: parameter(*p.shape), shapes["params"])
    return layer.apply({**shapes, "params": params}, *args, **kwargs)


def scan(cell, c):
    H = 4
    weights = {"kernel_hh": 0 * c(H, cell.num_gates * H), "bias_hn": 0 * c(H)}
    state = (0 * c(1, H),) * cell.num_states

    def last(bias):
        return nn.recurrent_scan(cell, {**weights, "bias": bias}, 0 * c(4096, 1, len(bias)), state)[
            0
        ]

    return gradient(last)(0 * c(cell.num_gates * H))


# Each is called with c, which makes a constant array of a shape.
OPS = {
    "softmax": lambda c: ops.softmax(c(2**14)) / SMALL,
    "log_softmax": lambda c: ops.log_softmax(c(MANY)),
    "masked_softmax": lambda c: ops.masked_softmax(c(2**14), jnp.arange(2**14) >= 0) / SMALL,
    "prelu": lambda c: gradient(lambda s: ops.prelu(jnp.full(8192, -1, s.dtype), s))(c()),
    "attention": lambda c: ops.attention(c(1, 1, 1, 4), c(1, 2**14, 1, 4), c(1, 2**14, 1, 1)),
    "dot_product_attention": lambda c: ops.dot_product_attention(c(1, 4), c(2**14, 4), c(2**14, 1))[
        0
    ],
    "dot_scores": lambda c: ops.dot_scores(c(1, MANY) * SMALL, c(1, MANY)),
    "additive_scores": lambda c: ops.additive_scores(c(1, MANY), c(1, MANY), c(MANY) * SMALL),
    "batched_matmul": lambda c: ops.batched_matmul(c(1, 1, MANY) * SMALL, c(1, MANY, 1)),
    "convolve": lambda c: ops.convolve(c(4096) / 4096, c(4096))[4095],
    "exponential_moving_average": lambda c: ops.exponential_moving_average(c(4096), 0.999)[-1],
    "linear_kernel": lambda c: ops.linear_kernel(c(MANY), c(MANY)),
    "polynomial_kernel": lambda c: ops.polynomial_kernel(c(MANY), c(MANY), degree=1),
    "rbf_kernel": lambda c: ops.rbf_kernel(c(MANY), 2 * c(MANY), gamma=1e-12),
    "sigmoid_kernel": lambda c: ops.sigmoid_kernel(c(MANY), c(MANY), gamma=1e-9),
    "gram": lambda c: ops.gram(ops.linear_kernel, c(2, MANY)),
    "conv": lambda c: ops.conv(c(1, 256, 256, 1), c(256, 256, 1, 1) * SMALL),
    "conv_transpose": lambda c: ops.conv_transpose(
        c(1, 64, 64, 8), c(33, 33, 8, 1) / 8712, strides=1
    ),
    "avg_pool": lambda c: ops.avg_pool(image(c, 56, 56), 28),
    "global_avg_pool": lambda c: ops.global_avg_pool(image(c, SIDE, SIDE)),
    "adaptive_avg_pool": lambda c: ops.adaptive_avg_pool(image(c, SIDE, SIDE), 1),
    "box_blur": lambda c: ops.box_blur(image(c), 31),
    "gaussian_filter": lambda c: ops.gaussian_filter(image(c), 20.0),
    "bilateral_filter": lambda c: ops.bilateral_filter(
        image(c, 16, 16), 9, sigma_color=1.0, sigma_space=5.0
    ),
    "high_frequencies": lambda c: ops.high_frequencies(image(c), 31),
    "high_pass": lambda c: ops.high_pass(image(c), 31),
    "unsharp_mask": lambda c: ops.unsharp_mask(image(c), 20.0),
    "laplacian": lambda c: ops.laplacian(image(c), diagonals=True),
    "sobel": lambda c: ops.sobel(image(c)).x,
    "prewitt": lambda c: ops.prewitt(image(c)).y,
    "central_difference": lambda c: ops.central_difference(image(c)).x,
    "canny": lambda c: ops.canny(image(c, 16, 16)),
    "resize": lambda c: ops.resize(image(c, SIDE, SIDE), (1, 1)),
    "letterbox": lambda c: ops.letterbox(image(c, SIDE, SIDE), (2, 2)).image,
    "warp": lambda c: ops.warp(c(1, 400, 1), np.eye(2, 3, dtype=np.float32)),
    "rgb_to_grayscale": lambda c: ops.rgb_to_grayscale(c(4, 4, 3)),
    "equalize_hist": lambda c: ops.equalize_hist(image(c, 300, 300).at[0, :150].multiply(2)),
    "rescale_intensity": lambda c: ops.rescale_intensity(
        image(c, 300, 300).at[0, :150].multiply(-6)
    ),
    "quantize": lambda c: ops.quantize(image(c) / 10001, 200),
    "box_iou": lambda c: ops.box_iou(
        c(1, 4) * jnp.array([[0, 0, 1, 1]]), c(1, 4) * jnp.array([[0, 0, 1, 2]])
    ),
    "box_area": lambda c: ops.box_area(c(1, 4) * jnp.array([[0, 0, 1, 2]])),
    "box_ioa": lambda c: ops.box_ioa(
        c(1, 4) * jnp.array([[0, 0, 1, 1]]), c(1, 4) * jnp.array([[0, 0, 1, 2]])
    ),
    "generalized_box_iou": lambda c: ops.generalized_box_iou(
        c(1, 4) * jnp.array([[0, 0, 1, 1]]), c(1, 4) * jnp.array([[0, 0, 1, 2]])
    ),
    "roi_align": lambda c: ops.roi_align(
        c(1, 300, 300, 1), jnp.array([[[0, 0, 300, 300]]]), (1, 1), sampling_ratio=300
    ),
}
# Element by element, of a few numbers, maxima, indices, draws, or without arrays at all.
OPS_WITHOUT_SUMS = {
    "IMAGENET_MEAN", "IMAGENET_STD", "AnchorTargets", "Border", "Detections", "Gradient", "Kernel",
    "Letterbox", "ReceptiveField", "RegionSamples", "absolute", "adaptive_max_pool", "anchor_boxes",
    "best_proposals", "detect", "detect_regions", "sample_regions",  # of boxes and scores
    "anchor_targets", "backward_difference", "box_cxcywh_to_xyxy", "box_xyxy_to_cxcywh",
    "cell_anchor_boxes", "center_crop", "choose_vectorize", "clip_boxes",
    "conv_output_size", "decode_boxes", "elu",
    "encode_boxes", "forward_difference", "gaussian_noise", "gelu", "global_max_pool",
    "gradient_angle", "gradient_magnitude", "hysteresis", "image_distance", "leaky_relu", "linear",
    "log_sigmoid", "match_anchors", "max_pool", "maxout", "median_filter", "multiclass_nms", "nms",
    "normalize", "pyramid_anchor_boxes", "receptive_field", "relu", "roi_pool", "salt_and_pepper",
    "sigmoid", "silu", "soft_nms", "softplus", "step", "tanh", "thin_edges",
    "vectorized", "Vectorize",
}  # fmt: skip
NN = {
    "Dense": lambda c: gradient(
        lambda b: nn.Dense(1).apply({"params": {"kernel": c(1, 1), "bias": b}}, c(8192, 1))
    )(c(1)),
    "Embed": lambda c: gradient(
        lambda table: nn.Embed(1, 1).apply(
            {"params": {"embedding": table}}, jnp.zeros(MANY, jnp.int32)
        )
    )(c(1, 1)),
    "contract_last": lambda c: nn.contract_last(c(1, MANY) * SMALL, c(MANY, 1)),
    "Conv": lambda c: gradient(
        lambda b: nn.Conv(1, 1).apply(
            {"params": {"kernel": c(1, 1, 1, 1), "bias": b}}, image(c, 90, 90)
        )
    )(c(1)),
    "ConvTranspose": lambda c: gradient(
        lambda b: nn.ConvTranspose(1, 1).apply(
            {"params": {"kernel": c(1, 1, 1, 1), "bias": b}}, image(c, 90, 90)
        )
    )(c(1)),
    "Upsample": lambda c: nn.Upsample(16).apply(
        {"params": {"kernel": c(32, 32, 8, 8) / 8192}}, c(1, 4, 4, 8)
    ),
    "BatchNorm": lambda c: nn.BatchNorm().init_with_output(
        jax.random.key(0), c(MANY, 1), train=True
    )[0],
    "batch_statistics": lambda c: nn.batch_statistics(c(MANY, 1))[0],
    "DotAttention": lambda c: applied(
        nn.DotAttention(1),
        lambda *s: jnp.full(s, 0.01, c().dtype),
        c(1, 1),
        c(2**14, 1),
        c(2**14, 1),
    )[0],
    "AdditiveAttention": lambda c: applied(
        nn.AdditiveAttention(1), c, c(1, 1), c(2**14, 1), c(2**14, 1)
    )[0],
    "MultiHeadAttention": lambda c: applied(
        nn.MultiHeadAttention(1),
        lambda *s: jnp.full(s, 0.01, c().dtype),
        c(1, 1, 1),
        c(1, 8192, 1),
        c(1, 8192, 1),
        train=False,
    )[0],
    "recurrent_scan": lambda c: [
        scan(cell, c) for cell in (nn.RNNCell(), nn.GRUCell(), nn.LSTMCell())
    ],
}
NN_WITHOUT_SUMS = {
    "GRU", "LSTM", "RNN", "Recurrent", "GRUCell", "LSTMCell", "RNNCell",  # by recurrent_scan
    "Cell", "Dropout", "PReLU", "attention_from_torch", "bilinear", "constant",
    "he_normal", "he_uniform", "normal",
    "recurrent_from_torch", "recurrent_to_torch", "uniform", "xavier_normal", "xavier_uniform",
}  # fmt: skip
first = np.zeros(1, np.int32)
LOSSES = {
    "softmax_cross_entropy": lambda c: losses.softmax_cross_entropy(
        c(1, MANY), first, label_smoothing=0.1
    ),
    "softmax_focal_loss": lambda c: losses.softmax_focal_loss(c(1, MANY), first),
    "masked_sigmoid_cross_entropy": lambda c: losses.masked_sigmoid_cross_entropy(
        c(MANY), 0 * c(MANY), c(MANY) > 0
    ),
    "mean_squared_error": lambda c: losses.mean_squared_error(c(1, MANY), 0 * c(1, MANY)),
    "sum_squared_error": lambda c: losses.sum_squared_error(c(1, MANY), 0 * c(1, MANY)),
    "gram_matrix": lambda c: losses.gram_matrix(image(c, SIDE, SIDE)),
    "content_loss": lambda c: losses.content_loss(image(c, SIDE, SIDE), 0 * image(c, SIDE, SIDE)),
    "style_loss": lambda c: losses.style_loss(image(c, SIDE, SIDE), c(1, 1, 1)),
    "total_variation": lambda c: losses.total_variation(image(c, 2, 1000).at[:, 1].multiply(-1)),
    "sampled_softmax_loss": lambda c: losses.sampled_softmax_loss(c(), c(MANY)),
    "multibox_loss": lambda c: losses.multibox_loss(
        c(8192, 2), c(8192, 4), np.ones(8192, np.int32), 0 * c(8192, 4)
    ),
}
WORD_VECTORS = {
    "negative_sampling_loss": lambda c: word_vectors.negative_sampling_loss(c(), c(MANY)),
    "hierarchical_softmax_loss": lambda c: word_vectors.hierarchical_softmax_loss(
        c(MANY), 0 * c(MANY), c(MANY) > 0
    ),
}
WORD_VECTORS_WITHOUT_SUMS = {  # tables and files in float32
    "Corpus", "WordVectors", "analogies", "build_corpus", "fasttext", "glove", "glove_loss",
    "make_glove", "make_word2vec", "nearest", "paragraphs", "rank_correlation",
    "read_questions", "read_similarities", "sentences", "word2vec",
}  # fmt: skip
LOSSES_WITHOUT_SUMS = {
    "MultiboxLoss", "absolute_error", "bpr_loss", "hard_negative_mining", "hinge_loss",
    "huber_loss", "multiclass_hinge_loss", "pairwise_hinge_loss", "sigmoid_cross_entropy",
    "sigmoid_focal_loss", "smooth_l1_loss", "squared_error",
    "softmax_kl_divergence",  # against its closed form in test_losses
}  # fmt: skip
labels = np.zeros(MANY, np.int32)
METRICS = {
    "Mean": lambda c: metrics.Mean.from_values(c(MANY)).compute(),
    "MeanSquaredError": lambda c: metrics.MeanSquaredError.from_batch(
        c(MANY), 0 * c(MANY)
    ).compute(),
    "MeanAbsoluteError": lambda c: metrics.MeanAbsoluteError.from_batch(
        c(MANY), 0 * c(MANY)
    ).compute(),
    "RootMeanSquaredError": lambda c: metrics.RootMeanSquaredError.from_batch(
        c(MANY), 0 * c(MANY)
    ).compute(),
    "R2": lambda c: metrics.R2.from_batch(c(2**14), (c(2**14).at[::2].multiply(2))).compute(),
    "LogLoss": lambda c: metrics.LogLoss.from_batch(c(MANY, 2), labels).compute(),
    "Perplexity": lambda c: metrics.Perplexity.from_batch(c(1, MANY, 2), labels[None]).compute(),
    "CalibrationError": lambda c: metrics.CalibrationError.from_batch(
        c(MANY, 2).at[:, 1].multiply(0), labels
    ).compute(),
    "Accuracy": lambda c: metrics.Accuracy.from_batch(c(MANY, 2), labels).compute(),
}
METRICS_WITHOUT_SUMS = {  # counts of comparisons, whatever the scores are in, or host code
    "AUROC", "ApproximateAUROC", "ApproximateAveragePrecision", "AveragePrecision", "BLEU",
    "Bootstrap", "Interval", "PairedDifference", "bootstrap", "bootstrap_states",
    "Collection", "ConfusionMatrix", "MeanAveragePrecision", "MeanIoU", "Metric",
    "PrecisionRecall", "Ranking", "Total", "d2l_bleu", "merge_stacked",
}  # fmt: skip
ROOMS = {
    "ops": (ops, OPS, OPS_WITHOUT_SUMS),
    "nn": (nn, NN, NN_WITHOUT_SUMS),
    "losses": (losses, LOSSES, LOSSES_WITHOUT_SUMS),
    "metrics": (metrics, METRICS, METRICS_WITHOUT_SUMS),
    "word_vectors": (word_vectors, WORD_VECTORS, WORD_VECTORS_WITHOUT_SUMS),
}


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_tried_or_has_nothing_to_add_up(room):
    module, cases, others = ROOMS[room]
    assert cases.keys() | others == set(module.__all__)
    assert not cases.keys() & others


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("room, name", [(room, n) for room in ROOMS for n in ROOMS[room][1]])
def test_half_precision_is_added_up_in_float32(room, name, dtype):
    case = ROOMS[room][1][name]

    # XLA may otherwise keep float32 between operations, on some backends and in some fusions.
    @functools.partial(jax.jit, static_argnums=0, compiler_options=STRICT)
    def call(dtype, value):
        return case(lambda *shape: jnp.full(shape, value.astype(dtype)))

    for value in (1.0, 10_000.0):
        got, want = (call(t, jnp.float32(value)) for t in (dtype, jnp.float32))
        for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert g.dtype in (dtype, jnp.float32, jnp.bool_)
            rounded = w.astype(
                g.dtype
            )  # where the result keeps the dtype it may overflow at the end
            eps = float(jnp.finfo(dtype).eps)
            scale = value * eps if name in RESIDUALS else 0
            np.testing.assert_allclose(
                g.astype(np.float32), rounded.astype(np.float32), rtol=8 * eps, atol=8 * eps + scale
            )


STRICT = {"xla_allow_excess_precision": False}
# Differences of sums that are equal: small against what they are differences of.
RESIDUALS = {"high_frequencies", "laplacian", "sobel", "prewitt", "style_loss"}
