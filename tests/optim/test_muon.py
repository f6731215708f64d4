"""Muon: its iteration against a singular value decomposition, its steps against torch's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import optim
from tests.references import reference

torch = reference("torch")


def steps(tx, params, grads):
    """Parameters after a step for each of the gradients."""

    @jax.jit
    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for g in grads:
        params, state = step(params, state, g)
    return params


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_singular_vectors_stay_and_values_come_near_one(shape):
    g = normal(0, *shape)
    moved = steps(optim.muon(1.0, adam_learning_rate=0.0), {"k": jnp.zeros(shape)}, [{"k": g}])
    u, s, vt = np.linalg.svd(g, full_matrices=False)
    inside = u.T @ -np.asarray(moved["k"]) @ vt.T / max(1, shape[1] / shape[0]) ** 0.5
    np.testing.assert_allclose(inside, np.diag(np.diag(inside)), atol=1e-5)
    assert s.max() / s.min() > 1.5
    assert ((np.diag(inside) > 0.65) & (np.diag(inside) < 1.25)).all()


def test_five_steps_are_torchs_to_its_bfloat16():
    """torch's matrices are [out, in]; it iterates in 8 bits of mantissa, so a hundredth is near."""
    x, grads = normal(1, 6, 4), [normal(2 + t, 6, 4) for t in range(5)]
    tx = optim.muon(0.1, adam_learning_rate=0.0, decay=0.9, weight_decay=0.05)
    ours = steps(tx, {"k": jnp.asarray(x)}, [{"k": g} for g in grads])["k"]
    theirs = torch.nn.Parameter(torch.tensor(x.T.copy()))
    optimizer = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.05)
    for g in grads:
        theirs.grad = torch.tensor(g.T.copy())
        optimizer.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy().T, atol=0.01)


def test_five_steps_are_the_formula():
    x, grads = normal(1, 4, 6), [normal(2 + t, 4, 6) for t in range(5)]
    tx = optim.muon(optim.inverse_time(0.1, b_steps=1), adam_learning_rate=0.0, weight_decay=0.05)
    ours = steps(tx, {"k": jnp.asarray(x)}, [{"k": g} for g in grads])["k"]
    want, v = x.astype(float), 0.0
    for t, g in enumerate(grads):
        v = 0.95 * v + g
        m = g + 0.95 * v
        m = m / np.linalg.norm(m)
        for _ in range(5):
            gram = m @ m.T
            m = 3.4445 * m - 4.775 * gram @ m + 2.0315 * gram @ gram @ m
        want = want - 0.1 / (1 + t) * (1.5**0.5 * m + 0.05 * want)
    np.testing.assert_allclose(ours, want, atol=1e-5)


def test_a_convolution_is_its_matrix_and_the_rest_is_adams():
    g = {"conv": normal(0, 3, 3, 2, 5), "bias": normal(1, 5), "embedding": normal(2, 7, 3)}
    params = jax.tree.map(jnp.ones_like, g)
    tx = optim.muon(0.1, adam_learning_rate=0.01, adam=("embed*",))
    moved = steps(tx, params, [g, g])
    flat = {"conv": jnp.ones((18, 5))}
    matrix = steps(
        optim.muon(0.1, adam_learning_rate=0.0), flat, [{"conv": g["conv"].reshape(18, 5)}] * 2
    )
    np.testing.assert_allclose(moved["conv"].reshape(18, 5), matrix["conv"], rtol=1e-6)
    rest = {name: g[name] for name in ("bias", "embedding")}
    adam = steps(optax.adam(0.01), {name: params[name] for name in rest}, [rest, rest])
    for name in rest:
        np.testing.assert_allclose(moved[name], adam[name], rtol=1e-6)
    state = tx.init(params)
    assert optim.learning_rates(state) == pytest.approx(
        {"learning_rate/muon": 0.1, "learning_rate/adam": 0.01}
    )


def test_kernels_of_several_layers_in_one_leaf_are_made_orthogonal_each():
    g = {"stack": {"kernel": normal(0, 3, 4, 5), "bias": normal(1, 3, 5)}}
    tx = optim.muon(0.1, adam_learning_rate=0.01, stacked=("stack/*",))
    moved = steps(tx, jax.tree.map(jnp.ones_like, g), [g, g])["stack"]
    for i in range(3):
        one = {"kernel": g["stack"]["kernel"][i]}
        want = steps(
            optim.muon(0.1, adam_learning_rate=0.0), {"kernel": jnp.ones((4, 5))}, [one] * 2
        )
        np.testing.assert_allclose(moved["kernel"][i], want["kernel"], rtol=1e-4, atol=1e-5)
    bias = {"b": g["stack"]["bias"]}
    want = steps(optax.adam(0.01), {"b": jnp.ones((3, 5))}, [bias, bias])
    np.testing.assert_allclose(moved["bias"], want["b"], rtol=1e-5)
    with pytest.raises(ValueError, match="layers"):
        steps(optim.muon(0.1, adam_learning_rate=0.1, stacked=("layers/*",)), g, [g])


def test_no_gradient_no_step():
    moved = steps(
        optim.muon(0.1, adam_learning_rate=0.1), {"k": jnp.ones((3, 2))}, [{"k": jnp.zeros((3, 2))}]
    )
    np.testing.assert_array_equal(moved["k"], 1.0)


def test_it_learns_faster_than_momentum_where_directions_differ():
    """A product of kernels of a wide spectrum, the case it was made for."""
    x, scale = normal(0, 64, 8), 10.0 ** -np.arange(8.0)
    y = (x * scale).astype(np.float32)

    def loss(params):
        return jnp.mean((x * scale @ params["a"] @ params["b"] - y) ** 2)

    def train(tx):
        params = {"a": jnp.asarray(normal(1, 8, 8)) / 3, "b": jnp.asarray(normal(2, 8, 8)) / 3}
        state = tx.init(params)

        @jax.jit
        def step(params, state):
            updates, state = tx.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, updates), state

        for _ in range(200):
            params, state = step(params, state)
        return loss(params)

    rates = (0.01, 0.1, 1.0)
    best = min(float(train(optim.momentum(rate))) for rate in rates)
    schedule = optim.cosine_decay(0.1, decay_steps=200)
    assert float(train(optim.muon(schedule, adam_learning_rate=0.0))) < 0.1 * best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, "decay"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"adam_learning_rate": -1.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        optim.muon(**{"learning_rate": 0.1, "adam_learning_rate": 0.1, **options})


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match="matches no parameter"):
        optim.muon(0.1, adam_learning_rate=0.1, adam=("head*",)).init({"k": jnp.ones((2, 2))})
