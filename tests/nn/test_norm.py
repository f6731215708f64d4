"""Batch normalization against torch, and the traps of T6 one by one."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from jaxdl import nn, parallel
from tests.references import reference

torch = reference("torch")
rng = np.random.default_rng(0)
X = (3 + 2 * rng.normal(size=(6, 4, 5, 3))).astype(np.float32)
COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter")
SCALE, BIAS = np.float32([1, 2, 0.5]), np.float32([0, -1, 3])


def variables(channels=3):
    return {
        "params": {"scale": jnp.asarray(SCALE[:channels]), "bias": jnp.asarray(BIAS[:channels])},
        "batch_stats": {"mean": jnp.zeros(channels), "var": jnp.ones(channels)},
    }


def apply(layer, x, *args, state=None, train=True):
    return layer.apply(
        state or variables(x.shape[-1]), x, *args, train=train, mutable="batch_stats"
    )


@pytest.mark.parametrize("shape", ["dense", "convolution"])
def test_values_gradients_and_averages_against_torch(shape):
    x = X if shape == "convolution" else X[:, 0, 0]
    other = torch.nn.BatchNorm2d(3) if shape == "convolution" else torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        other.weight.copy_(torch.tensor(SCALE))
        other.bias.copy_(torch.tensor(BIAS))
    want_in = torch.tensor(np.moveaxis(x, -1, 1) if x.ndim == 4 else x, requires_grad=True)
    weights = rng.normal(size=x.shape).astype(np.float32)
    layer = nn.BatchNorm(momentum=0.9, unbiased=True)

    @jax.jit
    def run(params, x, stats):
        def loss(params, x):
            y, new = layer.apply(
                {"params": params, "batch_stats": stats}, x, train=True, mutable="batch_stats"
            )
            return jnp.sum(y * weights), (y, new["batch_stats"])

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    stats = variables()["batch_stats"]
    for _ in range(3):
        (gradients, x_gradient), (y, stats) = run(variables()["params"], x, stats)
        want = other(want_in)
    moved = torch.tensor(np.moveaxis(weights, -1, 1) if x.ndim == 4 else weights)
    want.backward(moved)
    back = (
        (lambda a: np.moveaxis(a.detach().numpy(), 1, -1))
        if x.ndim == 4
        else (lambda a: a.detach().numpy())
    )
    np.testing.assert_allclose(y, back(want), atol=1e-5)
    np.testing.assert_allclose(x_gradient, back(want_in.grad), atol=1e-5)
    np.testing.assert_allclose(gradients["scale"], other.weight.grad, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradients["bias"], other.bias.grad, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stats["mean"], other.running_mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], other.running_var, rtol=1e-5)
    other.eval()
    state = {"params": variables()["params"], "batch_stats": stats}
    got = layer.apply(state, x, train=False)
    np.testing.assert_allclose(got, back(other(want_in)), atol=1e-5)


def test_momentum_is_the_share_kept():
    """T6: 0.9 keeps nine tenths, whatever the other options are."""
    x = jnp.full((4, 1), 10.0)
    for unbiased in (False, True):
        _, new = apply(nn.BatchNorm(momentum=0.9, unbiased=unbiased), x)
        np.testing.assert_allclose(new["batch_stats"]["mean"], 1.0, rtol=1e-6)


def test_running_variance_is_biased_by_default():
    x = jnp.array([[0.0], [2.0]])
    for unbiased, want in ((False, 1.0), (True, 2.0)):
        _, new = apply(nn.BatchNorm(momentum=0.0, unbiased=unbiased), x)
        np.testing.assert_allclose(new["batch_stats"]["var"], want)


def test_variance_at_a_mean_of_ten_thousand():
    """T6: `E[x^2] - E[x]^2` in float32 gave 16.0 for 0.695."""
    x = (1e4 + rng.normal(size=(64, 1))).astype(np.float32)
    _, var, _ = nn.batch_statistics(x)
    np.testing.assert_allclose(var, x.astype(float).var(0), rtol=1e-4)


def test_padded_rows_have_no_part():
    """T6: any padding, whatever it holds, leaves outputs, averages and gradients as they were."""
    padded = np.concatenate([X, np.full((2, 4, 5, 3), np.nan, np.float32)])
    mask = jnp.arange(8) < 6
    layer = nn.BatchNorm()
    want, want_state = apply(layer, X)
    got, state = apply(layer, padded, mask)
    np.testing.assert_allclose(got[:6], want, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), state, want_state)

    def loss(x, mask):
        return jnp.sum(jnp.where(mask[:, None], apply(layer, x, mask)[0], 0) ** 3)

    dense = jnp.asarray(padded[:, 0, 0])
    slope = jax.jit(jax.grad(loss))
    gradient = slope(jnp.nan_to_num(dense), mask)
    np.testing.assert_allclose(gradient[:6], slope(dense[:6], mask[:6]), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(gradient[6:], 0)


def test_a_batch_of_padding_changes_nothing():
    for unbiased in (False, True):
        y, new = apply(nn.BatchNorm(unbiased=unbiased), jnp.ones((2, 3)), jnp.zeros(2, bool))
        assert np.isfinite(y).all()
        np.testing.assert_array_equal(new["batch_stats"]["mean"], 0)
        np.testing.assert_array_equal(new["batch_stats"]["var"], 1)


def test_frozen_layers_neither_use_nor_update_the_batch():
    y, new = apply(nn.BatchNorm(frozen=True), X)
    np.testing.assert_allclose(y, nn.BatchNorm().apply(variables(), X, train=False))
    np.testing.assert_array_equal(new["batch_stats"]["mean"], 0)


def test_eight_devices_are_one():
    """Under `jit` the batch is global anyway; under `shard_map` `axis_name` makes it so."""
    x, mask = jnp.asarray(np.tile(X[:, 0, 0], (4, 1))[:16]), jnp.arange(16) < 13
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows, copied = PartitionSpec("data"), PartitionSpec()
    layer = nn.BatchNorm(axis_name="data", momentum=0.1, unbiased=True)

    @jax.jit
    @jax.shard_map(mesh=mesh, in_specs=(rows, rows), out_specs=(rows, copied))
    def sharded(x, mask):
        return layer.apply(variables(), x, mask, train=True, mutable="batch_stats")

    got, state = sharded(x, mask)
    want, want_state = apply(nn.BatchNorm(momentum=0.1, unbiased=True), x, mask)
    np.testing.assert_allclose(got, want, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state, want_state)


def test_half_precision_has_statistics_in_float32():
    x = jnp.asarray(X, jnp.bfloat16)
    y, new = apply(nn.BatchNorm(), x)
    assert y.dtype == jnp.bfloat16
    assert new["batch_stats"]["var"].dtype == jnp.float32
    np.testing.assert_allclose(y.astype(jnp.float32), apply(nn.BatchNorm(), X)[0], atol=0.1)


def test_initializing_leaves_the_averages_alone():
    state = nn.BatchNorm().init(jax.random.key(0), X, train=True)
    np.testing.assert_array_equal(state["batch_stats"]["mean"], 0)
    with pytest.raises(TypeError, match="train"):
        nn.BatchNorm().apply(state, X)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"mask \(3,\).*\(6, 4, 5, 3\)"):
        apply(nn.BatchNorm(), X, jnp.ones(3, bool))
    with pytest.raises(ValueError, match="momentum"):
        apply(nn.BatchNorm(momentum=2.0), X)


def known(function, *args):
    """`function` as `train.fit` compiles it on eight devices: rows spread, and the mesh known."""
    layout = parallel.Layout(parallel.make_mesh())
    placed = [jax.device_put(a, layout.batch if a.shape else layout.copied) for a in args]
    with layout.known():
        return jax.jit(function).lower(*placed).compile()


@pytest.mark.parametrize("masked", [False, True])
def test_statistics_of_eight_devices_are_one(masked):
    """At a mean of 1e4, values, averages and gradients; one device's rows may all be padding."""
    x = (1e4 + rng.normal(size=(16, 4, 3))).astype(np.float32)
    mask = jnp.arange(16) < (11 if masked else 16)
    weights = jnp.where(mask[:, None, None], rng.normal(size=x.shape).astype(np.float32), 0)
    layer = nn.BatchNorm(momentum=0.0, unbiased=True)

    def run(x, mask, weights):
        def loss(params, x):
            state = {**variables(), "params": params}
            y, new = layer.apply(state, x, mask, train=True, mutable="batch_stats")
            return jnp.sum(y * weights), (jnp.where(mask[:, None, None], y, 0), new["batch_stats"])

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(variables()["params"], x)

    program = known(run, x, mask, weights)
    text = program.as_text()
    assert [len(re.findall(rf" {kind}(?:-start)?\(", text)) for kind in COLLECTIVES] == [1, 1, 0]
    got, (y, stats) = program(*jax.device_put((x, mask, weights), program.input_shardings[0]))
    centered = x - np.float32(1e4)  # exact, and what one device computes without loss
    want, (want_y, _) = jax.jit(run)(centered, mask, weights)
    real = x[np.asarray(mask)].astype(float)
    np.testing.assert_allclose(stats["mean"], real.mean((0, 1)), rtol=1e-7)
    # A mean near 1e4 is rounded by up to 5e-4, and the devices' means lie some 0.3 apart.
    np.testing.assert_allclose(stats["var"], real.var((0, 1), ddof=1), atol=2 * 0.3 * 5e-4)
    np.testing.assert_allclose(y, want_y, atol=4e-3)  # half a unit in the last place of 1e4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=0.1), got[0], want[0])
    np.testing.assert_allclose(got[1], want[1], atol=2e-3)
    moved = jax.jit(lambda x, d: jax.jvp(lambda x: run(x, mask, weights)[1][0], (x,), (d,))[1])
    with parallel.Layout(parallel.make_mesh()).known():
        rows = jax.device_put((x, weights), program.input_shardings[0][0])
        forward = moved(*rows)
    np.testing.assert_allclose(forward, moved(centered, weights), atol=4e-3)


def test_a_device_may_normalize_by_its_own_rows():
    """Outputs are those of each device's two rows; the averages are of all devices."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(16, 3)), jnp.float32)
    layer = nn.BatchNorm(momentum=0.0, per_device=True)
    program = known(lambda x: apply(layer, x), x)
    y, new = program(jax.device_put(x, program.input_shardings[0][0]))
    parts = [apply(nn.BatchNorm(momentum=0.0), x[i : i + 2]) for i in range(0, 16, 2)]
    np.testing.assert_allclose(y, jnp.concatenate([part for part, _ in parts]), atol=1e-5)
    for name in ("mean", "var"):
        want = np.mean([part["batch_stats"][name] for _, part in parts], axis=0)
        np.testing.assert_allclose(new["batch_stats"][name], want, rtol=1e-5, atol=1e-6)
    alone, _ = apply(layer, x)  # one device is all
    np.testing.assert_allclose(alone, apply(nn.BatchNorm(), x)[0], atol=1e-6)
