import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn
from tests.references import reference

torch = reference("torch")

B, T, D, H = 3, 5, 4, 6
CELLS = {
    "rnn": (nn.RNNCell(), torch.nn.RNN, {}),
    "relu": (nn.RNNCell("relu"), torch.nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRUCell(), torch.nn.GRU, {}),
    "lstm": (nn.LSTMCell(), torch.nn.LSTM, {}),
}


def inputs(cell, layers, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    state = tuple(
        rng.normal(size=(layers, B, H)).astype(np.float32) for _ in range(cell.num_states)
    )
    return x, state


def summary(outputs, state, xp):
    """A scalar that every output and every final state has its own part in."""
    total = xp.sum(xp.sin(outputs) * (1 + xp.cos(outputs)))
    for k, s in enumerate(state):
        total = total + (k + 2) * xp.sum(xp.sin(s) * s)
    return total


@pytest.mark.parametrize(
    "layers, directions, ragged", [(1, 1, True), (2, 2, True), (3, 2, True), (2, 1, False)]
)
@pytest.mark.parametrize("name", CELLS)
def test_values_and_every_gradient_agree_with_torch(name, layers, directions, ragged):
    """T5, T11, T12, T17: stacked layers, both directions, lengths, both biases."""
    cell, peer, options = CELLS[name]
    torch.manual_seed(0)
    peer = peer(D, H, layers, batch_first=True, bidirectional=directions == 2, **options)
    x, state = inputs(cell, layers * directions)
    lengths = np.array([T, 2, 3])

    tx = torch.tensor(x, requires_grad=True)
    tstate = tuple(torch.tensor(s, requires_grad=True) for s in state)
    given = tstate if len(tstate) == 2 else tstate[0]
    if ragged:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            tx, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
        touts, tfinal = peer(packed, given)
        touts, _ = torch.nn.utils.rnn.pad_packed_sequence(touts, batch_first=True, total_length=T)
    else:
        touts, tfinal = peer(tx, given)
    tfinal = tfinal if len(tstate) == 2 else (tfinal,)
    summary(touts, tfinal, torch).backward()

    model = nn.Recurrent(cell, H, layers, bidirectional=directions == 2, two_biases=True)
    params = nn.recurrent_from_torch(
        {k: v.detach() for k, v in peer.state_dict().items()}, two_biases=True
    )

    @jax.jit
    def run(params, x, state):
        lens = jnp.asarray(lengths) if ragged else None
        outs, final = model.apply({"params": params}, x, state, lengths=lens, train=False)
        return summary(outs, final, jnp), (outs, final)

    grads, (outs, final) = jax.grad(run, argnums=(0, 1, 2), has_aux=True)(params, x, state)
    np.testing.assert_allclose(outs, touts.detach(), atol=1e-5)
    for got, want in zip(final, tfinal, strict=True):
        np.testing.assert_allclose(got, want.detach(), atol=1e-5)
    np.testing.assert_allclose(grads[1], tx.grad, rtol=1e-4, atol=1e-5)
    for got, want in zip(grads[2], tstate, strict=True):
        np.testing.assert_allclose(got, want.grad, rtol=1e-4, atol=1e-5)
    wanted = {k: p.grad.numpy() for k, p in peer.named_parameters()}
    got = nn.recurrent_to_torch(grads[0])
    assert got.keys() == wanted.keys()
    for key, want in wanted.items():
        np.testing.assert_allclose(got[key], want, rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", CELLS)
def test_one_bias_says_the_same_as_two(name):
    """T17: weights go in and out of torch unchanged, and the single bias is the sum of two."""
    cell, peer, options = CELLS[name]
    torch.manual_seed(1)
    state_dict = {k: v.numpy() for k, v in peer(D, H, **options).state_dict().items()}
    two = nn.recurrent_from_torch(state_dict, two_biases=True)
    one = nn.recurrent_from_torch(state_dict)
    x, _ = inputs(cell, 1)
    want, _ = nn.Recurrent(cell, H, two_biases=True).apply({"params": two}, x, train=False)
    got, _ = nn.Recurrent(cell, H).apply({"params": one}, x, train=False)
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert {k: v.tolist() for k, v in nn.recurrent_to_torch(two).items()} == {
        k: v.tolist() for k, v in state_dict.items()
    }
    again = nn.recurrent_from_torch(nn.recurrent_to_torch(one))
    jax.tree.map(np.testing.assert_array_equal, again, one)
    shapes = nn.Recurrent(cell, H).init(jax.random.key(0), x, train=False)["params"]
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, one)


def test_reset_before_the_product_is_the_original_gru():
    """T17: the formula of Cho et al. 2014, written out in NumPy, and its numeric gradient."""
    cell = nn.GRUCell(reset_after=False)
    model = nn.Recurrent(cell, H)
    x, state = inputs(cell, 1)
    params = model.init(jax.random.key(0), x, train=False)["params"]
    assert "bias_hn" not in params["layer0"]

    def numpy_gru(p, x, h):
        p = {k: np.asarray(v, np.float64) for k, v in p["layer0"].items()}
        sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
        W, U, b = (np.split(p[k], 3, axis=-1) for k in ("kernel_ih", "kernel_hh", "bias"))
        for t in range(T):
            r = sigmoid(x[:, t] @ W[0] + h @ U[0] + b[0])
            z = sigmoid(x[:, t] @ W[1] + h @ U[1] + b[1])
            n = np.tanh(x[:, t] @ W[2] + (r * h) @ U[2] + b[2])
            h = z * h + (1 - z) * n
        return h

    def final(params, x, state):
        return model.apply({"params": params}, x, state, train=False)[1][0][0]

    np.testing.assert_allclose(
        final(params, x, state), numpy_gru(params, x, state[0][0]), atol=1e-6
    )
    weights = np.random.default_rng(1).normal(size=(B, H))
    grads = jax.grad(lambda *a: jnp.sum(final(*a) * weights), argnums=(0, 1, 2))(params, x, state)
    rng, eps = np.random.default_rng(2), 1e-6
    direction = jax.tree.map(lambda a: rng.normal(size=a.shape), (params, x, state))
    sides = []
    for sign in (1, -1):
        p, xs, s = jax.tree.map(
            lambda a, d, sign=sign: np.asarray(a, np.float64) + sign * eps * d,
            (params, x, state),
            direction,
        )
        sides.append(np.sum(numpy_gru(p, xs, s[0][0]) * weights))
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.sum(g * d), grads, direction)))
    np.testing.assert_allclose(slope, (sides[0] - sides[1]) / (2 * eps), rtol=1e-4)


@pytest.mark.parametrize("name", [*CELLS, "gru_before"])
def test_more_padding_changes_nothing(name):
    """T12: outputs, final states, gradients, whatever the padding holds; T5: all leaves learn."""
    cell = nn.GRUCell(reset_after=False) if name == "gru_before" else CELLS[name][0]
    model = nn.Recurrent(cell, H, 2, bidirectional=True)
    x, state = inputs(cell, 4)
    lengths = jnp.array([T, 2, 0])
    params = model.init(jax.random.key(0), x, train=False)["params"]

    @jax.jit
    def run(params, x):
        outs, final = model.apply({"params": params}, x, state, lengths=lengths, train=False)
        return summary(outs[:, :T], final, jnp), (outs, final)

    grads, (outs, final) = jax.grad(run, has_aux=True)(params, x)
    padded = np.pad(x, ((0, 0), (0, 4), (0, 0)), constant_values=7.0)
    padded[1, 2:] = 1e6
    more, (outs_more, final_more) = jax.grad(run, has_aux=True)(params, padded)
    np.testing.assert_allclose(outs_more[:, :T], outs, atol=1e-6)
    assert not outs_more[1, 2:].any()
    assert not outs_more[2].any()
    for got, want, start in zip(final_more, final, state, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)
        np.testing.assert_array_equal(got[:, 2], start[:, 2])  # length 0: the state it began with
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), more, grads)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(grads))


def test_lengths_above_the_steps_and_below_zero_have_an_answer():
    model = nn.GRU(H)
    x, _ = inputs(nn.GRUCell(), 1)
    params = model.init(jax.random.key(0), x, train=False)
    got, _ = model.apply(params, x, lengths=jnp.array([T + 9, T, -3]), train=False)
    want, _ = model.apply(params, x, lengths=jnp.array([T, T, 0]), train=False)
    np.testing.assert_array_equal(got, want)


def test_state_in_and_out_continues_a_sequence_and_time_major_is_a_transposition():
    x, _ = inputs(nn.LSTMCell(), 1)
    model = nn.LSTM(H, num_layers=2)
    params = model.init(jax.random.key(0), x, train=False)
    want, final = model.apply(params, x, train=False)
    first, state = model.apply(params, x[:, :2], train=False)
    second, state = model.apply(params, x[:, 2:], state, train=False)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), want, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state, final)
    turned = nn.LSTM(H, num_layers=2, time_major=True)
    got, _ = turned.apply(params, x.swapaxes(0, 1), train=False)
    np.testing.assert_allclose(got.swapaxes(0, 1), want, atol=1e-6)


def test_dropout_between_layers_only_in_training_and_scaled_once():
    """T19: the expectation of what the second layer sees is kept; one layer has no dropout."""
    x, _ = inputs(nn.RNNCell(), 1)
    model = nn.RNN(H, num_layers=2, dropout=0.5)
    params = model.init(jax.random.key(0), x, train=False)
    run = jax.jit(jax.vmap(lambda k: model.apply(params, x, train=True, rngs={"dropout": k})[0]))
    outs = run(jax.random.split(jax.random.key(1), 2))
    assert jnp.any(outs[0] != outs[1])
    still, _ = model.apply(params, x, train=False)
    np.testing.assert_array_equal(still, nn.RNN(H, num_layers=2).apply(params, x, train=False)[0])
    single = nn.RNN(H, dropout=0.5)
    params = single.init(jax.random.key(0), x, train=False)
    got, _ = single.apply(params, x, train=True, rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(got, single.apply(params, x, train=False)[0])


def test_bfloat16_stays_close_and_keeps_its_type():
    x, _ = inputs(nn.GRUCell(), 1)
    params = nn.GRU(H).init(jax.random.key(0), x, train=False)
    want, _ = nn.GRU(H).apply(params, x, train=False)
    got, _ = nn.GRU(H, dtype=jnp.bfloat16).apply(params, x, train=False)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), want, atol=0.03)


def test_forget_bias_is_there_at_the_start():
    x, _ = inputs(nn.LSTMCell(), 1)
    zeros = jax.nn.initializers.zeros
    model = nn.Recurrent(nn.LSTMCell(forget_bias=1.0), H, bias_init=zeros)
    bias = model.init(jax.random.key(0), x, train=False)["params"]["layer0"]["bias"]
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], H))


def test_wrong_shapes_are_named():
    model, x = nn.GRU(H), jnp.zeros((B, T, D))
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="three axes"):
        model.init(key, x[0], train=False)
    with pytest.raises(ValueError, match="lengths need shape"):
        model.init(key, x, lengths=jnp.ones((B, 1), int), train=False)
    with pytest.raises(ValueError, match="state needs 1 arrays"):
        model.init(key, x, (jnp.zeros((1, B + 1, H)),), train=False)
    with pytest.raises(ValueError, match="T >= 1"):
        model.init(key, x[:, :0], train=False)
    with pytest.raises(ValueError, match=r"lacks \['bias_hh_l0'\]"):
        nn.recurrent_from_torch(
            {f"{k}_l0": np.zeros(1) for k in ("weight_ih", "weight_hh", "bias_ih")}
        )
    with pytest.raises(ValueError, match="'tanh' or 'relu'"):
        nn.RNNCell("gelu")
