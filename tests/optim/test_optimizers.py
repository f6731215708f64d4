"""Five steps of every line of the table of conventions: the formula, and torch where it agrees.

The formulas are written out in NumPy, in float64, from the papers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import optim
from tests.references import reference

torch = reference("torch")

STEPS = 5
X0 = np.array([1.0, -2.0, 0.5, 3.0])
r, a, e = 0.1, 0.9, 1e-2  # a large epsilon, so that where it stands shows
ADAM_RATE = 0.01  # 1 - 0.999^t in float32 is good to 2e-5, so one step to 2e-5 of the rate


def gradient(x):
    """Of a bowl of four curvatures, one of them tiny."""
    return x * np.array([1.0, 0.3, 1e-3, 2.0])


def momentum(x, g, s, t):
    s["v"] = a * s.get("v", 0) + g
    return x - r * s["v"]


def momentum_inside(x, g, s, t):
    s["v"] = a * s.get("v", 0) + falling(t) * g
    return x - s["v"]


def momentum_outside_falling(x, g, s, t):
    s["v"] = a * s.get("v", 0) + g
    return x - falling(t) * s["v"]


def nesterov(x, g, s, t):
    s["v"] = a * s.get("v", 0) + g
    return x - r * (g + a * s["v"])


def nesterov_inside(x, g, s, t):
    s["v"] = a * s.get("v", 0) + falling(t) * g
    return x - falling(t) * g - a * s["v"]


def ramped(x, g, s, t):
    s["v"] = (0.5 + 0.4 * min(t / 3, 1)) * s.get("v", 0) + g
    return x - r * s["v"]


def adagrad(x, g, s, t):
    s["s"] = s.get("s", 0) + g**2
    return x - r * g / (np.sqrt(s["s"]) + e)


def adagrad_in_root(x, g, s, t):
    s["s"] = s.get("s", 0) + g**2
    return x - r * g / np.sqrt(s["s"] + e)


def adagrad_keras(x, g, s, t):
    s["s"] = s.get("s", 0.1) + g**2
    return x - r * g / np.sqrt(s["s"] + 1e-7)


def rmsprop(x, g, s, t):
    s["s"] = a * s.get("s", 0) + (1 - a) * g**2
    return x - r * g / (np.sqrt(s["s"]) + e)


def rmsprop_in_root(x, g, s, t):
    s["s"] = a * s.get("s", 0) + (1 - a) * g**2
    return x - r * g / np.sqrt(s["s"] + e)


def adadelta(x, g, s, t):
    s["s"] = a * s.get("s", 0) + (1 - a) * g**2
    u = np.sqrt(s.get("d", 0) + 1e-6) / np.sqrt(s["s"] + 1e-6) * g
    s["d"] = a * s.get("d", 0) + (1 - a) * u**2
    return x - u


def adam(x, g, s, t, decay=0.0):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["s"] = 0.999 * s.get("s", 0) + 0.001 * g**2
    m, v = s["m"] / (1 - 0.9 ** (t + 1)), s["s"] / (1 - 0.999 ** (t + 1))
    return x - ADAM_RATE * (m / (np.sqrt(v) + 1e-8) + decay * x)


def adamw(x, g, s, t):
    return adam(x, g, s, t, decay=0.01)


def adam_coupled(x, g, s, t):
    return adam(x, g + 0.01 * x, s, t)


def falling(t):
    return 0.1 / (1 + t)


INVERSE = optim.inverse_time(0.1, b_steps=1)
T = torch.optim
CASES = {  # ours, formula, torch's
    "sgd": (optax.sgd(r), lambda x, g, s, t: x - r * g, lambda p: T.SGD(p, lr=r)),
    "momentum": (optim.momentum(r, a), momentum, lambda p: T.SGD(p, lr=r, momentum=a)),
    "momentum, falling": (optim.momentum(INVERSE, a), momentum_outside_falling, None),
    "momentum, rate inside": (
        optim.momentum(INVERSE, a, rate_inside=True),
        momentum_inside,
        None,
    ),
    "momentum, ramp": (optim.momentum(r, optim.momentum_ramp(ramp_steps=3)), ramped, None),
    "nesterov": (
        optim.momentum(r, a, nesterov=True),
        nesterov,
        lambda p: T.SGD(p, lr=r, momentum=a, nesterov=True),
    ),
    "nesterov, rate inside": (
        optim.momentum(INVERSE, a, nesterov=True, rate_inside=True),
        nesterov_inside,
        None,
    ),
    "adagrad": (optim.adagrad_from_zero(r, eps=e), adagrad, lambda p: T.Adagrad(p, lr=r, eps=e)),
    "adagrad, in root": (
        optim.adagrad_from_zero(r, eps=e, eps_in_root=True),
        adagrad_in_root,
        None,
    ),
    "adagrad, keras": (optax.adagrad(r), adagrad_keras, None),
    "rmsprop": (
        optax.rmsprop(r, a, eps=e, eps_in_sqrt=False),
        rmsprop,
        lambda p: T.RMSprop(p, lr=r, alpha=a, eps=e),
    ),
    "rmsprop, in root": (optax.rmsprop(r, a, eps=e), rmsprop_in_root, None),
    "adadelta": (
        optax.adadelta(1.0, rho=a),
        adadelta,
        lambda p: T.Adadelta(p, lr=1.0, rho=a, eps=1e-6),
    ),
    "adam": (optax.adam(ADAM_RATE), adam, lambda p: T.Adam(p, lr=ADAM_RATE)),
    "adamw": (
        optax.adamw(ADAM_RATE, weight_decay=0.01),
        adamw,
        lambda p: T.AdamW(p, lr=ADAM_RATE, weight_decay=0.01),
    ),
    "adam, coupled": (
        optax.chain(optax.add_decayed_weights(0.01), optax.adam(ADAM_RATE)),
        adam_coupled,
        lambda p: T.Adam(p, lr=ADAM_RATE, weight_decay=0.01),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_t7_five_steps_are_the_formula_and_torchs(name):
    tx, formula, torch_optimizer = CASES[name]

    @jax.jit
    def ours(x, state):
        updates, state = tx.update(gradient(x), state, x)
        return optax.apply_updates(x, updates), state

    x = jnp.asarray(X0, jnp.float32)
    state = tx.init(x)
    want, memory = X0, {}
    if torch_optimizer is not None:
        theirs = torch.nn.Parameter(torch.tensor(X0, dtype=torch.float32))
        optimizer = torch_optimizer([theirs])
    for t in range(STEPS):
        x, state = ours(x, state)
        want = formula(want, gradient(want), memory, t)
        np.testing.assert_allclose(x, want, atol=1e-6, rtol=1e-6)
        if torch_optimizer is not None:
            theirs.grad = torch.tensor(gradient(theirs.detach().numpy()), dtype=torch.float32)
            optimizer.step()
            np.testing.assert_allclose(x, theirs.detach(), atol=1e-6, rtol=1e-6)


def test_t7_adagrad_starts_as_published():
    """A first gradient of 0.01 moves by the whole rate, not by a thirtieth of it."""
    tx = optim.adagrad_from_zero(1.0)
    updates, _ = tx.update(jnp.array([0.01, 0.0]), tx.init(jnp.zeros(2)))
    np.testing.assert_allclose(updates, [-1.0, 0.0], rtol=1e-6)


def test_adagrad_without_an_epsilon_leaves_zero_gradients_alone():
    tx = optim.adagrad_from_zero(1.0, eps=0.0)
    updates, _ = tx.update(jnp.array([2.0, 0.0]), tx.init(jnp.zeros(2)))
    np.testing.assert_array_equal(updates, [-1.0, 0.0])


def test_the_rate_can_be_read_at_every_step():
    schedule = optim.linear_decay(0.4, decay_steps=4)
    for tx in (
        optim.inject_rate(optax.adamw, schedule, weight_decay=0.1, mask=optim.weights_only),
        optim.momentum(schedule),
        optim.adagrad_from_zero(schedule),
    ):
        x = {"w": jnp.ones((2, 2))}
        state = tx.init(x)
        for t in range(4):
            _, state = tx.update(x, state, x)
            rates = optim.learning_rates(state)
            assert list(rates) == ["learning_rate"]
            np.testing.assert_allclose(rates["learning_rate"], 0.4 * (1 - t / 4), rtol=1e-6)


def test_injecting_the_rate_changes_nothing():
    x = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    options = {"weight_decay": 0.1, "mask": optim.weights_only}
    plain, injected = optax.adamw(0.1, **options), optim.inject_rate(optax.adamw, 0.1, **options)
    want, _ = plain.update(x, plain.init(x), x)
    got, _ = injected.update(x, injected.init(x), x)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_the_rates_of_groups_are_named():
    x = {"body": jnp.ones(2), "head": jnp.ones(2)}
    tx = optim.groups({"head": optim.momentum(1e-2), "*": optim.momentum(1e-5)})
    rates = optim.learning_rates(tx.init(x))
    assert {name: round(float(rate), 9) for name, rate in rates.items()} == {
        "learning_rate/head": 1e-2,
        "learning_rate/*": 1e-5,
    }


def test_rates_that_make_no_sense_are_refused():
    for rate in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="learning_rate"):
            optim.momentum(rate)
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\), got 1.5"):
        optim.momentum(0.1, 1.5)
    with pytest.raises(ValueError, match=r"optim\.inject_rate"):
        optim.learning_rates(optax.adam(0.1).init(jnp.ones(2)))
