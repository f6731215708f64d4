"""The image classifiers built from torch's own layers, under torchvision's names or our own."""

import collections
import itertools

from jaxdl import models
from tests.references import reference

torch = reference("torch")
from torch import nn as tnn  # noqa: E402


def named(*layers):
    return tnn.Sequential(collections.OrderedDict(layers))


def classifier(channels, hidden, classes, dropout_first):
    first, second = ([tnn.Linear(n, hidden), tnn.ReLU()] for n in (channels, hidden))
    drop = tnn.Dropout(0.0)
    layers = [drop, *first, drop, *second] if dropout_first else [*first, drop, *second, drop]
    return tnn.Sequential(*layers, tnn.Linear(hidden, classes))


class Plain(tnn.Module):
    """torchvision's AlexNet and VGG: features, adaptive pool, classifier."""

    def __init__(self, features, pool, channels, hidden, classes, dropout_first):
        super().__init__()
        self.features, self.pool = features, tnn.AdaptiveAvgPool2d(pool)
        self.classifier = classifier(channels * pool**2, hidden, classes, dropout_first)

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


def alexnet():
    def conv(i, o, k, s, p, pool):
        return [tnn.Conv2d(i, o, k, s, p), tnn.ReLU(), *([tnn.MaxPool2d(3, 2)] if pool else [])]

    layers = [*conv(3, 64, 11, 4, 2, 1), *conv(64, 192, 5, 1, 2, 1), *conv(192, 384, 3, 1, 1, 0)]
    layers += [*conv(384, 256, 3, 1, 1, 0), *conv(256, 256, 3, 1, 1, 1)]
    return Plain(tnn.Sequential(*layers), 6, 256, 16, 5, dropout_first=True)


def vgg(norm):
    layers, channels = [], 3
    for width, depth in [(4, 1), (6, 2)]:
        for _ in range(depth):
            layers.append(tnn.Conv2d(channels, width, 3, padding=1))
            layers += [tnn.BatchNorm2d(width), tnn.ReLU()] if norm else [tnn.ReLU()]
            channels = width
        layers.append(tnn.MaxPool2d(2))
    return Plain(tnn.Sequential(*layers), 7, 6, 32, 5, dropout_first=False)


class Residual(tnn.Module):
    def __init__(self, channels, width, stride, expansion, norm_shortcut):
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
            norm = [tnn.BatchNorm2d(out)] if norm_shortcut else []
            self.downsample = tnn.Sequential(conv, *norm)

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class PreactivationResidual(tnn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.bn1, self.bn2 = tnn.BatchNorm2d(channels), tnn.BatchNorm2d(width)
        self.conv1 = tnn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.conv2 = tnn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.downsample = None
        if stride > 1 or channels != width:
            conv = tnn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = tnn.Sequential(conv)

    def forward(self, x):
        y = self.bn1(x).relu()
        x = x if self.downsample is None else self.downsample(y)
        return x + self.conv2(self.bn2(self.conv1(y)).relu())


def preactivation_resnet():
    layers = [
        ("conv1", tnn.Conv2d(3, 8, 3, 1, 1, bias=False)),
        ("layer1", tnn.Sequential(PreactivationResidual(8, 8, 1))),
        ("layer2", tnn.Sequential(*(PreactivationResidual(8 * n, 16, 3 - n) for n in (1, 2)))),
        ("bn_last", tnn.BatchNorm2d(16)),
        ("relu", tnn.ReLU()),
    ]
    head = [
        ("avg", tnn.AdaptiveAvgPool2d(1)),
        ("flat", tnn.Flatten()),
        ("fc", tnn.Linear(16, 5)),
    ]
    return named(*layers, *head)


def resnet(expansion=1, small=False, norm_shortcut=True):
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
            stride = 2 if stage > 1 and i == 0 else 1
            blocks.append(Residual(channels, width, stride, expansion, norm_shortcut))
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


class Inception(tnn.Module):
    def __init__(self, c, n1, n2, n3, n4):
        super().__init__()
        self.branch1 = ConvNormReLU(c, n1, 1)
        self.branch2 = tnn.Sequential(ConvNormReLU(c, n2[0], 1), ConvNormReLU(*n2, 3, 1, 1))
        self.branch3 = tnn.Sequential(ConvNormReLU(c, n3[0], 1), ConvNormReLU(*n3, 3, 1, 1))
        self.branch4 = tnn.Sequential(tnn.MaxPool2d(3, 1, 1), ConvNormReLU(c, n4, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def googlenet():
    def pool(k):
        return tnn.MaxPool2d(k, 2, ceil_mode=True)

    layers = [("conv1", ConvNormReLU(3, 64, 7, 2, 3)), ("pool1", pool(3))]
    layers += [("conv2", ConvNormReLU(64, 64, 1)), ("conv3", ConvNormReLU(64, 192, 3, 1, 1))]
    layers += [("pool2", pool(3))]
    channels = 192
    for name, widths in models.googlenet.INCEPTIONS.items():
        layers += {"4a": [("pool3", pool(3))], "5a": [("pool4", pool(2))]}.get(name, [])
        layers.append((f"inception{name}", Inception(channels, *widths)))
        channels = widths[0] + widths[1][1] + widths[2][1] + widths[3]
    head = [
        ("avg", tnn.AdaptiveAvgPool2d(1)),
        ("flat", tnn.Flatten()),
        ("fc", tnn.Linear(channels, 5)),
    ]
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


class PlainDenseLayer(tnn.Module):
    def __init__(self, c, growth):
        super().__init__()
        self.norm1 = tnn.BatchNorm2d(c)
        self.conv1 = tnn.Conv2d(c, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv1(self.norm1(x).relu())], 1)


class DenseNet(tnn.Module):
    def __init__(self, layer, blocks=(2, 3), growth=4, channels=8):
        super().__init__()
        conv = tnn.Conv2d(3, channels, 7, 2, 3, bias=False)
        layers = [("conv0", conv), ("norm0", tnn.BatchNorm2d(channels)), ("relu0", tnn.ReLU())]
        layers += [("pool0", tnn.MaxPool2d(3, 2, 1))]
        for block, depth in enumerate(blocks, start=1):
            dense = [
                (f"denselayer{i + 1}", layer(channels + i * growth, growth)) for i in range(depth)
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


# Networks that torchvision does not have: the twin's modules are named like ours.


def nin():
    layers, channels = [], 3
    for block, geometry in enumerate([(96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1)], start=1):
        layers += nin_block(block, channels, *geometry)
        layers.append((f"pool{block}", tnn.MaxPool2d(3, 2)))
        channels = geometry[0]
    layers += nin_block(4, channels, 5, 3, 1, 1)
    return named(*layers, ("avg", tnn.AdaptiveAvgPool2d(1)), ("flat", tnn.Flatten()))


def nin_block(block, channels, features, kernel, stride, padding):
    layers = [tnn.Conv2d(channels, features, kernel, stride, padding)]
    layers += [tnn.Conv2d(features, features, 1) for _ in range(2)]
    for i, layer in enumerate(layers, start=1):
        yield f"conv{block}_{i}", layer
        yield f"relu{block}_{i}", tnn.ReLU()


def small(first, second, *dense, activation=tnn.ReLU):
    """Convolution, ReLU and pool twice, then dense layers; of `(conv, pool)` and widths."""
    layers = []
    for i, (conv, pool) in enumerate((first, second), start=1):
        layers += [(f"conv{i}", conv), (f"relu{i}", activation())]
        layers.append((f"pool{i}", tnn.MaxPool2d(pool)))
    layers.append(("flat", tnn.Flatten()))
    *hidden, last = itertools.pairwise(dense)
    for i, widths in enumerate(hidden, start=1):
        layers += [(f"dense{i}", tnn.Linear(*widths)), (f"dense_relu{i}", activation())]
    return named(*layers, ("head", tnn.Linear(*last)))


def mnist_cnn():
    convs = (tnn.Conv2d(1, 32, 4), 3), (tnn.Conv2d(32, 64, 4), 3)
    return small(*convs, 64, 64, 5)


def lenet():
    convs = (tnn.Conv2d(1, 6, 5, padding=2), 2), (tnn.Conv2d(6, 16, 5), 2)
    return small(*convs, 16 * 5 * 5, 120, 84, 5)


def lenet_unpadded():
    convs = (tnn.Conv2d(1, 6, 5), 2), (tnn.Conv2d(6, 16, 5), 2)
    return small(*convs, 16 * 4 * 4, 120, 84, 5, activation=tnn.Sigmoid)
