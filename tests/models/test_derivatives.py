"""T32: every network in forward mode, reverse mode and both, against the plain formulation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import models, nn, recommenders
from jaxdl.nn import _recurrent
from jaxdl.ops import _convolution_cpu, _pooling

BODY = models.VGG(None, (1, 1), (4, 6), taps=("relu2_1",))
BOXES = np.array([[[0.1, 0.1, 0.7, 0.8], [0.3, 0.0, 1.0, 0.6]]] * 2, np.float32)
VGG = functools.partial(models.VGG, 3, (1, 1), (4, 6), dropout=0.0, dense_size=8)
ResNet = functools.partial(models.ResNet, 3, stages=(1, 1), width=4)


def images(side, channels=3):
    return np.random.default_rng(side).normal(size=(2, side, side, channels)).astype(np.float32)


def tokens(shape, size=7):
    return np.random.default_rng(shape).integers(0, size, shape)


ZOO = {
    "lenet": (models.LeNet(3), images(12, 1)),
    "lenet-sigmoid": (models.LeNetSigmoid(3), images(12, 1)),
    "mnist-cnn": (models.MnistCNN(3), images(21, 1)),
    "mlp": (models.MLP((5, 3)), images(4).reshape(2, -1)),
    "alexnet": (models.AlexNet(3, dense_size=8, dropout=0.0), images(63)),
    "vgg": (VGG(), images(14)),
    "vgg-bn": (VGG(norm=nn.BatchNorm), images(14)),
    "nin": (models.NiN(3, dropout=0.0), images(67)),
    "resnet": (ResNet(), images(25)),
    "resnet-bottleneck": (ResNet(block=models.resnet.Bottleneck, stem="small"), images(10)),
    "resnet-preactivation": (ResNet(stem="small", preactivation=True), images(10)),
    "googlenet": (models.GoogLeNet(3, dropout=0.0), images(33)),
    "densenet": (models.DenseNet(3, (1, 2), growth=4, stem=8), images(29)),
    "fcn": (models.fcn8s(models.VGG(None, (1,) * 5, (4,) * 5), 2), images(32)),
    "tiny-ssd": (models.TinySSD(1, base=(4, 4, 4), width=4), images(64)),
    "ssd300": (models.SSD300(1, widths=(2, 2, 4, 4, 4), dense_width=4), images(300)),
    "fast-rcnn": (models.FastRCNN(BODY, 2, (2, 2), dense_size=8), images(16), BOXES),
    "fast-rcnn-pool": (
        models.FastRCNN(BODY, 2, (2, 2), dense_size=8, pooling="pool"), images(16), BOXES,
    ),
    "rcnn": (models.RCNN(models.VGG(None, (1,), (4,)), 2, crop_size=(8, 8)), images(16), BOXES),
    "signal-cnn": (models.SignalCNN(3, features=(4, 6), width=5), images(16)[:, :, 0]),
    "gru-reader": (models.GRUClassifier(7, embed_dim=4, hidden_size=5), tokens((2, 6))),
    "bilstm-reader": (models.BiLSTMClassifier(7, embed_dim=4, hidden_size=5), tokens((2, 6))),
    "text-cnn": (models.TextCNN(7, embed_dim=4, filters=4, widths=(2, 3)), tokens((2, 6))),
    "language-gru": (models.LanguageModel(7, hidden_size=5), tokens((2, 6))),
    "language-lstm": (models.LanguageModel(7, nn.LSTMCell(), 5, num_layers=2), tokens((2, 6))),
    "language-rnn": (
        models.LanguageModel(7, nn.RNNCell(), 5, embed_dim=5, tied=True), tokens((2, 6)),
    ),
    "translator": (
        models.Seq2Seq(7, 7, embed_dim=4, hidden_size=6), tokens((2, 5)), tokens((2, 4)),
    ),
    "factors": (recommenders.MatrixFactorization(7, 7, 3), tokens((5,)), tokens((5,))),
    "neumf": (recommenders.NeuMF(7, 7, 3, (4, 3)), tokens((5,)), tokens((5,))),
    "autorec": (recommenders.AutoRec(4), images(4)[0, ..., 0], np.eye(4) > 0),
}  # fmt: skip
HEAVY = {
    "alexnet", "bilstm-reader", "densenet", "fast-rcnn-pool", "fcn", "googlenet", "lenet-sigmoid",
    "nin", "rcnn", "resnet-bottleneck", "resnet-preactivation", "ssd300", "tiny-ssd", "vgg-bn",
}  # fmt: skip


def inside(x_shape, kernel_shape, stride, pads):
    """As `gains`, but however small the work is."""
    sides = zip(pads, kernel_shape, strict=False)
    return all(0 <= p < k for pad, k in sides for p in pad)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in ZOO]
)
def test_both_modes_agree_with_the_plain_formulation(name, monkeypatch):
    model, *inputs = ZOO[name]
    init = functools.partial(model.init, train=False)
    state = dict(jax.eval_shape(init, jax.random.key(0), *inputs))
    rng = np.random.default_rng(0)
    # Biases too are drawn: zeros meet the zeros of padding where ReLU has no derivative.
    draw = lambda p: (rng.normal(size=p.shape) / max(p.size, 1) ** 0.25).astype(p.dtype)  # noqa: E731
    params, direction = (jax.tree.map(draw, state["params"]) for _ in range(2))
    del state["params"]
    state = jax.tree.map(lambda s: np.ones(s.shape, s.dtype), state)  # batch statistics

    def loss(params, *inputs):
        out = model.apply({"params": params, **state}, *inputs, train=False)
        floats = [y for y in jax.tree.leaves(out) if jnp.issubdtype(y.dtype, jnp.floating)]
        return sum(jnp.mean(jnp.sin(y)) for y in floats)

    def derivatives(params, direction, *inputs):
        along = lambda f: jax.jvp(f, (params,), (direction,))  # noqa: E731
        slope = along(lambda p: loss(p, *inputs))[1]
        grad, product = along(lambda p: jax.grad(loss)(p, *inputs))
        examples = [jnp.stack([x, x[::-1]]) for x in inputs]
        each = jax.vmap(jax.grad(loss), (None, *[0] * len(inputs)))(params, *examples)
        return slope, grad, product, each

    monkeypatch.setattr(_convolution_cpu, "gains", inside)
    slope, grad, product, each = jax.jit(derivatives)(params, direction, *inputs)
    monkeypatch.setattr(_convolution_cpu, "gains", lambda *_: False)
    monkeypatch.setattr(_pooling, "_max_pool", _pooling._window_max)
    monkeypatch.setattr(_recurrent, "_scan", lambda *a: _recurrent._scan_forward(*a)[0])
    monkeypatch.setattr(_recurrent, "_project", jnp.matmul)
    # Another function, or jit would remember the first one.
    want = jax.jit(lambda *args: derivatives(*args))(params, direction, *inputs)

    def close(got, wanted):
        scale = max(float(jnp.max(jnp.abs(w))) for w in jax.tree.leaves(wanted))
        for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-4 * scale)

    inner = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, grad, direction)))
    size = sum(
        jax.tree.leaves(jax.tree.map(lambda g, d: jnp.vdot(abs(g), abs(d)), grad, direction))
    )
    assert abs(slope - inner) <= 1e-5 * size
    assert np.isfinite(slope)
    assert slope != 0
    for got, wanted in zip((slope, grad, product, each), want, strict=True):
        close(got, wanted)
