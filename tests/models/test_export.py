"""Trained networks leave by `jax.export`: the batch size is whoever calls them's own."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from jaxdl import data, models, nn

IMAGES = {
    "lenet": (models.LeNet(5), (28, 28, 1)),
    "lenet-sigmoid": (models.LeNetSigmoid(5), (28, 28, 1)),
    "alexnet": (models.AlexNet(5, dense_size=16), (67, 67, 3)),
    "vgg": (models.VGG(5, (1, 1), (4, 6), dense_size=8), (14, 14, 3)),
    "nin": (models.NiN(5), (67, 67, 3)),
    "mnist-cnn": (models.MnistCNN(5), (28, 28, 1)),
    "resnet": (models.ResNet(5, stages=(1, 1), width=4), (25, 25, 3)),
    "densenet": (models.DenseNet(5, (2, 2), growth=4, stem=8), (29, 29, 3)),
    "googlenet": (models.GoogLeNet(5), (33, 33, 3)),
    "mlp": (models.MLP((8, 5)), (6, 6, 1)),
    "signal-cnn": (models.SignalCNN(5), (64, 2)),
    "signal-rnn": (models.SignalRNN(5, nn.GRUCell(), 8), (9, 2)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_batch_may_be_of_any_size(name):
    model, shape = IMAGES[name]
    variables = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    (batch,) = export.symbolic_shape("batch")
    inputs = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    answer = jax.jit(lambda variables, x: model.apply(variables, x, train=False))
    exported = export.export(answer, platforms=("cpu", "cuda", "tpu"))(variables, inputs)
    assert exported.out_avals[0].shape == (batch, 5)
    assert exported.serialize()


def test_images_are_prepared_for_a_batch_of_any_size():
    (batch,) = export.symbolic_shape("batch")
    inputs = jax.ShapeDtypeStruct((batch, 8, 8, 1), jnp.uint8)
    prepare = jax.jit(lambda image: data.images.to_unit({"image": image}, size=(16, 16))["image"])
    assert export.export(prepare)(inputs).out_avals[0].shape == (batch, 16, 16, 1)
