"""The image classifiers against twins built from torch's own layers, with weights carried over."""

import collections
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import models
from jaxdl.models import weights
from tests.references import reference

torch = reference("torch")
from torch import nn as tnn  # noqa: E402


def named(*layers):
    return tnn.Sequential(collections.OrderedDict(layers))


def classifier(channels, hidden, classes, dropout_first):
    linear = [tnn.Linear(channels, hidden), tnn.ReLU(), tnn.Linear(hidden, hidden), tnn.ReLU()]
    linear[0:0], linear[2:2] = (
        ([tnn.Dropout(0.0)], []) if dropout_first else ([], [tnn.Dropout(0.0)])
    )
    if dropout_first:
        linear.insert(3, tnn.Dropout(0.0))
    else:
        linear.append(tnn.Dropout(0.0))
    return tnn.Sequential(*linear, tnn.Linear(hidden, classes))


class Plain(tnn.Module):
    """torchvision's AlexNet and VGG: features, adaptive pool, classifier."""

    def __init__(self, features, pool, channels, hidden, classes, dropout_first):
        super().__init__()
        self.features, self.pool = features, tnn.AdaptiveAvgPool2d(pool)
        self.classifier = classifier(channels * pool**2, hidden, classes, dropout_first)

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


def alexnet_twin():
    def conv(i, o, k, s, p, pool):
        return [tnn.Conv2d(i, o, k, s, p), tnn.ReLU(), *([tnn.MaxPool2d(3, 2)] if pool else [])]

    layers = [*conv(3, 64, 11, 4, 2, 1), *conv(64, 192, 5, 1, 2, 1), *conv(192, 384, 3, 1, 1, 0)]
    layers += [*conv(384, 256, 3, 1, 1, 0), *conv(256, 256, 3, 1, 1, 1)]
    return Plain(tnn.Sequential(*layers), 6, 256, 16, 5, dropout_first=True)


def vgg_twin():
    layers, channels = [], 3
    for width, depth in [(4, 1), (6, 2)]:
        for _ in range(depth):
            layers += [
                tnn.Conv2d(channels, width, 3, padding=1),
                tnn.BatchNorm2d(width),
                tnn.ReLU(),
            ]
            channels = width
        layers.append(tnn.MaxPool2d(2))
    return Plain(tnn.Sequential(*layers), 7, 6, 8, 5, dropout_first=False)


class Residual(tnn.Module):
    def __init__(self, channels, width, stride, expansion):
        super().__init__()
        out = width * expansion
        kernels = (3, 3) if expansion == 1 else (1, 3, 1)
        self.count = len(kernels)
        for i, kernel in enumerate(kernels, start=1):
            c, o = (channels if i == 1 else width), (out if i == self.count else width)
            s = stride if i == self.count - 1 else 1
            setattr(self, f"conv{i}", tnn.Conv2d(c, o, kernel, s, kernel // 2, bias=False))
            setattr(self, f"bn{i}", tnn.BatchNorm2d(o))
        self.downsample = None
        if stride > 1 or channels != out:
            conv = tnn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = tnn.Sequential(conv, tnn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def resnet_twin(expansion=1, small=False):
    kernel, stride = (3, 1) if small else (7, 2)
    layers = [
        ("conv1", tnn.Conv2d(3, 8, kernel, stride, kernel // 2, bias=False)),
        ("bn1", tnn.BatchNorm2d(8)),
        ("relu", tnn.ReLU()),
        *([] if small else [("pool", tnn.MaxPool2d(3, 2, 1))]),
    ]
    channels = 8
    for stage, depth in enumerate([1, 2], start=1):
        width, blocks = 8 * 2 ** (stage - 1), []
        for i in range(depth):
            blocks.append(Residual(channels, width, 2 if stage > 1 and i == 0 else 1, expansion))
            channels = width * expansion
        layers.append((f"layer{stage}", tnn.Sequential(*blocks)))
    head = [
        ("avg", tnn.AdaptiveAvgPool2d(1)),
        ("flat", tnn.Flatten()),
        ("fc", tnn.Linear(channels, 5)),
    ]
    return named(*layers, *head)


class ConvNormReLU(tnn.Module):
    def __init__(self, i, o, k, s=1, p=0):
        super().__init__()
        self.conv, self.bn = tnn.Conv2d(i, o, k, s, p, bias=False), tnn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class InceptionTwin(tnn.Module):
    def __init__(self, c, n1, n2, n3, n4):
        super().__init__()
        self.branch1 = ConvNormReLU(c, n1, 1)
        self.branch2 = tnn.Sequential(ConvNormReLU(c, n2[0], 1), ConvNormReLU(*n2, 3, 1, 1))
        self.branch3 = tnn.Sequential(ConvNormReLU(c, n3[0], 1), ConvNormReLU(*n3, 3, 1, 1))
        self.branch4 = tnn.Sequential(tnn.MaxPool2d(3, 1, 1), ConvNormReLU(c, n4, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def googlenet_twin():
    def pool(k):
        return tnn.MaxPool2d(k, 2, ceil_mode=True)

    layers = [("conv1", ConvNormReLU(3, 64, 7, 2, 3)), ("pool1", pool(3))]
    layers += [("conv2", ConvNormReLU(64, 64, 1)), ("conv3", ConvNormReLU(64, 192, 3, 1, 1))]
    layers += [("pool2", pool(3))]
    channels = 192
    for name, widths in models.googlenet.INCEPTIONS.items():
        layers += {"4a": [("pool3", pool(3))], "5a": [("pool4", pool(2))]}.get(name, [])
        layers.append((f"inception{name}", InceptionTwin(channels, *widths)))
        channels = widths[0] + widths[1][1] + widths[2][1] + widths[3]
    head = [("avg", tnn.AdaptiveAvgPool2d(1)), ("flat", tnn.Flatten()), ("fc", tnn.Linear(1024, 5))]
    return named(*layers, *head)


class DenseLayer(tnn.Module):
    def __init__(self, c, growth):
        super().__init__()
        self.norm1, self.conv1 = tnn.BatchNorm2d(c), tnn.Conv2d(c, 4 * growth, 1, bias=False)
        self.norm2 = tnn.BatchNorm2d(4 * growth)
        self.conv2 = tnn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(y).relu())], 1)


class DenseNetTwin(tnn.Module):
    def __init__(self, blocks=(2, 3), growth=4, channels=8):
        super().__init__()
        conv = tnn.Conv2d(3, channels, 7, 2, 3, bias=False)
        layers = [("conv0", conv), ("norm0", tnn.BatchNorm2d(channels)), ("relu0", tnn.ReLU())]
        layers += [("pool0", tnn.MaxPool2d(3, 2, 1))]
        for block, depth in enumerate(blocks, start=1):
            dense = [
                (f"denselayer{i + 1}", DenseLayer(channels + i * growth, growth))
                for i in range(depth)
            ]
            channels += depth * growth
            layers.append((f"denseblock{block}", named(*dense)))
            if block < len(blocks):
                conv = tnn.Conv2d(channels, channels // 2, 1, bias=False)
                transition = [("norm", tnn.BatchNorm2d(channels)), ("relu", tnn.ReLU())]
                transition += [("conv", conv), ("pool", tnn.AvgPool2d(2))]
                layers.append((f"transition{block}", named(*transition)))
                channels //= 2
        self.features = named(*layers, ("norm5", tnn.BatchNorm2d(channels)))
        self.classifier = tnn.Linear(channels, 5)

    def forward(self, x):
        return self.classifier(self.features(x).relu().mean((2, 3)))


ResNet = functools.partial(models.ResNet, 5, stages=(1, 2), width=8)
TWINS = {
    "alexnet": (models.AlexNet(5, dense_size=16, dropout=0.0), alexnet_twin, 67),
    "vgg": (
        models.VGG(5, (1, 2), (4, 6), models.vgg.batch_norm, dropout=0.0, dense_size=8),
        vgg_twin,
        14,
    ),
    "resnet": (ResNet(), resnet_twin, 25),
    "resnet-small": (ResNet(stem="small"), functools.partial(resnet_twin, small=True), 10),
    "resnet-bottleneck": (
        ResNet(block=models.resnet.Bottleneck),
        functools.partial(resnet_twin, expansion=4),
        25,
    ),
    "googlenet": (models.GoogLeNet(5, dropout=0.0), googlenet_twin, 33),
    "densenet": (models.DenseNet(5, (2, 3), growth=4, stem=8), DenseNetTwin, 29),
}


@pytest.mark.parametrize("family", TWINS)
def test_twin_in_torch_has_the_same_logits_gradients_and_statistics(family, tmp_path):
    model, build, size = TWINS[family]
    torch.manual_seed(0)
    twin = build()
    for name, value in twin.state_dict().items():  # statistics and scales that are not 0 and 1
        if "running_" in name or (value.ndim == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.5)
    images = np.random.default_rng(0).normal(size=(4, size, size, 3)).astype(np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))

    path = tmp_path / "twin.pth"
    torch.save(twin.state_dict(), path)
    variables, report = weights.load(path, model, shapes)
    assert report.complete
    assert not report.unexpected
    state = {k: v.numpy() for k, v in twin.state_dict().items() if "num_batches" not in k}
    back = weights.to_torch(model, variables)
    assert back.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(back[name], value)

    def run(train, images):
        def pull(images):
            logits, new = model.apply(
                variables,
                images,
                train=train,
                mutable=["batch_stats"] if train else ["intermediates"],
            )
            return jnp.sum(jnp.sin(logits)), (logits, new)

        return jax.jit(jax.value_and_grad(pull, has_aux=True))(images)

    for train in (False, True):
        twin.train(train)
        theirs = torch.tensor(np.moveaxis(images, -1, 1).copy(), requires_grad=True)
        logits = twin(theirs)
        logits.sin().sum().backward()
        (_, (ours, new)), gradient = run(train, images)
        np.testing.assert_allclose(ours, logits.detach(), atol=1e-4, rtol=1e-4)
        want = np.moveaxis(theirs.grad.numpy(), 1, -1)
        np.testing.assert_allclose(gradient, want, atol=1e-3 * np.abs(want).max())
    if new.get("batch_stats"):
        stats = weights.to_torch(model, {"batch_stats": new["batch_stats"]})
        for name, value in stats.items():
            np.testing.assert_allclose(value, twin.state_dict()[name], atol=1e-4, rtol=1e-4)


COUNTS = {
    models.AlexNet: 61_100_840,
    models.VGG11: 132_863_336,
    models.VGG13: 133_047_848,
    models.VGG16: 138_357_544,
    models.VGG19: 143_667_240,
    models.VGG11BN: 132_868_840,
    models.VGG19BN: 143_678_248,
    models.ResNet18: 11_689_512,
    models.ResNet34: 21_797_672,
    models.ResNet50: 25_557_032,
    models.DenseNet121: 7_978_856,
    models.GoogLeNet: 6_624_904,
}


def shapes_of(model, size, channels=3):
    def init(key):
        return model.init(key, jnp.zeros((1, size, size, channels)), train=False)

    return jax.eval_shape(init, jax.random.key(0))


@pytest.mark.parametrize("build", COUNTS, ids=str)
def test_parameter_counts_are_the_published_ones(build):
    params = shapes_of(build(1000), 224)["params"]
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == COUNTS[build]


def test_googlenet_as_published_has_five_by_five_kernels_and_biases():
    params = shapes_of(models.GoogLeNet(1000, norm=None, third_kernel=5), 224)["params"]
    assert params["inception3a"]["branch3_1"]["conv"]["kernel"].shape == (5, 5, 16, 32)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == 6_998_552


SMALLEST = [
    (models.AlexNet(3), 63),
    (models.VGG11(3), 32),
    (models.NiN(3), 67),
    (models.GoogLeNet(3), 31),
    (models.DenseNet121(3), 29),
    (models.DenseNetSmall(3), 29),
    (models.MnistCNN(3), 21),
]


@pytest.mark.parametrize("model, size", SMALLEST, ids=lambda x: type(x).__name__)
def test_smallest_image_is_named(model, size):
    shapes_of(model, size)
    with pytest.raises(ValueError, match=f"at least {size}x{size}"):
        shapes_of(model, size - 1)
    with pytest.raises(ValueError, match="transpose it"):
        model.init(jax.random.key(0), jnp.zeros((1, 3, 96, 96)), train=False)
    with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
        model.init(jax.random.key(0), jnp.zeros((96, 96, 3)), train=False)


SMALL = {
    "lenet": (models.LeNet(4), 12, 1),
    "mnist_cnn": (models.MnistCNN(4), 21, 1),
    "nin": (models.NiN(4, dropout=0.0), 67, 1),
    "preactivation": (
        models.ResNet(4, (1, 1), width=4, stem="small", preactivation=True),
        8,
        3,
    ),
    "densenet-small": (models.DenseNet(4, (2, 2), growth=4, stem=8, bottleneck=None), 16, 1),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_leaf_gets_a_gradient(name):
    """T5: no layer is cut off; one program serves every batch."""
    model, size, channels = SMALL[name]
    images = jnp.asarray(
        np.random.default_rng(0).normal(size=(8, size, size, channels)), jnp.float32
    )
    variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(1))
    params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}

    @jax.jit
    def gradients(params, images):
        def loss(params):
            logits, _ = model.apply(
                {"params": params, **rest}, images, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(jnp.sin(logits * jnp.arange(1.0, 5.0)[None]))

        return jax.grad(loss)(params)

    for path, g in jax.tree_util.tree_leaves_with_path(gradients(params, images)):
        assert np.isfinite(g).all(), path
        assert np.abs(g).max() > 0, path
    gradients(params, images + 1)
    assert gradients._cache_size() == 1


def test_features_by_name():
    model = models.VGG(None, (1, 2), (4, 6))
    images = jnp.ones((2, 8, 8, 3))
    variables = model.init(jax.random.key(0), images, train=False)
    maps = models.features(model, variables, images, ["relu1_1", "relu2_2", "pool2"])
    assert [v.shape for v in maps.values()] == [(2, 8, 8, 4), (2, 4, 4, 6), (2, 2, 2, 6)]
    np.testing.assert_array_equal(maps["pool2"], model.apply(variables, images, train=False))
    with pytest.raises(ValueError, match="no features relu9"):
        models.features(model, variables, images, ["relu9"])


def test_masked_images_leave_no_trace_in_the_statistics():
    """T6."""
    model = ResNet(stem="small")
    images = jnp.asarray(np.random.default_rng(0).normal(size=(6, 8, 8, 3)), jnp.float32)
    variables = model.init(jax.random.key(0), images, train=False)
    mask = jnp.arange(6) < 4

    @jax.jit
    def run(images):
        return model.apply(variables, images, mask, train=True, mutable=["batch_stats"])

    got, want = run(images), run(images.at[4:].set(1e4))
    np.testing.assert_allclose(got[0][:4], want[0][:4], atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, got[1], want[1])


def test_mixed_precision_keeps_parameters_in_float32():
    model = ResNet(stem="small", dtype=jnp.bfloat16)
    variables = model.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)), train=False)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert model.apply(variables, jnp.ones((1, 8, 8, 3)), train=False).dtype == jnp.bfloat16


def test_wrong_channels_are_named():
    model = ResNet(stem="small")
    variables = model.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)), train=False)
    with pytest.raises(ValueError, match="conv1 was made for 3 channels"):
        model.apply(variables, jnp.ones((1, 8, 8, 1)), train=False)
