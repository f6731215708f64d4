"""The image classifiers against twins built from torch's own layers, with weights carried over."""

import functools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import models, ops
from jaxdl.models import weights
from tests.models import twins

torch = twins.torch

ResNet = functools.partial(models.ResNet, 5, stages=(1, 2), width=8)
VGG = functools.partial(models.VGG, 5, (1, 2), (4, 6), dropout=0.0, dense_size=32)
DenseNet = functools.partial(models.DenseNet, 5, (2, 3), growth=4, stem=8)
TWINS = {  # model, twin, side and channels of the images
    "alexnet": (models.AlexNet(5, dense_size=16, dropout=0.0), twins.alexnet, 67, 3),
    "vgg": (VGG(), functools.partial(twins.vgg, norm=False), 14, 3),
    "vgg-bn": (VGG(norm=models.vgg.batch_norm), functools.partial(twins.vgg, norm=True), 14, 3),
    "resnet": (ResNet(), twins.resnet, 25, 3),
    "resnet-small": (ResNet(stem="small"), functools.partial(twins.resnet, small=True), 10, 3),
    "resnet-bottleneck": (
        ResNet(block=models.resnet.Bottleneck),
        functools.partial(twins.resnet, expansion=4), 25, 3,
    ),
    "resnet-preactivation": (
        ResNet(stem="small", preactivation=True), twins.preactivation_resnet, 10, 3,
    ),
    "googlenet": (models.GoogLeNet(5, dropout=0.0), twins.googlenet, 33, 3),
    "densenet": (DenseNet(), functools.partial(twins.DenseNet, twins.DenseLayer), 29, 3),
    "densenet-small": (
        DenseNet(bottleneck=None), functools.partial(twins.DenseNet, twins.PlainDenseLayer), 29, 3,
    ),
    "nin": (models.NiN(5, dropout=0.0), twins.nin, 67, 3),
    "mnist-cnn": (models.MnistCNN(5), twins.mnist_cnn, 28, 1),
    "lenet": (models.LeNet(5), twins.lenet, 28, 1),
    "lenet-unpadded": (models.LeNetUnpadded(5), twins.lenet_unpadded, 28, 1),
    "resnet-plain-shortcut": (
        ResNet(stem="small", norm_shortcut=False),
        functools.partial(twins.resnet, small=True, norm_shortcut=False), 10, 3,
    ),
}  # fmt: skip
# The twins of networks that torchvision does not have bear our names.
OWN_NAMES = types.SimpleNamespace(torch_module=str, flattened={"dense1": (1, 1)})
LENET_NAMES = types.SimpleNamespace(torch_module=str, flattened={"dense1": (5, 5)})
UNPADDED_NAMES = types.SimpleNamespace(torch_module=str, flattened={"dense1": (4, 4)})
NAMES = {"nin": OWN_NAMES, "mnist-cnn": OWN_NAMES, "lenet": LENET_NAMES}
NAMES["lenet-unpadded"] = UNPADDED_NAMES


def carried_over(twin, names, shapes, path):
    """The twin's weights as variables of the model, by way of a file; and nothing is lost."""
    torch.save(twin.state_dict(), path)
    variables, report = weights.load(path, names, shapes)
    assert report.complete
    assert not report.unexpected
    state = {k: v.numpy() for k, v in twin.state_dict().items() if "num_batches" not in k}
    back = weights.to_torch(names, variables)
    assert back.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(back[name], value)
    return variables


@pytest.mark.parametrize("family", TWINS)
def test_twin_in_torch_has_the_same_logits_gradients_and_statistics(family, tmp_path, monkeypatch):
    """And every parameter gets a gradient: no layer is cut off (T5)."""
    blocks = {name: models.googlenet.INCEPTIONS[name] for name in ("3a", "4a", "5a")}
    monkeypatch.setattr(models.googlenet, "INCEPTIONS", blocks)  # nine would compile for a minute
    model, build, size, channels = TWINS[family]
    names = NAMES.get(family, model)
    torch.manual_seed(0)
    twin = build()
    for name, value in twin.state_dict().items():  # off 0 and 1; no signal dies out on its way
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
        elif name.endswith(("running_mean", "bias")):
            value.uniform_(-0.2, 0.4)
        elif name.endswith("running_var") or value.ndim == 1:
            value.uniform_(0.5, 1.5)
    images = np.random.default_rng(0).normal(size=(4, size, size, channels)).astype(np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    variables = carried_over(twin, names, shapes, tmp_path / "twin.pth")

    def pull(images, params, train):
        logits, new = model.apply(
            {**variables, "params": params}, images, train=train, mutable=["batch_stats"]
        )
        return jnp.sum(jnp.sin(logits)), (logits, new)

    for train in (False, True):
        twin.train(train).zero_grad()
        theirs = torch.tensor(np.moveaxis(images, -1, 1).copy(), requires_grad=True)
        logits = twin(theirs)
        logits.sin().sum().backward()
        wanted = (0, 1) if train else (0,)
        pulled = jax.jit(jax.grad(pull, wanted, has_aux=True), static_argnums=2)
        gradients, (got, new) = pulled(images, variables["params"], train)
        np.testing.assert_allclose(got, logits.detach(), atol=1e-4, rtol=1e-4)
        want = np.moveaxis(theirs.grad.numpy(), 1, -1)
        np.testing.assert_allclose(gradients[0], want, atol=1e-3 * np.abs(want).max())
        assert np.abs(want).max() > 1e-4  # or there would be nothing to compare
    wanted = {name: p.grad.numpy() for name, p in twin.named_parameters()}
    noise = 1e-6 * max(np.abs(want).max() for want in wanted.values())
    for name, value in weights.to_torch(names, {"params": gradients[1]}).items():
        atol = noise + 1e-3 * np.abs(wanted[name]).max()
        np.testing.assert_allclose(value, wanted[name], atol=atol, err_msg=name)
        # Batch norm takes the bias of the convolution before it away again.
        swallowed = family == "vgg-bn" and name.startswith("features") and name.endswith("bias")
        assert swallowed or np.abs(value).max() > 0, name
    if new.get("batch_stats"):
        stats = weights.to_torch(names, {"batch_stats": new["batch_stats"]})
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


def test_googlenet_as_published_has_five_by_five_kernels_and_biases(monkeypatch):
    windows, max_pool = [], ops.max_pool

    def spy(x, window, strides=None, **options):
        windows.append((window, strides))
        return max_pool(x, window, strides, **options)

    monkeypatch.setattr(ops, "max_pool", spy)
    as_published = models.GoogLeNet(1000, norm=None, third_kernel=5, last_pool=3)
    params = shapes_of(as_published, 224)["params"]
    # Table 1: all four pools between blocks are 3x3, stride 2; those in the nine blocks stride 1.
    assert windows.count((3, 2)) == 4
    assert windows.count((3, 1)) == 9
    assert len(windows) == 13
    assert params["inception3a"]["branch3_1"]["conv"]["kernel"].shape == (5, 5, 16, 32)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == 6_998_552


def kernels_of(model, size, channels):
    """Shapes of the kernels by layer, and how many numbers there are."""
    params = shapes_of(model, size, channels)["params"]
    paths = jax.tree.leaves_with_path(params)
    kernels = {
        "/".join(key.key for key in path[:-1]): leaf.shape
        for path, leaf in paths
        if path[-1].key == "kernel"
    }
    return kernels, sum(math.prod(leaf.shape) for _, leaf in paths)


def test_alexnet_of_2012_is_the_textbooks_list():
    """conv(in * k * k + 1) * out and dense (in + 1) * out, layer by layer, gray images."""
    kernels, count = kernels_of(models.AlexNet2012(10), 224, 1)
    assert kernels == {
        "conv1": (11, 11, 1, 96),
        "conv2": (5, 5, 96, 256),
        "conv3": (3, 3, 256, 384),
        "conv4": (3, 3, 384, 384),
        "conv5": (3, 3, 384, 256),
        "dense1": (5 * 5 * 256, 4096),
        "dense2": (4096, 4096),
        "head": (4096, 10),
    }
    assert count == 46_764_746
    model = models.AlexNet2012(3, widths=(2, 2, 2, 2, 2), dense_size=64)  # where dropout stands
    images = jnp.ones((1, 67, 67, 1))
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes_of(model, 67, 1))
    zero["params"]["dense2"]["bias"] += 1.0
    zero["params"]["head"]["kernel"] += 1.0
    kept = model.apply(zero, images, train=True, rngs={"dropout": jax.random.key(1)})[0, 0] / 2
    assert 16 < kept < 48  # of 64 units, about a half, each doubled
    assert kept == int(kept)
    with pytest.raises(ValueError, match="5 numbers"):
        shapes_of(models.AlexNet(3, widths=(2, 2)), 67)
    with pytest.raises(ValueError, match="give AlexNet a grid"):
        _ = model.flattened


def test_lenet_without_padding_is_the_textbooks_list():
    kernels, count = kernels_of(models.LeNetUnpadded(10), 28, 1)
    assert kernels == {
        "conv1": (5, 5, 1, 6),
        "conv2": (5, 5, 6, 16),
        "dense1": (4 * 4 * 16, 120),
        "dense2": (120, 84),
        "head": (84, 10),
    }
    assert count == 44_426


def test_plain_googlenet_pads_its_pools_by_one(monkeypatch):
    pools, max_pool = [], ops.max_pool

    def spy(x, window, strides=None, **options):
        y = max_pool(x, window, strides, **options)
        pools.append((window, strides, options.get("padding"), x.shape[1], y.shape[1]))
        return y

    monkeypatch.setattr(ops, "max_pool", spy)
    kernels, count = kernels_of(models.GoogLeNetPlain(10), 96, 1)
    between = [pool for pool in pools if pool[1] == 2]
    assert between == [(3, 2, 1, n, n // 2) for n in (48, 24, 12, 6)]
    assert kernels["inception5b/branch3_1/conv"] == (5, 5, 48, 128)
    # the count of 1,000 classes and three colors, less what 10 classes and gray do without
    assert count == 6_998_552 - 990 * 1025 - 2 * 7 * 7 * 64


SMALLEST = [
    (models.LeNet(3), 4),
    (models.LeNetUnpadded(3), 16),
    (models.AlexNet(3), 63),
    (models.AlexNet2012(3), 67),
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
