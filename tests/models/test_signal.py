"""The 1-D convolutional classifier against torch, and its properties."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import models, nn
from tests.references import reference

torch = reference("torch")


def test_logits_and_gradients_agree_with_torch():
    model = models.SignalCNN(num_classes=3, features=(4, 6), width=5, dropout=0.0)
    x = np.random.default_rng(0).normal(size=(5, 24, 2)).astype(np.float32)
    variables = model.init(jax.random.key(0), x, train=False)
    layers, inputs = [], 2
    for i, channels in enumerate((4, 6)):
        conv = torch.nn.Conv1d(inputs, channels, 5, padding=2, bias=False)
        kernel = variables["params"][f"Conv_{i}"]["kernel"]
        conv.weight.data = torch.tensor(np.asarray(kernel).transpose(2, 1, 0))
        layers += [conv, torch.nn.BatchNorm1d(channels), torch.nn.ReLU(), torch.nn.MaxPool1d(2)]
        inputs = channels
    head = torch.nn.Linear(6, 3)
    head.weight.data = torch.tensor(np.asarray(variables["params"]["head"]["kernel"]).T)
    head.bias.data.zero_()
    body = torch.nn.Sequential(*layers)
    signal = torch.tensor(x.transpose(0, 2, 1), requires_grad=True)
    theirs = head(body(signal).mean(-1))  # torch starts in training mode: batch statistics
    (theirs**2).sum().backward()

    def loss(params, x):
        variables_ = {**variables, "params": params}
        keys = {"dropout": jax.random.key(1)}
        out, _ = model.apply(variables_, x, train=True, rngs=keys, mutable=["batch_stats"])
        return jnp.sum(out**2), out

    (_, ours), (params, slope) = jax.value_and_grad(loss, (0, 1), has_aux=True)(
        variables["params"], x
    )
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(slope, signal.grad.numpy().transpose(0, 2, 1), rtol=1e-3, atol=1e-5)
    kernel = layers[0].weight.grad.numpy().transpose(2, 1, 0)
    np.testing.assert_allclose(params["Conv_0"]["kernel"], kernel, rtol=1e-3, atol=1e-5)
    for name, leaf in flax.traverse_util.flatten_dict(params, sep="/").items():
        assert jnp.isfinite(leaf).all(), name
        assert jnp.abs(leaf).max() > 0, name


def test_short_signals_are_refused():
    with pytest.raises(ValueError, match=r"T >= 8, got \(1, 7, 1\)"):
        models.SignalCNN(2).init(jax.random.key(0), jnp.zeros((1, 7, 1)), train=False)


def test_last_states_and_gradients_agree_with_torch():
    model = models.SignalRNN(2, nn.LSTMCell(), 6, num_layers=2)
    x = np.random.default_rng(0).normal(size=(5, 9, 3)).astype(np.float32)
    lengths = np.array([9, 4, 1, 7, 9])
    params = model.init(jax.random.key(0), x, train=False)["params"]
    twin, head = torch.nn.LSTM(3, 6, 2, batch_first=True), torch.nn.Linear(6, 2)
    twin.load_state_dict(
        {
            k: torch.tensor(np.asarray(v))
            for k, v in nn.recurrent_to_torch(params["recurrent"]).items()
        }
    )
    head.weight.data = torch.tensor(np.asarray(params["head"]["kernel"]).T)
    head.bias.data = torch.tensor(np.asarray(params["head"]["bias"]))
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    theirs = head(twin(packed)[1][0][-1])
    (theirs**2).sum().backward()

    def loss(params):
        out = model.apply({"params": params}, x, lengths, train=False)
        return jnp.sum(out**2), out

    (_, ours), slope = jax.value_and_grad(loss, has_aux=True)(params)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(slope["head"]["kernel"], head.weight.grad.numpy().T, rtol=1e-3)
    gradients = nn.recurrent_to_torch(slope["recurrent"])
    want = twin.weight_hh_l0.grad.numpy()
    np.testing.assert_allclose(gradients["weight_hh_l0"], want, rtol=1e-3, atol=1e-6)


def test_padding_behind_a_length_changes_nothing():
    model, key = models.SignalRNN(2, nn.GRUCell(), 4), jax.random.key(0)
    x = jax.random.normal(key, (3, 8, 1))
    variables = model.init(key, x, train=False)
    short = model.apply(variables, x[:, :5], train=False)
    spoiled = x.at[:, 5:].set(jnp.nan)
    padded = model.apply(variables, spoiled, jnp.full(3, 5), train=False)
    np.testing.assert_allclose(short, padded, rtol=1e-6)
