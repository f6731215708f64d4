"""Back-propagation through time laid open: the explicit sums that `jax.grad` evaluates.

A plain recurrent network on one sequence (D2L, sec. 9.7):

    h_t = phi(U x_t + W h_{t-1} + b),  o_t = V h_t + c,  L = (1/T) sum_t l(o_t, y_t)

Textbooks often take phi as the identity, or leave phi' out of the sums.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Params = dict[str, jax.Array]  # U [H, D], W [H, H], V [K, H], b [H], c [K]


def rnn_outputs(
    params: Params, x: jax.Array, h0: jax.Array, phi: Callable = jnp.tanh
) -> tuple[jax.Array, jax.Array]:
    """Outputs `[T, K]` and states `[T, H]` of the network above, for inputs `[T, D]`, h_0 `[H]`.

    >>> params = {"U": jnp.eye(1), "W": jnp.eye(1), "V": 2 * jnp.eye(1)}
    >>> params |= {"b": jnp.zeros(1), "c": jnp.zeros(1)}
    >>> o, h = rnn_outputs(params, jnp.array([[1.0], [2.0], [3.0]]), jnp.zeros(1), jax.nn.relu)
    >>> h[:, 0], o[:, 0]  # h adds up the inputs
    (Array([1., 3., 6.], dtype=float32), Array([ 2.,  6., 12.], dtype=float32))
    """

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = phi(params["U"] @ x + params["W"] @ h + params["b"])
        return h, h

    _, h = jax.lax.scan(step, h0, x)
    return h @ params["V"].T + params["c"][None], h


def rnn_gradients(
    params: Params,
    x: jax.Array,
    h0: jax.Array,
    d_outputs: jax.Array,
    phi: Callable = jnp.tanh,
) -> Params:
    """The gradients of L by the explicit recursion, from dL/do_t `[T, K]`.

    With `a_t = U x_t + W h_{t-1} + b` and `h_{T+1}` a term that is not there:

        dL/dh_t = V^T dL/do_t + W^T dL/da_{t+1},    dL/da_t = dL/dh_t * phi'(a_t)
        dL/dU = sum_t dL/da_t x_t^T,    dL/dW = sum_t dL/da_t h_{t-1}^T,    dL/db = sum_t dL/da_t
        dL/dV = sum_t dL/do_t h_t^T,    dL/dc = sum_t dL/do_t

    >>> params = {"U": jnp.eye(1), "W": 0.5 * jnp.eye(1), "V": jnp.eye(1)}
    >>> params |= {"b": jnp.zeros(1), "c": jnp.zeros(1)}
    >>> last = jnp.array([[0.0], [0.0], [1.0]])  # L is the last output
    >>> rnn_gradients(params, jnp.ones((3, 1)), jnp.zeros(1), last, jax.nn.relu)["b"]
    Array([1.75], dtype=float32)

    Here b acts on the last step by 1, through the one before by 0.5, through the first by 0.25.

    Args:
        params, x, h0, phi: as for `rnn_outputs`; phi maps a number to a number.
        d_outputs: dL/do_t `[T, K]`, the 1/T of L included.
    Returns: a gradient for each of U, W, V, b and c.
    """
    _, h = rnn_outputs(params, x, h0, phi)
    before = jnp.concatenate([h0[None], h[:-1]])  # h_{t-1}
    a = x @ params["U"].T + before @ params["W"].T + params["b"][None]
    slope = jax.vmap(jax.vmap(jax.grad(phi)))(a)
    d_a = []
    following = jnp.zeros_like(h0)  # dL/da_{t+1}
    for t in reversed(range(len(x))):
        d_h = params["V"].T @ d_outputs[t] + params["W"].T @ following
        following = d_h * slope[t]
        d_a.append(following)
    d_a_TH = jnp.stack(d_a[::-1])
    return {
        "U": d_a_TH.T @ x,
        "W": d_a_TH.T @ before,
        "V": d_outputs.T @ h,
        "b": jnp.sum(d_a_TH, axis=0),
        "c": jnp.sum(d_outputs, axis=0),
    }


def linear_state_gradients(W: jax.Array, V: jax.Array, d_outputs: jax.Array) -> jax.Array:
    """dL/dh_t `[T, H]` of the network without phi, summed out over all later steps.

    `dL/dh_t = sum_{i=t}^T (W^T)^(i-t) V^T dL/do_i`: powers of W, hence gradients that vanish or
    explode with the distance i - t.

    >>> last = jnp.array([[0.0], [0.0], [1.0]])
    >>> linear_state_gradients(0.5 * jnp.eye(1), jnp.eye(1), last)[:, 0]
    Array([0.25, 0.5 , 1.  ], dtype=float32)

    Args: W `[H, H]`, V `[K, H]`, and dL/do_t `[T, K]`.
    """
    T = len(d_outputs)
    direct = d_outputs @ V  # V^T dL/do_i, [T, H]
    powers = [jnp.eye(len(W), dtype=W.dtype)]
    for _ in range(T - 1):
        powers.append(powers[-1] @ W)  # the transposed power acts on rows from the right
    return jnp.stack([sum(direct[i] @ powers[i - t] for i in range(t, T)) for t in range(T)])
