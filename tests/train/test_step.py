"""Every option of the step does something, and does it exactly."""

import functools

import chex
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import data, losses, metrics, models, objectives, train
from jaxdl.objectives import Aux
from jaxdl.train._remat import keeping, rematerialized
from tests.references import reference
from tests.train.problems import Net, blobs, objective, problem

torch = reference("torch")


def batch_of(n=32, size=None):
    split = blobs(n)
    return data.host_batch(split, 0, batch_size=size or n)


def one_step(tx=None, batch=None, *, net=Net(), **options):
    trainer, state = problem(tx or optax.sgd(0.5), net=net, **options)
    return state, *jax.jit(trainer.step)(state, batch or batch_of())


def test_a_step_is_torchs_step():
    """Ten SGD steps with momentum on the same data from the same weights."""
    tx = optax.sgd(0.1, momentum=0.9)
    trainer, state = problem(tx)
    step = jax.jit(trainer.step)
    weights = [state.params[k][n] for k in ("Dense_0", "Dense_1") for n in ("kernel", "bias")]
    theirs = [torch.tensor(np.asarray(w), requires_grad=True) for w in weights]
    optimizer = torch.optim.SGD(theirs, lr=0.1, momentum=0.9)
    for batch in data.batches(blobs(40), 8, seed=0, epochs=2):
        state, out = step(state, batch)
        hidden = torch.tanh(torch.tensor(batch["x"]) @ theirs[0] + theirs[1])
        loss = torch.nn.functional.cross_entropy(
            hidden @ theirs[2] + theirs[3], torch.tensor(batch["label"]).long()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(out["loss"].compute(), loss.item(), rtol=1e-5)
    np.testing.assert_allclose(state.params["Dense_0"]["kernel"], theirs[0].detach(), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"clip_example_norm": 1.0}])
@pytest.mark.parametrize("remat", [False, True])
def test_an_objective_needs_no_metrics(options, remat):
    def objective(mean, model_state, batch, key, *, train):
        values = metrics.Mean.from_values((mean - batch["x"]) ** 2, batch["mask"])
        return values, Aux({}, model_state)

    tx = optax.sgd(0.25)
    trainer = train.make(objective, tx, remat=remat, **options)
    state = trainer.init(jax.random.key(0), params=jnp.array(0.0))
    batch = {"x": jnp.array([0.25, 0.5, 9.0]), "mask": jnp.array([True, True, False])}
    state, out = jax.jit(trainer.step)(state, batch)
    np.testing.assert_allclose(state.params, 0.25 * 0.75, rtol=1e-6)
    np.testing.assert_allclose(out["loss"].compute(), (0.0625 + 0.25) / 2, rtol=1e-6)
    assert set(out) - {"example_grad_norm"} == {"loss"}


@pytest.mark.parametrize("parts", [2, 4, 8, 5])
def test_accumulation_is_the_big_batch(parts):
    """Also when the batch is ragged (37 real rows of 40) or does not divide by the parts."""
    batch = dict(batch_of(40))
    batch["mask"] = np.arange(40) < 37
    _, whole, out = one_step(batch=batch)
    _, cut, out_cut = one_step(batch=batch, accumulate=parts)
    chex.assert_trees_all_close(cut.params, whole.params, atol=1e-6)
    for name in out:
        np.testing.assert_allclose(out_cut[name].compute(), out[name].compute(), rtol=1e-6)


def test_t25_the_loss_is_a_total_over_a_weight():
    """Padding changes neither the loss nor the gradient."""
    _, small, out_small = one_step(batch=batch_of(20))
    padded = {
        name: np.concatenate([value, np.zeros((44, *value.shape[1:]), value.dtype)])
        for name, value in batch_of(20).items()
    }
    _, large, out_large = one_step(batch=padded)
    chex.assert_trees_all_close(large.params, small.params, atol=1e-6)
    np.testing.assert_allclose(out_large["loss"].weight, 20)
    np.testing.assert_allclose(out_large["loss"].compute(), out_small["loss"].compute(), rtol=1e-6)


def test_t5_clipping_does_something_and_is_torchs():
    state, free, out = one_step(grad_norm=True)
    limit = float(out["grad_norm"].compute()) / 3
    _, clipped, out_clipped = one_step(grad_norm=True, clip_norm=limit)
    grads = jax.tree.map(lambda new, old: (old - new) / 0.5, free.params, state.params)
    leaves = [torch.nn.Parameter(torch.zeros(g.shape)) for g in jax.tree.leaves(grads)]
    for leaf, g in zip(leaves, jax.tree.leaves(grads), strict=True):
        leaf.grad = torch.tensor(np.array(g))
    torch.nn.utils.clip_grad_norm_(leaves, limit)
    got = jax.tree.map(lambda new, old: (old - new) / 0.5, clipped.params, state.params)
    for ours, theirs in zip(jax.tree.leaves(got), leaves, strict=True):
        np.testing.assert_allclose(ours, theirs.grad, atol=1e-5)
    np.testing.assert_allclose(
        out_clipped["grad_norm"].compute(), out["grad_norm"].compute(), rtol=1e-6
    )
    _, by_value, _ = one_step(clip_value=0.01)
    moved = jax.tree.map(lambda new, old: np.max(np.abs(new - old)), by_value.params, state.params)
    np.testing.assert_allclose(max(jax.tree.leaves(moved)), 0.005, rtol=1e-4)


def test_a_gradient_below_the_limit_is_untouched():
    _, free, _ = one_step()
    _, clipped, _ = one_step(clip_norm=1e6, clip_value=1e6)
    chex.assert_trees_all_equal(free.params, clipped.params)


def test_example_gradients_are_those_of_batches_of_one():
    _, state = problem(optax.sgd(1.0))
    batch, loss = batch_of(6), objective()
    grads = train.per_example_gradients(loss, state.params, {}, batch, state.key)
    for i in range(6):
        one = {name: value[i : i + 1] for name, value in batch.items()}
        want = jax.grad(lambda p, one=one: loss(p, {}, one, state.key, train=True)[0].total)(
            state.params
        )
        chex.assert_trees_all_close(jax.tree.map(lambda g, i=i: g[i], grads), want, atol=1e-6)
    norms = jax.vmap(optax.tree.norm)(grads)
    state, clipped, out = one_step(optax.sgd(1.0), batch, clip_example_norm=float(norms.min()) / 2)
    np.testing.assert_allclose(out["example_grad_norm"].compute(), norms.mean(), rtol=1e-5)
    shrink = norms.min() / 2 / norms
    want = jax.tree.map(lambda g: jnp.tensordot(shrink, g, 1) / 6, grads)
    got = jax.tree.map(lambda old, new: old - new, state.params, clipped.params)
    chex.assert_trees_all_close(got, want, atol=1e-6)


def test_bfloat16_computes_low_and_keeps_high():
    seen = []

    class Spy(Net):
        def __call__(self, x, *, train):
            y = super().__call__(x, train=train)
            seen.append((x.dtype, y.dtype))
            return y

    _, low, out = one_step(net=Spy(), compute_dtype=jnp.bfloat16)
    assert seen[-1] == (jnp.bfloat16, jnp.bfloat16)
    assert out["loss"].total.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(low.params)} == {jnp.dtype("float32")}
    _, high, _ = one_step()
    chex.assert_trees_all_close(low.params, high.params, atol=2e-2)
    assert (low.params["Dense_0"]["kernel"] != high.params["Dense_0"]["kernel"]).any()


def half_precision(slope, **options):
    """Descends on the mean of `slope w x`, the product in float16, from 0 at a rate of 1."""

    def objective(w, model_state, batch, key, *, train):
        y = (w * batch["x"].astype(w.dtype)).astype(jnp.float32)
        return metrics.Mean.from_values(y * slope, batch["mask"]), Aux({}, model_state)

    options = {"compute_dtype": jnp.float16, "skip_nonfinite": 9, "loss_scale": 2.0**15} | options
    trainer = train.make(objective, optax.sgd(1.0), **options)
    batch = {"x": jnp.array([1.0, 3.0]), "mask": jnp.array([True, True])}
    return jax.jit(trainer.step), trainer.init(jax.random.key(0), params=jnp.zeros(())), batch


@pytest.mark.parametrize(
    "options", [{}, {"accumulate": 2}, {"clip_example_norm": 1.0}, {"remat": True}]
)
def test_a_scaled_loss_keeps_gradients_that_float16_loses(options):
    slope = 2.0**-30  # the least number of float16 is 2^-24
    for scale, want in ((1.0, 0.0), (2.0**15, -2 * slope)):
        step, state, batch = half_precision(slope, loss_scale=scale, **options)
        state, out = step(state, batch)
        assert (float(state.params), float(out["loss_scale"].compute())) == (want, scale)


def test_the_scale_falls_with_overflow_and_grows_again(monkeypatch):
    monkeypatch.setattr("jaxdl.train._make.SCALE_PERIOD", 2)
    step, state, batch = half_precision(1.0, loss_scale=2.0**15)
    scales, skipped, params = [], [], []
    for _ in range(6):
        state, out = step(state, batch)
        scales.append(float(out["loss_scale"].compute()))
        skipped.append(int(state.skipped[1]))
        params.append(float(state.params))
    # The gradient is 4 times the scale, and 65,504 is the most. Two steps that count double it.
    assert scales == [2.0**n for n in (15, 14, 13, 13, 14, 13)]
    assert skipped == [1, 2, 2, 2, 3, 3]
    assert params == [0, 0, -2, -4, -4, -6]


def test_float16_needs_a_scale_of_its_own():
    with pytest.raises(ValueError, match="compute_dtype float16 needs loss_scale"):
        half_precision(1.0, loss_scale=None)
    with pytest.raises(ValueError, match=r"loss_scale must be a power of 2.* got 1000"):
        half_precision(1.0, loss_scale=1000.0)
    with pytest.raises(ValueError, match="loss_scale needs skip_nonfinite"):
        half_precision(1.0, skip_nonfinite=None)


def test_the_guard_skips_counts_and_leaves_everything_else():
    tx = optax.adam(0.1)
    net = Net(batch_norm=True)
    trainer, state = problem(tx, net=net, ema=0.9, skip_nonfinite=10)
    step = jax.jit(trainer.step)
    good, bad = batch_of(), batch_of()
    bad = {**bad, "x": np.where(np.arange(32)[:, None] == 5, np.inf, bad["x"]).astype(np.float32)}
    state, _ = step(state, good)
    skipped, out = step(state, bad)
    skipped, out = step(skipped, bad)
    assert int(skipped.step) == 3
    assert skipped.skipped.tolist() == [2, 2]
    assert float(out["skipped"].compute()) == 1
    assert float(out["loss"].weight) == 0  # nothing learned, nothing reported
    for name in ("params", "opt_state", "model_state", "ema"):
        chex.assert_trees_all_equal(getattr(skipped, name), getattr(state, name))
    again, _ = step(skipped, good)
    assert again.skipped.tolist() == [0, 2]


def test_ema_is_the_running_mean_of_the_parameters():
    tx = optax.sgd(0.5)
    trainer, state = problem(tx, ema=0.75)
    step = jax.jit(trainer.step)
    want = state.params
    for batch in data.batches(blobs(), 8, seed=0):
        state, _ = step(state, batch)
        want = jax.tree.map(lambda e, p: 0.75 * e + 0.25 * p, want, state.params)
    chex.assert_trees_all_close(state.ema, want, atol=1e-6)
    chex.assert_trees_all_equal(state.eval_params, state.ema)


class Deep(linen.Module):
    """Sixteen wide layers, whose activations outweigh everything else."""

    @linen.compact
    def __call__(self, x, *, train: bool):
        for _ in range(16):
            x = jnp.tanh(linen.Dense(16)(x)) + 0.1
        return linen.Dense(3)(x)


def kept_bytes(function, params):
    """What lies between the forward and the backward pass."""
    _, pull = jax.vjp(function, params)
    return sum(leaf.nbytes for leaf in jax.tree.leaves(pull))


def test_t28_rematerialization_keeps_less_and_changes_no_number():
    net, x = Deep(), batch_of(2048)["x"]
    params = net.init(jax.random.key(0), x, train=True)

    def loss(params):
        return jnp.sum(net.apply(params, x, train=True) ** 2)

    assert kept_bytes(rematerialized(loss), params) < 0.5 * kept_bytes(loss, params)
    plain, again = (jax.jit(jax.grad(f))(params) for f in (loss, rematerialized(loss)))
    chex.assert_trees_all_close(again, plain, rtol=1e-5)
    _, plain, _ = one_step(net=Net(dropout=0.5, batch_norm=True))
    _, again, _ = one_step(net=Net(dropout=0.5, batch_norm=True), remat=True)
    chex.assert_trees_all_close(again.params, plain.params, atol=1e-6)


@pytest.mark.parametrize(
    "kept", ["block", ("block", "conv"), jax.checkpoint_policies.dots_saveable], ids=str
)
def test_what_is_kept_for_the_backward_pass_changes_no_number(kept):
    net = models.ResNet(4, (1, 1), width=4, stem="small")
    image = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    batch = {"image": image, "label": np.arange(8) % 4, "mask": np.arange(8) < 7}
    objective = objectives.supervised(net, losses.softmax_cross_entropy)
    trainers = [train.make(objective, optax.sgd(0.1), remat=remat) for remat in (False, kept)]
    state = trainers[0].init(jax.random.key(0), batch)
    plain, again = (jax.jit(trainer.step)(state, batch)[0] for trainer in trainers)
    chex.assert_trees_all_close(again.params, plain.params, atol=1e-6)
    if not callable(kept):

        def total(params):
            return objective(params, state.model_state, batch, jax.random.key(0), train=True)[
                0
            ].total

        assert kept_bytes(keeping(total, kept), state.params) < 0.8 * kept_bytes(
            total, state.params
        )


def test_a_name_that_no_block_has_is_told_those_there_are():
    net = models.ResNet(4, (1,), width=4, stem="small")
    batch = {"image": np.zeros((2, 8, 8, 3)), "label": np.zeros(2, int), "mask": np.ones(2, bool)}
    objective = objectives.supervised(net, losses.softmax_cross_entropy)
    trainer = train.make(objective, optax.sgd(0.1), remat="blok")
    state = jax.eval_shape(lambda: trainer.init(jax.random.key(0), batch))
    with pytest.raises(ValueError, match="remat='blok' names no block, the objective has .*block"):
        jax.eval_shape(trainer.step, state, batch)


def test_t11_dropout_masks_differ_between_steps_and_keys_are_used_once():
    net = Net(dropout=0.5)
    tx = optax.sgd(0.0)
    with jax.debug_key_reuse(True):
        trainer, state = problem(tx, net=net)
        step = jax.jit(trainer.step)
        state, first = step(state, batch_of())
        _, second = step(state, batch_of())
    assert first["loss"].compute() != second["loss"].compute()  # the parameters did not move


def test_t19_dropout_keeps_the_expectation():
    net = Net(dropout=0.5)
    x = jnp.ones((1, 2))
    params = net.init(jax.random.key(0), x, train=False)["params"]
    keys = jax.random.split(jax.random.key(1), 4000)
    outputs = jax.vmap(
        lambda key: net.apply({"params": params}, x, train=True, rngs={"dropout": key})
    )(keys)
    want = net.apply({"params": params}, x, train=False)
    spread = np.std(outputs, axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(outputs, axis=0) - want) < 4 * spread)


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate": 0},
        {"clip_norm": 0.0},
        {"clip_value": -1.0},
        {"clip_example_norm": float("nan")},
        {"ema": 1.0},
        {"skip_nonfinite": 0},
    ],
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        train.make(objective(), optax.sgd(0.1), **options)


def test_what_cannot_be_initialized_or_clipped_is_refused():
    with pytest.raises(ValueError, match="init needs a batch"):
        problem(optax.sgd(0.1))[0].init(jax.random.key(0))
    plain = train.make(lambda *args, **kwargs: None, optax.sgd(0.1))
    with pytest.raises(ValueError, match="makes no parameters: give init the params"):
        plain.init(jax.random.key(0), batch_of())
    with pytest.raises(ValueError, match="batch statistics"):
        one_step(net=Net(batch_norm=True), clip_example_norm=1.0)


def test_an_empty_batch_moves_nothing():
    batch = {**batch_of(), "mask": np.zeros(32, bool)}
    state, new, out = one_step(batch=batch)
    chex.assert_trees_all_equal(new.params, state.params)
    assert float(out["loss"].compute()) == 0


def test_steps_under_vmap_are_the_steps_alone():
    tx = optax.sgd(0.3)
    step = problem(tx)[0].step
    states = [problem(tx, seed=s)[1] for s in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    together, _ = jax.jit(jax.vmap(step, in_axes=(0, None)))(stacked, batch_of())
    step = jax.jit(step)
    for i, state in enumerate(states):
        alone, _ = step(state, batch_of())
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, i=i: x[i], together.params), alone.params, atol=1e-6
        )


def test_mean_merges_in_any_order():
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    whole = metrics.Mean.from_values(values).compute()
    parts = [metrics.Mean.from_values(part) for part in np.split(values, [3, 50, 51])]
    merged = functools.reduce(lambda a, b: b.merge(a), parts)
    np.testing.assert_allclose(merged.compute(), whole, rtol=1e-5)


@pytest.mark.parametrize("ema", [0.9, 0.999, 0.99999])
def test_the_average_of_what_stands_still_stands_still(ema):
    trainer, state = problem(optax.set_to_zero(), ema=ema)
    step = jax.jit(trainer.step)
    start = state.ema
    for _ in range(3):
        state, _ = step(state, batch_of())
    chex.assert_trees_all_equal(state.ema, start)


@pytest.mark.parametrize("train_mode", [True, False])
def test_nan_in_padded_rows_reaches_no_gradient(train_mode):
    """T39: what stands in padding is masked before the network and the loss, not after."""
    masked = objectives.supervised(
        Net(), losses.squared_error, inputs="x", targets="y",
        metrics={"mse": metrics.MeanSquaredError.from_batch},
    )  # fmt: skip
    batch = dict(batch_of(8))
    batch["y"] = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    batch["mask"] = np.arange(8) < 5
    params, key = problem(optax.sgd(0.1))[1].params, jax.random.key(0)

    def loss(params, batch):
        mean, aux = masked(params, {}, batch, key, train=train_mode)
        return mean.total, (mean.compute(), aux.metrics["mse"].compute())

    want = jax.grad(loss, has_aux=True)(params, {k: v[:5] for k, v in batch.items()})
    spoiled = {k: v.copy() for k, v in batch.items()}
    spoiled["x"][5:], spoiled["y"][5:] = np.nan, np.inf
    got = jax.grad(loss, has_aux=True)(params, spoiled)
    chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kept", ["block", ("block", "attention"), "dots_saveable", True], ids=str)
def test_a_stack_in_a_loop_is_computed_again_turn_by_turn(kept):
    """Each turn of a transformer's loop by itself, dropout included: no number changes."""
    net = models.Transformer(16, context=8, dim=8, num_layers=2, num_heads=2, dropout=0.3)
    tokens = np.random.default_rng(0).integers(0, 16, (4, 8)).astype(np.int32)
    batch = {"tokens": tokens, "targets": tokens[:, ::-1].copy(), "valid": tokens > 3}
    batch["mask"] = np.arange(4) < 3
    objective = objectives.language_model(net)
    trainers = [train.make(objective, optax.sgd(0.5), remat=remat) for remat in (False, kept)]
    state = trainers[0].init(jax.random.key(0), batch)
    plain, again = (jax.jit(trainer.step)(state, batch)[0] for trainer in trainers)
    chex.assert_trees_all_close(again.params, plain.params, atol=1e-6)

    def total(params):
        mean, _ = objective(params, state.model_state, batch, jax.random.key(0), train=True)
        return mean.total

    again_bytes = kept_bytes(rematerialized(total) if kept is True else keeping(total, kept),
                             state.params)  # fmt: skip
    assert again_bytes < 0.9 * kept_bytes(total, state.params)
