"""Groups, plateaus, penalties and constraints."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import optim
from tests.references import reference

torch = reference("torch")

PARAMS = {
    "body": {"Dense_0": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}},
    "head": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)},
}
ONES = jax.tree.map(jnp.ones_like, PARAMS)


def moved(tx, params=PARAMS, grads=ONES, steps=1):
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_paths_are_joined_names():
    assert optim.paths(PARAMS) == [
        "body/Dense_0/bias",
        "body/Dense_0/kernel",
        "head/bias",
        "head/kernel",
    ]


def test_groups_go_their_own_way_a_thousand_times_apart():
    tx = optim.groups({"head/*": optax.sgd(1e-1), "*": optax.sgd(1e-4)})
    factors = optim.scale_by_path({"*/kernel": 1.0, "head/*": 1e-3})
    new = moved(tx)
    np.testing.assert_allclose(1 - new["head"]["bias"], 1e-1, rtol=1e-5)
    np.testing.assert_allclose(1 - new["body"]["Dense_0"]["kernel"], 1e-4, rtol=1e-3)
    new = moved(optax.chain(optax.sgd(1e-1), factors))
    np.testing.assert_allclose(1 - new["head"]["kernel"], 1e-1, rtol=1e-5)
    np.testing.assert_allclose(1 - new["head"]["bias"], 1e-4, rtol=1e-3)
    np.testing.assert_allclose(1 - new["body"]["Dense_0"]["bias"], 1e-1, rtol=1e-5)


def test_frozen_leaves_do_not_move_and_have_no_state():
    tx = optim.freeze_paths(optax.adamw(0.1), "body/*")
    new = moved(tx)
    chex.assert_trees_all_equal(new["body"], PARAMS["body"])
    assert (new["head"]["kernel"] != 1).all()
    shapes = [leaf.shape for leaf in jax.tree.leaves(tx.init(PARAMS))]
    assert (3, 4) not in shapes
    nan = jax.tree.map(lambda g: g * jnp.nan, ONES)
    chex.assert_trees_all_equal(moved(tx, grads=nan)["body"], PARAMS["body"])
    zero = optax.chain(optax.sgd(0.1), optim.scale_by_path({"body/*": 0.0}))
    chex.assert_trees_all_equal(moved(zero, grads=nan)["body"], PARAMS["body"])


def test_frozen_gradients_are_not_computed():
    """XLA drops the product that only the frozen kernel's gradient needs."""

    def step(tx):
        def run(params, x):
            def hidden(p):
                return jnp.sum((x @ p["body"]["Dense_0"]["kernel"]) @ p["head"]["kernel"])

            updates, _ = tx.update(jax.grad(hidden)(params), tx.init(params), params)
            return optax.apply_updates(params, updates)

        return jax.jit(run).lower(PARAMS, jnp.ones((64, 3))).compile().as_text()

    free = step(optax.sgd(0.1)).count(" dot(")
    assert step(optim.freeze_paths(optax.sgd(0.1), "body/*")).count(" dot(") < free


@pytest.mark.parametrize(
    "tx",
    [
        optim.freeze_paths(optax.sgd(0.1), "tail/*"),
        optim.scale_by_path({"tail/*": 0.1}),
        optim.groups({"tail/*": optax.sgd(0.1), "*": optax.sgd(0.1)}),
    ],
)
def test_a_pattern_that_matches_nothing_lists_what_exists(tx):
    with pytest.raises(ValueError, match=r"'tail/\*' matches no parameter.*body/Dense_0/kernel"):
        tx.init(PARAMS)


def test_a_pattern_without_effect_is_refused():
    with pytest.raises(ValueError, match="earlier patterns"):
        optim.scale_by_path({"*": 0.1, "head/*": 1.0}).init(PARAMS)
    with pytest.raises(ValueError, match=r"no pattern of head/\* matches body/Dense_0/bias"):
        optim.groups({"head/*": optax.sgd(0.1)}).init(PARAMS)
    with pytest.raises(ValueError, match="'head' must be"):
        optim.scale_by_path({"head": -1.0})


def test_decay_leaves_out_biases_and_norms():
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3), "norm": {"scale": jnp.ones((1, 3))}}
    mask = optim.weights_only(params)
    assert mask == {"kernel": True, "bias": False, "norm": {"scale": False}}
    tx = optax.adamw(0.1, weight_decay=0.5, mask=optim.weights_only)
    new = moved(tx, params, jax.tree.map(jnp.zeros_like, params))
    np.testing.assert_allclose(new["kernel"], 0.95, rtol=1e-6)
    np.testing.assert_array_equal(new["bias"], 1.0)


def test_plateau_is_torchs():
    """The same reports, the same rates, cooldown, margins and NaN included."""
    rng = np.random.default_rng(0)
    reports = np.concatenate([np.linspace(1, 0.5, 6), 0.5 + 0.01 * rng.normal(size=30)])
    reports[12] = np.nan
    for mode, sign in (("min", 1), ("max", -1)):
        options = {"factor": 0.3, "patience": 2, "mode": mode, "cooldown": 3}
        tx = optim.reduce_lr_on_plateau(relative=0.0, absolute=1e-3, min_scale=1e-2, **options)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, threshold=1e-3, threshold_mode="abs", min_lr=1e-2, **options
        )
        state = tx.init(None)
        for value in sign * reports:
            state = optim.report_plateau(state, value)
            theirs.step(float(value))
            np.testing.assert_allclose(state.scale, optimizer.param_groups[0]["lr"], rtol=1e-5)
        assert float(state.scale) < 0.1


def test_t7_optax_reduces_one_report_earlier():
    theirs = optax.contrib.reduce_on_plateau(factor=0.5, patience=3, rtol=1e-4)
    ours = optim.reduce_lr_on_plateau(factor=0.5, patience=2)
    theirs_state, state = theirs.init(jnp.zeros(())), ours.init(None)
    for value in (3.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        _, theirs_state = theirs.update(jnp.zeros(()), theirs_state, value=value)
        state = optim.report_plateau(state, value)
        assert float(state.scale) == float(theirs_state.scale)
    assert float(state.scale) == 0.25


def test_plateau_scales_updates_and_is_found_anywhere():
    tx = optim.groups(
        {
            "head/*": optax.chain(optim.momentum(0.1, 0.0), optim.reduce_lr_on_plateau(patience=0)),
            "*": optax.sgd(0.1),
        }
    )
    state = tx.init(PARAMS)
    report = jax.jit(optim.report_plateau)
    for value in (1.0, 1.0):
        state = report(state, value)
    updates, state = tx.update(ONES, state, PARAMS)
    np.testing.assert_allclose(updates["head"]["bias"], -0.01, rtol=1e-6)
    np.testing.assert_allclose(updates["body"]["Dense_0"]["bias"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(optim.learning_rates(state)["learning_rate"], 0.01, rtol=1e-6)
    with pytest.raises(ValueError, match="reduce_lr_on_plateau"):
        optim.report_plateau(optax.sgd(0.1).init(PARAMS), 1.0)


def test_the_rate_is_halved_when_training_slows():
    state = optim.halve_when_slow(absolute=0.1).init(None)
    scales = []
    for loss in (3.0, 2.0, 1.95, 1.5, 1.6, float("nan"), 1.0):
        state = optim.report_plateau(state, loss)
        scales.append(float(state.scale))
    assert scales == [1, 1, 0.5, 0.5, 0.25, 0.125, 0.125]


def test_l1_finds_exact_zeros_and_the_lasso():
    """Proximal steps reach the closed form on orthogonal columns; subgradients do not reach 0."""
    want = jnp.array([2.0, -0.3, 0.05, 0.0])

    def grad(w):
        return w - want  # of half the squared distance

    prox, sub = (
        optax.chain(optax.sgd(0.3), optim.l1_proximal(0.1, 0.3)),
        optax.chain(optim.l1_subgradient(0.1), optax.sgd(0.3)),
    )
    w = v = jnp.ones(4)
    prox_state, sub_state = prox.init(w), sub.init(v)
    for _ in range(100):
        updates, prox_state = prox.update(grad(w), prox_state, w)
        w = optax.apply_updates(w, updates)
        updates, sub_state = sub.update(grad(v), sub_state, v)
        v = optax.apply_updates(v, updates)
    np.testing.assert_allclose(w, [1.9, -0.2, 0, 0], atol=1e-6)
    assert w[2] == 0
    assert w[3] == 0
    np.testing.assert_allclose(v[:2], [1.9, -0.2], atol=1e-6)
    assert v[2] != 0
    assert abs(v[2]) < 0.05


def test_the_proximal_threshold_follows_the_schedule():
    schedule = optim.linear_decay(1.0, decay_steps=2)
    tx = optim.l1_proximal(0.25, schedule, mask=lambda p: {"w": True, "b": False})
    params = {"w": jnp.ones(1), "b": jnp.ones(1)}
    still = jax.tree.map(jnp.zeros_like, params)
    new = moved(tx, params, still, steps=3)
    np.testing.assert_allclose(new["w"], 1 - 0.25 - 0.125, rtol=1e-6)
    np.testing.assert_array_equal(new["b"], 1.0)


def test_max_norm_is_torchs_renorm():
    kernel = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    params = {"kernel": jnp.asarray(kernel), "bias": jnp.full(7, 9.0)}
    new = moved(optim.max_norm(1.5), params, jax.tree.map(jnp.zeros_like, params))
    want = torch.renorm(torch.tensor(kernel), p=2, dim=1, maxnorm=1.5)
    np.testing.assert_allclose(new["kernel"], want, atol=1e-6)
    np.testing.assert_array_equal(new["bias"], 9.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.reduce_lr_on_plateau(factor=1.0),
        lambda: optim.reduce_lr_on_plateau(patience=-1),
        lambda: optim.reduce_lr_on_plateau(mode="most"),
        lambda: optim.halve_when_slow(absolute=-1.0),
        lambda: optim.max_norm(0.0),
        lambda: optim.l1_proximal(-1.0, 0.1),
        lambda: optim.l1_subgradient(float("nan")),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()
