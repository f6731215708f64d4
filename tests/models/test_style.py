"""Style transfer: closed forms, several styles at once, bodies from files."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import models, nn, objectives, ops
from jaxdl.models import style, weights
from tests.references import reference

torch = reference("torch")

NAMES = {"content_names": ("relu2_1",), "style_names": ("relu1_1", "relu2_1")}
BODY = models.VGG(None, depths=(1, 1, 1), widths=(4, 6, 8))


@pytest.fixture(scope="module")
def variables():
    return BODY.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)


@pytest.fixture(scope="module")
def pictures():
    return jax.random.uniform(jax.random.key(1), (3, 16, 24, 3))


def targets(variables, content, like):
    return objectives.style.targets(BODY, variables, content, like, **NAMES)


def test_losses_equal_their_closed_forms(variables, pictures):
    aims = targets(variables, pictures[:1], pictures[1:2])
    found = objectives.style.parts(BODY, variables, pictures[2:], aims)
    x = ops.normalize(pictures)
    maps = models.features(BODY, variables, x, ("relu1_1", "relu2_1"))

    def gram(x):
        flat = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
        return flat.T @ flat / flat.size

    errors = [
        np.mean((gram(m[2]) - gram(m[1])) ** 2) / np.mean(gram(m[1]) ** 2) for m in maps.values()
    ]
    np.testing.assert_allclose(found["style"], [np.mean(errors)], rtol=1e-4)
    deep = np.asarray(maps["relu2_1"], np.float64)
    wanted = np.mean((deep[2] - deep[0]) ** 2) / np.mean(deep[0] ** 2)
    np.testing.assert_allclose(found["content"], [wanted], rtol=1e-4)
    p = np.asarray(pictures[2], np.float64)
    rough = sum(np.abs(np.diff(p, axis=axis)).sum() for axis in (0, 1)) / p.size
    np.testing.assert_allclose(found["variation"], [rough], rtol=1e-5)
    itself = objectives.style.parts(
        BODY, variables, pictures[:1], targets(variables, *[pictures[:1]] * 2)
    )
    assert float(itself["content"][0]) == float(itself["style"][0]) == 0


def test_nothing_above_the_deepest_feature_is_computed(variables, pictures):
    """The third block is neither made nor run, and its parameters may be missing."""
    lower = {"params": {n: variables["params"][n] for n in ("conv1_1", "conv2_1")}}
    found = style.extract(BODY, lower, pictures, ("relu2_1",))
    np.testing.assert_array_equal(
        found["relu2_1"], style.extract(BODY, variables, pictures, ("relu2_1",))["relu2_1"]
    )
    with pytest.raises(ValueError, match="no features relu9_9; there are relu1_1, pool1"):
        style.extract(BODY, variables, pictures, ("relu9_9",))


def painted(variables, images, aims, steps=3):
    """Descends on the pixels as `experiments.style_transfer` does; the losses before each step."""
    tx = optax.adam(0.01)

    @jax.jit
    def step(images, opt_state):
        def total(images):
            found = objectives.style.parts(BODY, variables, images, aims)
            return sum(jnp.sum(value) for value in found.values()), found

        slope, found = jax.grad(total, has_aux=True)(images)
        updates, opt_state = tx.update(slope, opt_state)
        return jnp.clip(optax.apply_updates(images, updates), 0, 1), opt_state, found

    opt_state, rows = tx.init(images), []
    for _ in range(steps):
        images, opt_state, found = step(images, opt_state)
        rows.append(found)
    return images, rows


def test_several_styles_are_painted_side_by_side(variables, pictures):
    content, likes = jnp.repeat(pictures[:1], 2, axis=0), pictures[1:]
    together, rows = painted(variables, content, targets(variables, content, likes))
    assert rows[0]["style"].shape == (2,)
    assert rows[-1]["style"].sum() < rows[0]["style"].sum()
    alone, _ = painted(variables, pictures[:1], targets(variables, pictures[:1], pictures[1:2]))
    # Adam divides by the size of the gradient: where it is about 0, rounding can turn its sign.
    assert np.mean(np.abs(alone[0] - together[0]) > 1e-4) < 0.01


@pytest.mark.parametrize("normed", [False, True])
def test_bodies_in_torch_names_are_really_loaded(normed, tmp_path):
    """T11: width and norm come from the file, every array is the file's, features are torch's."""
    layers, channels = [], 3
    for block, depth in zip((2, 4, 8, 16, 16), (2, 2, 4, 4, 4), strict=True):
        for _ in range(depth):
            layers += [torch.nn.Conv2d(channels, block, 3, padding=1)]
            layers += [torch.nn.BatchNorm2d(block)] * normed + [torch.nn.ReLU()]
            channels = block
        layers.append(torch.nn.MaxPool2d(2))
    torch.manual_seed(0)
    net = torch.nn.Sequential(*layers).eval()
    torch.save({f"features.{k}": v for k, v in net.state_dict().items()}, tmp_path / "vgg19.pth")
    body, variables = style.load_body(tmp_path / "vgg19.pth")
    assert body.widths == (2, 4, 8, 16, 16)
    assert (body.norm is not None) == normed
    x = np.random.default_rng(0).uniform(size=(1, 32, 32, 3)).astype(np.float32)
    got = style.extract(body, variables, x, ("relu1_1", "relu4_4"))
    y = torch.from_numpy(np.array(ops.normalize(x))).permute(0, 3, 1, 2)
    for name, index in (("relu1_1", 1 + normed), ("relu4_4", 26 + 12 * normed)):
        want = net[: index + 1](y).permute(0, 2, 3, 1).detach().numpy()
        np.testing.assert_allclose(got[name], want, atol=1e-4)


def test_files_without_a_body_say_where_to_get_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*torchvision's VGG-19 is https:"):
        style.load_body(tmp_path / "vgg19.pth")
    torch.save({"layer1.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="is no VGG-19; torchvision's"):
        style.load_body(tmp_path / "other.pth")
    torch.save({"features.0.weight": torch.ones(2, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"is no VGG-19 \(1 arrays loaded; .* missing"):
        style.load_body(tmp_path / "part.pth")


def test_statistics_of_the_pictures_normalize_every_channel(pictures):
    body = BODY.clone(norm=models.vgg.batch_norm)
    fresh = body.init(jax.random.key(0), pictures, train=False)
    fitted = style.with_statistics(body, fresh, pictures)
    x = nn.Conv(4, 3, padding=1).apply(
        {"params": fresh["params"]["conv1_1"]}, ops.normalize(pictures)
    )
    got = fitted["batch_stats"]["bn1_1"]
    np.testing.assert_allclose(got["mean"], np.mean(x, (0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(got["var"], np.var(x, (0, 1, 2)), rtol=1e-3)


def test_bodies_go_to_a_file_and_come_back(tmp_path):
    body = style.vgg19(2, batch_norm=True)
    fresh = body.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    weights.save(tmp_path / "body.safetensors", body, fresh)
    _, loaded = style.load_body(tmp_path / "body.safetensors")
    deepest = loaded["params"]["conv5_1"]["kernel"]
    np.testing.assert_array_equal(deepest, fresh["params"]["conv5_1"]["kernel"])
