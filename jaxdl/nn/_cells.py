"""Recurrent cells: one step forward, the same step backward, and the weight gradients at the end.

Shapes: B examples, T steps, H hidden units, G gates, side by side in torch's order. `a` is the
projected input `x W_ih + b` `[B, G*H]`, which a layer makes for all steps before its loop. The
step backward leaves out the gradients of the weights: they are sums over steps, and one product
over all T*B rows after the loop is several times faster than a small one in every step.

A cell is a frozen dataclass, hence a static value under `jit`.
"""

import dataclasses
from typing import Any, ClassVar, Literal, Protocol

import jax
import jax.numpy as jnp

Weights = dict[str, jax.Array]  # kernel_hh [H, G*H], and bias_hn [H] where the cell has one
State = tuple[jax.Array, ...]  # (h,) or (h, c), each [B, H]


class Cell(Protocol):
    """What a recurrent layer needs to know; `saved` and `grads` are the cell's own tuples.

    >>> [(cell.num_gates, cell.num_states) for cell in (RNNCell(), LSTMCell(), GRUCell())]
    [(1, 1), (4, 2), (3, 1)]
    """

    num_gates: ClassVar[int]
    num_states: ClassVar[int]

    @property
    def has_hidden_bias(self) -> bool:
        """Whether a bias stands inside a gate, apart from that of the projected input."""
        ...

    def step(self, w: Weights, a: jax.Array, state: State) -> tuple[State, Any]:
        """Returns the next state, and what `step_back` wants to remember."""
        ...

    def step_back(self, w_T: jax.Array, saved: Any, state: State, d: State) -> tuple[State, Any]:
        """Maps the gradient of the next state to that of `state`; also returns `grads`."""
        ...

    def pull_back(self, saved: Any, h: jax.Array, grads: Any) -> tuple[Weights, jax.Array]:
        """Gradients of the weights and of `a`, from all steps `[T, B, ...]` at once."""
        ...


def outer_sum(x: jax.Array, y: jax.Array) -> jax.Array:
    """Sum over steps and examples of outer products: `[T, B, I], [T, B, J] -> [I, J]`.

    One product of two matrices on a CPU; elsewhere the axes stay apart, for examples may lie on
    many devices, and a compiler gathers them all before it makes one axis of two.
    """

    def flat(x: jax.Array, y: jax.Array) -> jax.Array:
        return x.reshape(-1, x.shape[-1]).T @ y.reshape(-1, y.shape[-1])

    def apart(x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.lax.dot_general(x, y, (((0, 1), (0, 1)), ((), ())))

    return jax.lax.platform_dependent(x, y, cpu=flat, default=apart)


@dataclasses.dataclass(frozen=True)
class RNNCell:
    """`h' = phi(x W_ih + b + h W_hh)`, phi being tanh or ReLU (Elman 1990).

    >>> w, state = {"kernel_hh": jnp.eye(2)}, (jnp.array([[1.0, 2.0]]),)
    >>> RNNCell("relu").step(w, jnp.array([[1.0, -3.0]]), state)[0]
    (Array([[2., 0.]], dtype=float32),)
    """

    activation: Literal["tanh", "relu"] = "tanh"

    num_gates: ClassVar[int] = 1
    num_states: ClassVar[int] = 1
    has_hidden_bias: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.activation not in ("tanh", "relu"):
            raise ValueError(f"activation must be 'tanh' or 'relu', got {self.activation!r}")

    def step(self, w: Weights, a: jax.Array, state: State) -> tuple[State, Any]:
        phi = jnp.tanh if self.activation == "tanh" else jax.nn.relu
        h = phi(a + state[0] @ w["kernel_hh"])
        return (h,), h

    def step_back(self, w_T: jax.Array, saved: Any, state: State, d: State) -> tuple[State, Any]:
        h, (d_h,) = saved, d
        d_a = d_h * (1 - h**2) if self.activation == "tanh" else jnp.where(h > 0, d_h, 0)
        return (d_a @ w_T,), d_a

    def pull_back(self, saved: Any, h: jax.Array, grads: Any) -> tuple[Weights, jax.Array]:
        return {"kernel_hh": outer_sum(h, grads)}, grads


@dataclasses.dataclass(frozen=True)
class LSTMCell:
    """Long short-term memory without peepholes, gates i, f, g, o (Hochreiter & Schmidhuber 1997).

    `c' = f * c + i * g` and `h' = o * tanh(c')`, where i, f, o are sigmoids and g is a tanh of
    `x W_ih + b + h W_hh`. `forget_bias` is added to f's bias when the parameters are made: 0 in
    torch and in Zaremba et al. 2014, 1 in Keras and as Jozefowicz et al. 2015 recommend.

    >>> w, state = {"kernel_hh": jnp.zeros((1, 4))}, (jnp.zeros((1, 1)), jnp.ones((1, 1)))
    >>> (h, c), _ = LSTMCell().step(w, jnp.zeros((1, 4)), state)
    >>> c, h  # f = 1/2 and g = 0, then o tanh(c) = tanh(1/2) / 2
    (Array([[0.5]], dtype=float32), Array([[0.231]], dtype=float32))
    """

    forget_bias: float = 0.0

    num_gates: ClassVar[int] = 4
    num_states: ClassVar[int] = 2
    has_hidden_bias: ClassVar[bool] = False

    def step(self, w: Weights, a: jax.Array, state: State) -> tuple[State, Any]:
        h, c = state
        i, f, g, o = jnp.split(a + h @ w["kernel_hh"], 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = f * c + i * g
        tanh_c = jnp.tanh(c)
        return (o * tanh_c, c), (i, f, g, o, tanh_c)

    def step_back(self, w_T: jax.Array, saved: Any, state: State, d: State) -> tuple[State, Any]:
        (i, f, g, o, tanh_c), (_, c), (d_h, d_c) = saved, state, d
        d_c = d_c + d_h * o * (1 - tanh_c**2)
        d_i, d_f = d_c * g * i * (1 - i), d_c * c * f * (1 - f)
        d_g, d_o = d_c * i * (1 - g**2), d_h * tanh_c * o * (1 - o)
        d_a = jnp.concatenate([d_i, d_f, d_g, d_o], axis=-1)
        return (d_a @ w_T, d_c * f), d_a

    def pull_back(self, saved: Any, h: jax.Array, grads: Any) -> tuple[Weights, jax.Array]:
        return {"kernel_hh": outer_sum(h, grads)}, grads


@dataclasses.dataclass(frozen=True)
class GRUCell:
    """Gated recurrent unit, gates r, z, n: `h' = (1 - z) * n + z * h`.

    r and z are sigmoids of `x W_ih + b + h W_hh`. In the candidate n the reset gate comes
      - after the product (`reset_after=True`; torch, cuDNN, Keras' default):
        `n = tanh(x W_in + b_n + r * (h W_hn + b_hn))`, one product a step;
      - before it (`reset_after=False`; Cho et al. 2014, arXiv:1406.1078, and the textbooks):
        `n = tanh(x W_in + b_n + (r * h) W_hn)`, two products a step.

    >>> w, state = {"kernel_hh": jnp.zeros((1, 3)), "bias_hn": jnp.zeros(1)}, (jnp.ones((1, 1)),)
    >>> GRUCell().step(w, jnp.zeros((1, 3)), state)[0]  # z = 1/2, n = 0
    (Array([[0.5]], dtype=float32),)
    """

    reset_after: bool = True

    num_gates: ClassVar[int] = 3
    num_states: ClassVar[int] = 1

    @property
    def has_hidden_bias(self) -> bool:
        return self.reset_after

    def step(self, w: Weights, a: jax.Array, state: State) -> tuple[State, Any]:
        (h,), kernel = state, w["kernel_hh"]
        H = h.shape[-1]
        a_r, a_z, a_n = jnp.split(a, 3, axis=-1)
        if self.reset_after:
            p_r, p_z, p_n = jnp.split(h @ kernel, 3, axis=-1)
            p_n = p_n + jnp.broadcast_to(w["bias_hn"], p_n.shape)
            r, z = jax.nn.sigmoid(a_r + p_r), jax.nn.sigmoid(a_z + p_z)
            n, inner = jnp.tanh(a_n + r * p_n), p_n
        else:
            p_r, p_z = jnp.split(h @ kernel[:, : 2 * H], 2, axis=-1)
            r, z = jax.nn.sigmoid(a_r + p_r), jax.nn.sigmoid(a_z + p_z)
            n, inner = jnp.tanh(a_n + (r * h) @ kernel[:, 2 * H :]), h
        return ((1 - z) * n + z * h,), (r, z, n, inner)  # inner: what r is multiplied with

    def step_back(self, w_T: jax.Array, saved: Any, state: State, d: State) -> tuple[State, Any]:
        (r, z, n, inner), (h,), (d_h,) = saved, state, d
        H = h.shape[-1]
        d_z = d_h * (h - n) * z * (1 - z)
        d_n = d_h * (1 - z) * (1 - n**2)
        d_h = d_h * z
        if self.reset_after:
            d_p = jnp.concatenate([d_n * inner * r * (1 - r), d_z, d_n * r], axis=-1)
            return (d_h + d_p @ w_T,), (d_p, d_n)
        d_rh = d_n @ w_T[2 * H :]
        d_rz = jnp.concatenate([d_rh * inner * r * (1 - r), d_z], axis=-1)
        return (d_h + d_rh * r + d_rz @ w_T[: 2 * H],), (d_rz, d_n)

    def pull_back(self, saved: Any, h: jax.Array, grads: Any) -> tuple[Weights, jax.Array]:
        d_p, d_n = grads
        d_rz = d_p[..., : 2 * h.shape[-1]]
        d_a = jnp.concatenate([d_rz, d_n], axis=-1)
        if self.reset_after:
            d_bias = jnp.sum(d_p[..., 2 * h.shape[-1] :], axis=(0, 1))
            return {"kernel_hh": outer_sum(h, d_p), "bias_hn": d_bias}, d_a
        d_kernel = jnp.concatenate([outer_sum(h, d_rz), outer_sum(saved[0] * h, d_n)], axis=-1)
        return {"kernel_hh": d_kernel}, d_a
