"""Every experiment with convolutional networks runs, and leaves its figures."""

import numpy as np
import pytest

from experiments import cifar, convnets, filters_learnt, finetune


@pytest.mark.parametrize("recipe", ["book", "modern"])
def test_convnets(recipe, tmp_path):
    config = convnets.Config(smoke=True, recipe=recipe, out=tmp_path / "run")
    numbers = convnets.main(config)
    assert 0 <= numbers["test/accuracy"] <= 1
    assert (tmp_path / "run" / "curves.png").exists()


def test_small_images_for_a_large_network_are_refused(tmp_path):
    config = convnets.Config(smoke=True, network="nin", size=28, out=tmp_path / "run")
    with pytest.raises(ValueError, match="at least 67x67"):
        convnets.main(config)


def test_cifar(tmp_path):
    numbers = cifar.main(cifar.Config(smoke=True, out=tmp_path / "run"))
    assert np.isfinite(numbers["test/loss"])


def test_filters(tmp_path):
    numbers = filters_learnt.main(filters_learnt.Config(smoke=True, out=tmp_path / "run"))
    assert numbers["kernels/relative_change"] > 0
    assert len(list((tmp_path / "run").glob("maps_*.png"))) == 4


def test_finetune(tmp_path):
    numbers = finetune.main(finetune.Config(smoke=True, out=tmp_path / "run"))
    assert set(numbers) == {f"test/accuracy_{way}" for way in finetune.WAYS}
    with pytest.raises(ValueError, match="--weights"):
        finetune.main(finetune.Config(data="hymenoptera", out=tmp_path / "photos"))
