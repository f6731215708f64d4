"""Every experiment with convolutional networks runs, and leaves its figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import cifar, convnets, filters_learned, finetune, vit
from jaxdl import models, runs
from jaxdl.models import weights


@pytest.mark.parametrize("recipe", ["book", "modern"])
def test_convnets(recipe, tmp_path):
    config = convnets.Config(smoke=True, recipe=recipe, out=tmp_path / "run")
    numbers = convnets.main(config)
    first, last = (row["train/loss"] for row in runs.read_metrics(tmp_path / "run"))
    assert last < first
    assert 0.05 < numbers["test/accuracy"] < 0.9  # two epochs of 128 images
    assert (tmp_path / "run" / "curves.png").exists()
    with pytest.raises(ValueError, match="size must be at least 1, got -3"):
        convnets.main(convnets.Config(size=-3))


def test_small_images_for_a_large_network_are_refused(tmp_path):
    config = convnets.Config(smoke=True, network="nin", size=28, out=tmp_path / "run")
    with pytest.raises(ValueError, match="at least 67x67"):
        convnets.main(config)


def test_cifar(tmp_path):
    numbers = cifar.main(cifar.Config(smoke=True, out=tmp_path / "run"))
    first, last = (row["train/loss"] for row in runs.read_metrics(tmp_path / "run"))
    assert last < first < 1.5 * np.log(10)
    assert numbers["test/loss"] < 2 * np.log(10)


def test_filters(tmp_path):
    numbers = filters_learned.main(filters_learned.Config(smoke=True, out=tmp_path / "run"))
    assert 1e-3 < numbers["kernels/relative_change"] < 0.5  # an epoch of 128 images
    assert len(list((tmp_path / "run").glob("maps_*.png"))) == 4


def test_finetune(tmp_path):
    numbers = finetune.main(finetune.Config(smoke=True, out=tmp_path / "run"))
    ways = {way: numbers[f"test/accuracy_{way}"] for way in finetune.WAYS}
    assert min(ways.values()) > numbers["majority/accuracy"] + 0.05
    assert ways["same"] > ways["frozen"] + 0.1  # two epochs teach a body more than a head alone


def test_half_a_body_is_refused(tmp_path):
    """T11."""
    networks = [
        models.ResNet(num_classes, stages=stages, width=4, stem="small")
        for num_classes, stages in [(2, (1, 1)), (5, (1, 1)), (2, (1,))]
    ]
    variables = [finetune.start(model, jax.random.key(0), 8, 3) for model in networks]
    for i, name in [(1, "other_head"), (2, "shallow")]:
        weights.save(tmp_path / f"{name}.safetensors", networks[i], variables[i])
    _, report = finetune.load_body(tmp_path / "other_head.safetensors", networks[0], variables[0])
    assert len(report.reshaped) == 2
    with pytest.raises(ValueError, match=r"another network: .*missing: layer2\.0"):
        finetune.load_body(tmp_path / "shallow.safetensors", networks[0], variables[0])


def test_photographs_need_weights(tmp_path):
    with pytest.raises(ValueError, match="--weights"):
        finetune.main(finetune.Config(data="hymenoptera", out=tmp_path / "photos"))


def test_a_vision_transformer_beside_a_residual_network(tmp_path):
    results = vit.main(vit.Config(smoke=True, out=tmp_path / "run"))
    for name in ("vit", "resnet"):
        assert results[f"test/{name}_accuracy"] > 3 * results["majority/accuracy"]
        for figure in ("curves", "worst"):
            assert (tmp_path / "run" / f"{name}_{figure}.png").exists()
    whole = vit.make_model(vit.Config(patch=3), "vit", 10)
    with pytest.raises(ValueError, match="whole patches of 3"):
        whole.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
