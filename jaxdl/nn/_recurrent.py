"""Recurrent layers: RNN, GRU and LSTM, deep, in both directions, over sequences of any lengths.

On a CPU a language model's step with these layers spends its time in matrix products, thanks to
three things:
  - the inputs of all steps are projected by one product, outside the loop;
  - the backward pass is written by hand, and the gradient of a weight is one product after it;
  - the loop carries each step's inputs, fetched one step ahead. Read in place they would be fused
    into the step as a dynamic slice, which is slow on a CPU.
The hand-written backward is the transpose of the layer's tangent (see `jaxdl.ops._linear`), so that
forward mode and derivatives of any order work too.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jax.ad_checkpoint import checkpoint_name
from jax.typing import ArrayLike

from jaxdl._rows import by_rows, path_of
from jaxdl.nn._cells import Cell, GRUCell, LSTMCell, RNNCell, State, Weights, outer_sum
from jaxdl.nn._initializers import uniform
from jaxdl.ops._linear import bilinear_jvp, linear_map, vary_with


def recurrent_scan(
    cell: Cell,
    weights: Weights,
    a: jax.Array,
    state: State,
    *,
    mask: jax.Array | None = None,
    reverse: bool = False,
) -> tuple[jax.Array, State]:
    """Runs a cell over time: `state_t = cell(a_t + bias, state_{t-1})`.

    >>> weights, start = {"kernel_hh": jnp.eye(1), "bias": jnp.zeros(1)}, (jnp.zeros((1, 1)),)
    >>> a = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    >>> outputs, (h,) = recurrent_scan(RNNCell("relu"), weights, a, start)
    >>> outputs[:, 0, 0], h
    (Array([1., 3., 6.], dtype=float32), Array([[6.]], dtype=float32))

    Args:
        cell: `RNNCell`, `GRUCell` or `LSTMCell`.
        weights: `kernel_hh [H, G*H]`, `bias [G*H]`, and `bias_hn [H]` where the cell has one.
        a: projected inputs `[T, B, G*H]`, T >= 1.
        state: `(h,)` or `(h, c)` before the first step, each `[B, H]`.
        mask: boolean `[T, B]`; where it is False a step leaves the state as it is.
        reverse: whether time runs from T-1 to 0.
    Returns: h after every step `[T, B, H]`, and the state after the last one.
    Raises: ValueError if T is 0 or the shapes do not fit.
    """
    if len(state) != cell.num_states:
        raise ValueError(f"{cell} has {cell.num_states} state arrays, got {len(state)}")
    H = weights["kernel_hh"].shape[0]
    if a.ndim != 3 or a.shape[0] == 0 or a.shape[-1] != cell.num_gates * H:
        raise ValueError(f"a needs shape [T >= 1, B, {cell.num_gates * H}], got {a.shape}")
    if any(s.shape != (a.shape[1], H) for s in state):
        raise ValueError(f"state needs shape {(a.shape[1], H)}, got {[s.shape for s in state]}")
    if mask is not None and mask.shape != a.shape[:2]:
        raise ValueError(f"mask needs shape {a.shape[:2]}, got {mask.shape}")
    return _scan(cell, reverse, weights, a, tuple(s.astype(a.dtype) for s in state), mask)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _scan(
    cell: Cell, reverse: bool, w: Weights, a: jax.Array, state: State, mask: jax.Array | None
) -> tuple[jax.Array, State]:
    return _scan_forward(cell, reverse, w, a, state, mask)[0]


@_scan.defjvp
def _scan_jvp(cell: Cell, reverse: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    w, a, state, mask = primals
    outputs, saved = _scan_forward(cell, reverse, w, a, state, mask)

    def apply(residuals: Any, tangents: Any) -> Any:
        arguments, (*_, mask) = residuals

        def plain(w: Weights, a: jax.Array, state: State) -> tuple[jax.Array, State]:
            return _scan_forward(cell, reverse, w, a, state, mask)[0]

        return jax.jvp(plain, arguments, tangents)[1]

    def transpose(residuals: Any, d_outputs: Any) -> Any:
        return _scan_backward(cell, reverse, residuals[1], d_outputs)

    # The mask, whose tangent has no value, is among `saved`.
    return outputs, linear_map(apply, transpose, ((w, a, state), saved), tuple(tangents[:-1]))


def _scan_forward(
    cell: Cell, reverse: bool, w: Weights, a: jax.Array, state: State, mask: jax.Array | None
) -> tuple[tuple[jax.Array, State], Any]:
    def step(state: State, inputs: Any) -> tuple[State, Any]:
        a, keep = inputs
        a = _where(
            keep, a, jnp.zeros_like(a)
        )  # padding may hold NaN, and 0 NaN in gradients is NaN
        new, saved = cell.step(w, a + jnp.broadcast_to(w["bias"], a.shape), state)
        new = _where(keep, new, state)
        return new, (new, saved)

    state = vary_with((w, a, state, mask), state)
    final, (states, saved) = _prefetched_scan(step, state, (a, mask), reverse)
    return (states[0], final), (w, state, states, saved, mask)


def _scan_backward(cell: Cell, reverse: bool, residuals: Any, d_outputs: Any) -> tuple[Any, ...]:
    w, state, states, saved, mask = residuals
    d_hs, d_final = d_outputs
    before = tuple(
        jnp.concatenate([s[1:], s0[None]] if reverse else [s0[None], s[:-1]])
        for s, s0 in zip(states, state, strict=True)
    )
    w_T = w["kernel_hh"].T

    def step(d_state: State, inputs: Any) -> tuple[State, Any]:
        d_h, saved, before, keep = inputs
        d_state = (d_state[0] + d_h, *d_state[1:])
        d_before, grads = cell.step_back(w_T, saved, before, d_state)
        zeros = jax.tree.map(jnp.zeros_like, grads)
        return _where(keep, d_before, d_state), _where(keep, grads, zeros)

    inputs = (d_hs, saved, before, mask)
    d_state, grads = _prefetched_scan(step, d_final, inputs, not reverse)
    d_w, d_a = cell.pull_back(saved, before[0], grads)
    return {**d_w, "bias": jnp.sum(d_a, axis=(0, 1))}, d_a, d_state


def _where(keep: jax.Array | None, new: Any, old: Any) -> Any:
    """`new` for the examples `[B]` that are to be kept, leaf by leaf."""
    if keep is None:
        return new
    return jax.tree.map(lambda n, o: jnp.where(keep[:, None], n, o), new, old)


def _prefetched_scan(
    step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any, reverse: bool
) -> tuple[Any, Any]:
    """`lax.scan(step, carry, inputs, reverse=reverse)`, each input fetched one step ahead."""
    last = jax.tree.leaves(inputs)[0].shape[0] - 1

    def fetch(t: ArrayLike) -> Any:
        return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, t, keepdims=False), inputs)

    def body(carry: Any, t: jax.Array) -> tuple[Any, Any]:
        following = jnp.maximum(t - 1, 0) if reverse else jnp.minimum(t + 1, last)
        new, outputs = step(*carry)
        return (new, fetch(following)), outputs

    first = fetch(last if reverse else 0)
    (carry, _), outputs = jax.lax.scan(body, (carry, first), jnp.arange(last + 1), reverse=reverse)
    return carry, outputs


@jax.custom_jvp
def _project(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel` for `[T, B, D]`, whose transposed products XLA for CPU runs without a copy."""
    return x @ kernel


@functools.partial(_project.defjvp, symbolic_zeros=True)
def _project_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    return bilinear_jvp(
        _project, lambda d, kernel: _project(d, kernel.T), outer_sum, primals, tangents
    )


class _Layer(linen.Module):
    """One layer in one direction, `[T, B, D] -> [T, B, H]`; see `Recurrent` for the fields."""

    cell: Cell
    hidden_size: int
    reverse: bool
    two_biases: bool
    kernel_init: linen.initializers.Initializer
    recurrent_init: linen.initializers.Initializer
    bias_init: linen.initializers.Initializer
    dtype: Any

    @linen.compact
    def __call__(
        self, x: jax.Array, state: State, mask: jax.Array | None
    ) -> tuple[jax.Array, State]:
        H, width = self.hidden_size, self.cell.num_gates * self.hidden_size
        kernel_ih = self.param("kernel_ih", self.kernel_init, (x.shape[-1], width))
        kernel_hh = self.param("kernel_hh", self.recurrent_init, (H, width))
        bias = self.param("bias", self._init_bias, (width,))
        hidden_bias = None
        if self.two_biases:
            bias_hh = self.param("bias_hh", self.bias_init, (width,))
            if self.cell.has_hidden_bias:  # a GRU: only the candidate keeps its own
                bias, hidden_bias = bias.at[: 2 * H].add(bias_hh[: 2 * H]), bias_hh[2 * H :]
            else:
                bias = bias + bias_hh
        elif self.cell.has_hidden_bias:
            hidden_bias = self.param("bias_hn", self.bias_init, (H,))
        x, kernel_ih, kernel_hh, bias, hidden_bias = promote_dtype(
            x, kernel_ih, kernel_hh, bias, hidden_bias, dtype=self.dtype
        )
        weights = {"kernel_hh": kernel_hh, "bias": bias}
        if hidden_bias is not None:
            weights["bias_hn"] = hidden_bias

        def run(rows: Any, kernel_ih: jax.Array, weights: Weights) -> tuple[jax.Array, State]:
            x, state, mask = rows
            a = _project(x, kernel_ih)
            return recurrent_scan(self.cell, weights, a, state, mask=mask, reverse=self.reverse)

        # No example sees another, which the compiler does not find out from the loop.
        rows = (x, state, mask)
        paths = (path_of(self, "kernel_ih"), {name: path_of(self, name) for name in weights})
        return by_rows(run, rows, kernel_ih, weights, axis=(1, 0, 1), out_axis=(1, 0), paths=paths)

    def _init_bias(self, key: jax.Array, shape: Any) -> jax.Array:
        bias, H = self.bias_init(key, shape, jnp.float32), self.hidden_size
        return bias.at[H : 2 * H].add(getattr(self.cell, "forget_bias", 0.0))


class Recurrent(linen.Module):
    """A stack of recurrent layers, each fed with the outputs of the one below.

    `RNN`, `GRU` and `LSTM` are this module with their cell filled in.

    Attributes:
        cell: `RNNCell(...)`, `GRUCell(...)` or `LSTMCell(...)`.
        hidden_size: H, of every layer and direction.
        num_layers: L.
        bidirectional: whether every layer also reads from the last real step back to the first;
            outputs are then `[forward, backward]`, 2H wide, and R = 2 below, else R = 1.
        dropout: share of a layer's outputs dropped before the next layer (not after the last).
        two_biases: torch's second bias `bias_hh`. It adds nothing a model can express, but doubles
            a bias' learning rate, so results trained by torch are reproduced with it.
        time_major: whether inputs and outputs are `[T, B, ...]`; saves two transpositions.
        kernel_init, recurrent_init, bias_init: default `U(-1/sqrt(H), 1/sqrt(H))`, as in torch.
        dtype: of the computation; by default what inputs and parameters promote to.

    >>> layer = GRU(hidden_size=4, bidirectional=True)
    >>> x = jnp.zeros((2, 5, 3))  # [B, T, D]
    >>> variables = layer.init(jax.random.key(0), x, train=False)
    >>> outputs, (h,) = layer.apply(variables, x, lengths=jnp.array([5, 2]), train=False)
    >>> outputs.shape, h.shape
    ((2, 5, 8), (2, 2, 4))
    """

    cell: Cell
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    two_biases: bool = False
    time_major: bool = False
    kernel_init: linen.initializers.Initializer | None = None
    recurrent_init: linen.initializers.Initializer | None = None
    bias_init: linen.initializers.Initializer | None = None
    dtype: Any = None

    @linen.compact
    def __call__(
        self,
        x: jax.Array,
        state: State | None = None,
        *,
        lengths: jax.Array | None = None,
        train: bool,
    ) -> tuple[jax.Array, State]:
        """Reads sequences.

        Args:
            x: `[B, T, D]`, or `[T, B, D]` if `time_major`; T >= 1.
            state: `(h,)` or `(h, c)` before the first step, each `[L*R, B, H]` in torch's order
                (layer 0 forward, layer 0 backward, layer 1 forward...); zeros by default.
            lengths: integers `[B]`, the number of real steps, which come first; T by default.
                0 or less leaves the initial state as it is; more than T counts as T.
            train: whether dropout is applied (with the "dropout" key).
        Returns: outputs `[B, T, R*H]`, zero after an example's length, and the state after its
            last real step (for the backward direction: after step 0), `[L*R, B, H]` each.
        Raises: ValueError for shapes that do not fit.
        """
        if x.ndim != 3:
            raise ValueError(f"x needs three axes (batch, time, features), got {x.shape}")
        if not self.time_major:
            x = jnp.swapaxes(x, 0, 1)
        T, B, _ = x.shape
        R = 2 if self.bidirectional else 1
        if state is None:
            state = self.initial_state(B)
        wanted = (self.num_layers * R, B, self.hidden_size)
        if len(state) != self.cell.num_states or any(s.shape != wanted for s in state):
            raise ValueError(
                f"state needs {self.cell.num_states} arrays {wanted}, "
                f"got {[s.shape for s in state]}"
            )
        mask = None
        if lengths is not None:
            if lengths.shape != (B,):
                raise ValueError(f"lengths need shape {(B,)}, got {lengths.shape}")
            mask = jnp.arange(T)[:, None] < lengths[None, :]
            x = jnp.where(mask[..., None], x, 0)  # before the product: 0 NaN in a gradient is NaN
        default = uniform(self.hidden_size**-0.5)
        finals = []
        for layer in range(self.num_layers):
            if layer > 0:
                x = linen.Dropout(self.dropout, deterministic=not train)(x)
            outputs = []
            for direction in range(R):
                hs, final = _Layer(
                    self.cell,
                    self.hidden_size,
                    reverse=direction == 1,
                    two_biases=self.two_biases,
                    kernel_init=self.kernel_init or default,
                    recurrent_init=self.recurrent_init or default,
                    bias_init=self.bias_init or default,
                    dtype=self.dtype,
                    name=f"layer{layer}" + "_reverse" * direction,
                )(x, tuple(s[layer * R + direction] for s in state), mask)
                outputs.append(checkpoint_name(hs, "block"))
                finals.append(final)
            x = jnp.concatenate(outputs, axis=-1) if R == 2 else outputs[0]
            if mask is not None:
                x = jnp.where(mask[..., None], x, 0)
        if not self.time_major:
            x = jnp.swapaxes(x, 0, 1)
        return x, tuple(jnp.stack(s) for s in zip(*finals, strict=True))

    def initial_state(self, batch_size: int) -> State:
        """Zeros: one array `[L*R, B, H]` for each of the cell's states."""
        layers = self.num_layers * (2 if self.bidirectional else 1)
        return (jnp.zeros((layers, batch_size, self.hidden_size)),) * self.cell.num_states


RNN = functools.partial(Recurrent, RNNCell())
GRU = functools.partial(Recurrent, GRUCell())
LSTM = functools.partial(Recurrent, LSTMCell())


def recurrent_from_torch(
    state_dict: Mapping[str, ArrayLike], *, two_biases: bool = False
) -> dict[str, dict[str, jax.Array]]:
    """Parameters of `Recurrent` from the state dict of torch's `nn.RNN`, `nn.GRU` or `nn.LSTM`.

    >>> state = {"weight_ih_l0": np.ones((2, 3)), "weight_hh_l0": np.ones((2, 2))}
    >>> state |= {"bias_ih_l0": np.array([1.0, 2.0]), "bias_hh_l0": np.array([0.5, 0.5])}
    >>> layer = recurrent_from_torch(state)["layer0"]
    >>> layer["kernel_ih"].shape, layer["bias"]
    ((3, 2), Array([1.5, 2.5], dtype=float32))

    Args:
        state_dict: arrays named `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, with
            `_reverse` at the end for the backward direction. NumPy arrays or CPU tensors.
        two_biases: as in the module the parameters are for; otherwise the two are added up.
    Raises: ValueError if a layer lacks one of the four, or there are arrays of another kind.
    """
    arrays = {name: np.asarray(value) for name, value in state_dict.items()}
    params: dict[str, dict[str, jax.Array]] = {}
    for suffix in sorted({name[len("weight_ih") :] for name in arrays if "weight_ih" in name}):
        names = [k + suffix for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"the state dict lacks {missing}")
        w_ih, w_hh, bias, bias_hh = map(arrays.pop, names)
        layer = {"kernel_ih": w_ih.T, "kernel_hh": w_hh.T}
        if two_biases:
            layer |= {"bias": bias, "bias_hh": bias_hh}
        elif w_hh.shape[0] == 3 * w_hh.shape[1]:
            H = w_hh.shape[1]
            layer |= {"bias": bias + np.r_[bias_hh[: 2 * H], np.zeros(H, bias.dtype)]}
            layer |= {"bias_hn": bias_hh[2 * H :]}
        else:
            layer |= {"bias": bias + bias_hh}
        params["layer" + suffix.removeprefix("_l")] = jax.tree.map(jnp.asarray, layer)
    if arrays or not params:
        raise ValueError(f"not a state dict of a recurrent layer, left over: {sorted(arrays)}")
    return params


def recurrent_to_torch(params: Mapping[str, Mapping[str, ArrayLike]]) -> dict[str, np.ndarray]:
    """The inverse of `recurrent_from_torch`; a single bias becomes `bias_ih`, with `bias_hh` 0.

    >>> layer = {"kernel_ih": np.ones((3, 2)), "kernel_hh": np.ones((2, 2)), "bias": np.ones(2)}
    >>> {name: array.shape for name, array in recurrent_to_torch({"layer0": layer}).items()}
    {'weight_ih_l0': (2, 3), 'weight_hh_l0': (2, 2), 'bias_ih_l0': (2,), 'bias_hh_l0': (2,)}
    """
    state_dict = {}
    for name, layer in params.items():
        suffix = "_l" + name.removeprefix("layer")
        bias = np.asarray(layer["bias"])
        if "bias_hh" in layer:
            bias_hh = np.asarray(layer["bias_hh"])
        else:
            hn = np.asarray(layer.get("bias_hn", np.zeros(0, bias.dtype)))
            bias_hh = np.r_[np.zeros(len(bias) - len(hn), bias.dtype), hn]
        state_dict["weight_ih" + suffix] = np.asarray(layer["kernel_ih"]).T
        state_dict["weight_hh" + suffix] = np.asarray(layer["kernel_hh"]).T
        state_dict["bias_ih" + suffix] = bias
        state_dict["bias_hh" + suffix] = bias_hh
    return state_dict
