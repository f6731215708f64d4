import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import inspect, nn

T, D, H, K = 6, 3, 4, 2


def problem(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"U": (H, D), "W": (H, H), "V": (K, H), "b": (H,), "c": (K,)}
    params = {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in shapes.items()}
    x, h0, y = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((T, D), (H,), (T, K)))
    return params, x, h0, y


@pytest.mark.parametrize("phi", [jnp.tanh, jax.nn.sigmoid, lambda a: a])
def test_the_explicit_sums_are_what_grad_computes(phi):
    params, x, h0, y = problem()

    def loss(params):
        return jnp.mean((inspect.rnn_outputs(params, x, h0, phi)[0] - y) ** 2)

    d_outputs = 2 * (inspect.rnn_outputs(params, x, h0, phi)[0] - y) / (T * K)
    explicit = inspect.rnn_gradients(params, x, h0, d_outputs, phi)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        explicit,
        jax.grad(loss)(params),
    )


def test_powers_of_w_are_the_recursion_without_phi():
    params, x, h0, y = problem(1)

    def loss(nudge):  # added to every state, so that its gradient is dL/dh_t
        h, total = h0, 0.0
        for t in range(T):
            h = params["U"] @ x[t] + params["W"] @ h + params["b"] + nudge[t]
            total = total + jnp.sum((params["V"] @ h + params["c"]) * y[t])
        return total

    got = inspect.linear_state_gradients(params["W"], params["V"], y)
    np.testing.assert_allclose(got, jax.grad(loss)(jnp.zeros((T, H))), rtol=1e-4, atol=1e-4)


def test_the_layer_computes_the_same_network():
    params, x, h0, _ = problem(2)
    layer = {"kernel_ih": params["U"].T, "kernel_hh": params["W"].T, "bias": params["b"]}
    got, _ = nn.RNN(H).apply({"params": {"layer0": layer}}, x[None], (h0[None, None],), train=False)
    np.testing.assert_allclose(got[0], inspect.rnn_outputs(params, x, h0)[1], atol=1e-5)
