"""Training steps of softmax regression, LeNet and ResNet-18, beside torch and plain Flax.

Every side starts from the same weights and takes the same steps on the same random images; the
result is the loss after three of them (softmax regression: after an epoch).
"""

import functools
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.peers._side import Row, Side
from jaxdl import bench, data, losses, models, objectives, train


def images(count: int, size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, size, size, channels)).astype(np.float32)
    return x, rng.integers(0, 10, count)


def after_three(take: Any) -> float:
    """The loss of the third step."""
    return [float(take()) for _ in range(3)][-1]


def flax_step(model: Any, x: np.ndarray, y: np.ndarray, rate: float, variables: Any) -> Side:
    """Descent on a Linen module by `jaxdl.train`."""
    variables = dict(variables)
    objective = objectives.supervised(model, losses.softmax_cross_entropy)
    trainer = train.make(objective, optax.sgd(rate))
    step = jax.jit(trainer.step, donate_argnums=0)
    params = variables.pop("params")
    state = trainer.init(jax.random.key(0), params=params, model_state=variables)
    batch = {"image": jnp.asarray(x), "label": jnp.asarray(y), "mask": jnp.ones(len(x), bool)}
    take = bench.stepper(step, state, batch)
    return Side(take, len(x), after_three(lambda: take()[1]["loss"].compute()))


def torch_step(module: Any, x: np.ndarray, y: np.ndarray, rate: float, weights: Any) -> Side:
    """The same in torch, channels last."""
    import torch

    layout = torch.channels_last if x.shape[-1] > 1 else torch.contiguous_format
    module.load_state_dict({k: torch.tensor(np.array(v)) for k, v in weights.items()}, strict=False)
    module.to(memory_format=layout)
    optimizer = torch.optim.SGD(module.parameters(), rate)
    images = torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    labels = torch.tensor(y)

    def take() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Side(take, len(x), after_three(take))


# LeNet, 28 x 28, batch 256


class PlainLeNet(linen.Module):
    """LeNet as Flax's own layers have it, with XLA's convolutions."""

    @linen.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = linen.max_pool(linen.relu(linen.Conv(6, (5, 5), name="conv1")(x)), (2, 2), (2, 2))
        x = linen.relu(linen.Conv(16, (5, 5), padding="VALID", name="conv2")(x))
        x = linen.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
        x = linen.relu(linen.Dense(120, name="dense1")(x))
        x = linen.relu(linen.Dense(84, name="dense2")(x))
        return linen.Dense(10, name="head")(x)


def lenet_variables() -> Any:
    model = models.LeNet(10)
    return jax.jit(lambda key: model.init(key, jnp.zeros((1, 28, 28, 1)), train=False))(
        jax.random.key(0)
    )


def lenet(smoke: bool) -> Side:
    x, y = images(8 if smoke else 256, 28, 1)
    return flax_step(models.LeNet(10), x, y, 0.1, lenet_variables())


def lenet_flax(smoke: bool) -> Side:
    x, y = images(8 if smoke else 256, 28, 1)
    return flax_step(PlainLeNet(), x, y, 0.1, lenet_variables())


def lenet_torch(smoke: bool) -> Side:
    from torch import nn as tnn

    x, y = images(8 if smoke else 256, 28, 1)
    module = tnn.Sequential(
        *[tnn.Conv2d(1, 6, 5, padding=2), tnn.ReLU(), tnn.MaxPool2d(2)],
        *[tnn.Conv2d(6, 16, 5), tnn.ReLU(), tnn.MaxPool2d(2), tnn.Flatten()],
        *[tnn.Linear(400, 120), tnn.ReLU(), tnn.Linear(120, 84), tnn.ReLU(), tnn.Linear(84, 10)],
    )
    ours = lenet_variables()["params"]
    weights = {}
    for place, name in zip((0, 3, 7, 9, 11), sorted(ours), strict=True):
        kernel = np.asarray(ours[name]["kernel"])
        if place == 7:  # what torch flattens is [C, H, W]
            kernel = kernel.reshape(5, 5, 16, 120).transpose(2, 0, 1, 3).reshape(400, 120)
        weights[f"{place}.weight"] = kernel.T if kernel.ndim == 2 else kernel.transpose(3, 2, 0, 1)
        weights[f"{place}.bias"] = ours[name]["bias"]
    return torch_step(module, x, y, 0.1, weights)


# ResNet-18 with the stem of small images, 32 x 32, batch 128


def resnet_variables() -> tuple[Any, Any]:
    model = models.ResNet18(10, stem="small")
    key, x = jax.random.key(0), jnp.zeros((1, 32, 32, 3))
    return model, jax.jit(lambda key: model.init(key, x, train=False))(key)


def resnet(smoke: bool) -> Side:
    x, y = images(2 if smoke else 128, 32, 3)
    model, variables = resnet_variables()
    return flax_step(model, x, y, 0.01, variables)


def resnet_torch(smoke: bool) -> Side:
    from torch import nn as tnn

    x, y = images(2 if smoke else 128, 32, 3)

    class Block(tnn.Module):
        def __init__(self, i: int, o: int, stride: int) -> None:
            super().__init__()
            self.conv1 = tnn.Conv2d(i, o, 3, stride, 1, bias=False)
            self.bn1, self.relu = tnn.BatchNorm2d(o), tnn.ReLU()
            self.conv2 = tnn.Conv2d(o, o, 3, 1, 1, bias=False)
            self.bn2 = tnn.BatchNorm2d(o)
            self.downsample: Any = tnn.Identity()
            if i != o:
                skip = tnn.Conv2d(i, o, 1, stride, bias=False)
                self.downsample = tnn.Sequential(skip, tnn.BatchNorm2d(o))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + self.downsample(x))

    class ResNet(tnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = tnn.Conv2d(3, 64, 3, 1, 1, bias=False), tnn.BatchNorm2d(64)
            widths = [(64, 64), (64, 128), (128, 256), (256, 512)]
            for k, (i, o) in enumerate(widths, 1):
                pair = tnn.Sequential(Block(i, o, 1 + (i != o)), Block(o, o, 1))
                setattr(self, f"layer{k}", pair)
            self.fc = tnn.Linear(512, 10)

        def forward(self, x: Any) -> Any:
            x = tnn.functional.relu(self.bn1(self.conv1(x)))
            for stage in ("layer1", "layer2", "layer3", "layer4"):
                x = getattr(self, stage)(x)
            return self.fc(x.mean((2, 3)))

    return torch_step(ResNet(), x, y, 0.01, models.weights.to_torch(*resnet_variables()))


# Softmax regression on 28 x 28 bytes, one epoch of batches of 256


def mnist_shaped(smoke: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    count = 1024 if smoke else 60_000
    return rng.integers(0, 256, (count, 784), np.uint8), rng.integers(0, 10, count)


def softmax(smoke: bool) -> Side:
    x, y = mnist_shaped(smoke)
    columns = {"image": jnp.asarray(x), "label": jnp.asarray(y)}
    objective = objectives.supervised(
        models.MLP((10,)), losses.softmax_cross_entropy, preprocess=data.images.to_unit
    )
    trainer, steps = train.make(objective, optax.sgd(0.01)), data.num_batches(len(x), 256)

    def body(k: jax.Array, carry: Any) -> Any:
        batch = data.resident_batch(carry[2], k, batch_size=256, seed=None)
        return *trainer.step(carry[0], batch), carry[2]

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(state: train.TrainState, columns: Any) -> Any:
        first = body(jnp.zeros((), jnp.int32), (state, None, columns))
        return jax.lax.fori_loop(1, steps, body, first)[:2]

    state = trainer.init(jax.random.key(0), {**columns, "mask": jnp.ones(len(x), bool)})
    state = state.replace(params=jax.tree.map(jnp.zeros_like, state.params))
    take = bench.stepper(epoch, state, columns)
    return Side(take, len(x), float(take()[1]["loss"].compute()))


def softmax_torch(smoke: bool) -> Side:
    import torch

    x, y = map(torch.tensor, mnist_shaped(smoke))  # the labels are int64, as torch wants them
    module = torch.nn.Linear(784, 10)
    torch.nn.init.zeros_(module.weight)
    torch.nn.init.zeros_(module.bias)
    optimizer = torch.optim.SGD(module.parameters(), 0.01)

    def epoch() -> Any:
        for start in range(0, len(x), 256):
            some = slice(start, start + 256)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(x[some].float() / 255), y[some])
            loss.backward()
            optimizer.step()
        return loss.detach()

    return Side(epoch, len(x), float(epoch()))


ROWS = {
    "softmax": Row({"jaxdl": softmax, "torch": softmax_torch}, "examples", 1e-3),
    "lenet": Row({"jaxdl": lenet, "torch": lenet_torch, "flax": lenet_flax}, "examples", 1e-3),
    "resnet18": Row({"jaxdl": resnet, "torch": resnet_torch}, "images", 1e-2),
}
